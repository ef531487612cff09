//! Arguments of the verbs that the lab carries out.
//!
//! One truth for two programs: xtask checks a command line with these types before it builds anything, and
//! `rectify-lab` includes this very file and obeys them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// How exit codes are to be read; the foot of every `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 something failed (a check, a training run, a build); 2 the command line is wrong (unknown verb, \
flag, paper, model, data set, metric, method); 3 the input is bad (a file, a config); 4 an output exists or cannot be \
written.";

/// Trains, evaluates and reports the models of one or more papers.
///
/// Without PAPER every experiment runs on the built-in synthetic data (profile `quick`). A paper is the name of a file in
/// xtask/experiments. Trained models are kept under OUT/cache by the hash of everything that made them: a killed run
/// resumes, a finished one is only read. Writes OUT/results.json, OUT/report.md and OUT/report.html.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ReproduceArgs {
    /// Papers or experiments to run; all of them when none is named
    #[arg(value_name = "PAPER")]
    pub(crate) papers: Vec<String>,
    /// Data set by name (`cargo xtask data list`), or a manifest of your own (FILE.toml)
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    pub(crate) dataset: Option<String>,
    /// Any file of a known format, or a folder with train and test files, instead of a named data set
    #[arg(long, value_name = "PATH", requires = "format")]
    pub(crate) input: Option<PathBuf>,
    /// Format of --input (`cargo xtask data list` names them)
    #[arg(long, value_name = "F", requires = "input")]
    pub(crate) format: Option<String>,
    /// How much work: `quick` is minutes, `paper` is what the paper did, `small` a part of it where an experiment has one
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub(crate) profile: Profile,
    /// Only this model; may be given again
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Number of seeds to train with; the experiment says when omitted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) seeds: Option<u32>,
    /// First seed; the others follow it
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads for training and evaluation; results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Where to train
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub(crate) device: Device,
    /// Folder for results and the cache of trained models
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,
    /// Train again what the cache already holds
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Folder that holds data sets, before RECTIFY_DATA and the user's cache
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Folder of experiment files
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) experiments: Option<PathBuf>,
}

/// How much work an experiment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Minutes: few epochs, small searches.
    Quick,
    /// A part of what the paper did, where an experiment has one; all of it elsewhere.
    Small,
    /// A larger part, where an experiment has one; all of it elsewhere.
    Medium,
    /// What the paper did.
    Paper,
}

impl Profile {
    /// The name as typed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Paper => "paper",
        }
    }
}

/// Where to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// This machine's processor.
    Cpu,
    /// An NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
}

/// What the lab can say of CUDA; for scripts.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CudaVerb {
    /// Names the device, or says why there is none
    Describe,
    /// Compiles every kernel to PTX, for machines without the compiler
    Ptx {
        /// The folder to write NAME.ptx to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Lists, describes, downloads, prepares and generates data sets.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct DataArgs {
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: DataVerb,
    /// Folder that holds data sets, before RECTIFY_DATA and the user's cache
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
}

/// One verb of `data`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DataVerb {
    /// Names every known data set, where it was found, its licence, and every format
    List,
    /// Says what is in a data set: counts, density, split, files, licence
    Describe(SourceArgs),
    /// Downloads a data set, with resume and checksum
    Fetch {
        /// Data set by name, or a manifest of your own (FILE.toml; those in datasets/ show how)
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Reads and cleans a data set once into a file that is mapped afterwards
    Prepare {
        /// What to read
        #[command(flatten)]
        source: SourceArgs,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Writes seeded synthetic data (latent clusters, power-law popularity, drift) as `user item time` lines
    Generate {
        /// How much
        #[arg(long, value_enum, default_value_t = Size::Small)]
        size: Size,
        /// Seed of every draw
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
}

/// A data set by name or by path.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Data set by name, or a manifest of your own (FILE.toml)
    #[arg(value_name = "NAME", required_unless_present = "input", conflicts_with = "input")]
    pub(crate) name: Option<String>,
    /// Any file of a known format instead
    #[arg(long, value_name = "PATH", requires = "format")]
    pub(crate) input: Option<PathBuf>,
    /// Format of --input
    #[arg(long, value_name = "F", requires = "input")]
    pub(crate) format: Option<String>,
}

/// Size of the synthetic data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// For tests.
    Tiny,
    /// For a first run.
    Small,
    /// For measurements.
    Large,
}

/// Measures: any index on any arrays, or every promise at once.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct BenchArgs {
    /// What to measure
    #[command(subcommand)]
    pub(crate) verb: BenchVerb,
}

/// One verb of `bench`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BenchVerb {
    /// Measures an index on arrays from .npy files: recall against exact, speed, latency percentiles, bytes
    Retrieval(RetrievalArgs),
    /// Runs every case that has a promised ratio, interleaved with its Python peers, and prints the ratios
    All(BenchAllArgs),
}

/// Arguments of `bench retrieval`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RetrievalArgs {
    /// Item vectors, f32 `[n_items, dim]`
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) items: PathBuf,
    /// Query vectors, f32 `[n_queries, dim]`
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) queries: PathBuf,
    /// Length of a list
    #[arg(long, value_name = "K", default_value_t = 100)]
    pub(crate) k: usize,
    /// Which index
    #[arg(long, value_name = "NAME", default_value = "exact")]
    pub(crate) method: String,
    /// Where to search; on a GPU the processor is measured beside it
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub(crate) device: Device,
    /// Threads for batches; single queries always use one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Passes over the queries; medians and minima are over these
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `bench all`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchAllArgs {
    /// Python that has the peers; RECTIFY_PYTHON, then python3, when omitted
    #[arg(long, value_name = "FILE")]
    pub(crate) python: Option<PathBuf>,
    /// Interleaved rounds a case
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,
    /// Where to measure; on a GPU: scans and trainings there beside the processor's, without promises
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub(crate) device: Device,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
