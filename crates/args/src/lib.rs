#![doc = include_str!("../README.md")]

mod recommender;

use std::path::PathBuf;

pub use recommender::{DistilArgs, InspectArgs, OutArgs, RecommendArgs, SimilarArgs, TrainArgs};

use clap::{Args, Subcommand, ValueEnum};

/// How exit codes are to be read; the foot of every `--help`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 something failed (a check, a training run, a build); 2 the command line is wrong (unknown verb, \
flag, paper, model, data set, metric, method); 3 the input is bad (a file, a config); 4 an output exists or cannot be \
written.";

/// Trains, evaluates and reports the models of one or more papers.
///
/// Without PAPER every experiment runs on the built-in synthetic data (profile `quick`). A paper is the name of a file in
/// xtask/experiments, or the path of an experiment of your own (FILE.toml). Trained models are kept under OUT/cache by the hash of
/// everything that made them: a killed run resumes, a finished one is only read. Writes OUT/report.html, OUT/report.md, OUT/results.json (values and claims) and
/// OUT/runs.jsonl (settings and curves).
#[derive(Args, Clone, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct ReproduceArgs {
    /// Experiments to run, by name or path (FILE.toml); all of rectify's when none is named
    #[arg(value_name = "PAPER")]
    pub papers: Vec<String>,
    /// Data set by name (`cargo xtask data list`), or a manifest of your own (FILE.toml)
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    pub dataset: Option<String>,
    /// Any file of a known format, or a folder with train and test files, instead of a named data set
    #[arg(long, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// How to read --input
    #[command(flatten)]
    pub read: ReadArgs,
    /// How much work: `quick` is minutes, `paper` is what the paper did, `small` a part of it where an experiment has one
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub profile: Profile,
    /// Only this model; may be given again
    #[arg(long = "model", value_name = "NAME")]
    pub models: Vec<String>,
    /// A setting of a model, for instance ease.l2=0.1 or mf-bpr.optimizer.learning_rate=0.01; may be given again
    #[arg(long, value_name = "MODEL.FIELD=VALUE")]
    pub set: Vec<String>,
    /// Number of seeds to train with; the experiment says when omitted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub seeds: Option<u32>,
    /// First seed; the others follow it
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Threads for training and evaluation; results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Where to train
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub device: Device,
    /// Folder for results and the cache of trained models
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Print what would be trained, every setting with its default, and train nothing
    #[arg(long)]
    pub plan: bool,
    /// Train again what the cache already holds
    #[arg(long)]
    pub fresh: bool,
    /// Folder that holds data sets, before RECTIFY_DATA and the user's cache
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of experiment files
    #[arg(long, value_name = "DIR", hide = true)]
    pub experiments: Option<PathBuf>,
}

/// How much work an experiment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
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
    pub const fn name(self) -> &'static str {
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
pub enum Device {
    /// This machine's CPU.
    Cpu,
    /// An NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
}

/// What the lab can say of CUDA; for scripts.
#[derive(Clone, Debug, Subcommand)]
pub enum CudaVerb {
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
pub struct DataArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: DataVerb,
    /// Folder that holds data sets, before RECTIFY_DATA and the user's cache
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
}

/// One verb of `data`.
#[derive(Clone, Debug, Subcommand)]
pub enum DataVerb {
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
pub struct SourceArgs {
    /// Data set by name, or a manifest of your own (FILE.toml)
    #[arg(value_name = "NAME", required_unless_present = "input", conflicts_with = "input")]
    pub name: Option<String>,
    /// Any file of a known format instead
    #[arg(long, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// How to read --input
    #[command(flatten)]
    pub read: ReadArgs,
}

/// How to read a file of interactions.
#[derive(Args, Clone, Debug, Default)]
pub struct ReadArgs {
    /// Format of --input (`data list` names them); by the file's ending when omitted
    #[arg(long, value_name = "F", requires = "input")]
    pub format: Option<String>,
    /// Column of the user; the usual names are known
    #[arg(long, value_name = "NAME", requires = "input")]
    pub user_column: Option<String>,
    /// Column of the item; the usual names are known
    #[arg(long, value_name = "NAME", requires = "input")]
    pub item_column: Option<String>,
    /// Column of the rating; the usual names are known
    #[arg(long, value_name = "NAME", requires = "input")]
    pub rating_column: Option<String>,
    /// Column of the time; the usual names are known
    #[arg(long, value_name = "NAME", requires = "input")]
    pub time_column: Option<String>,
    /// Keep only pairs with at least this rating
    #[arg(long, value_name = "R", requires = "input", allow_negative_numbers = true)]
    pub rating_at_least: Option<f32>,
}

/// Size of the synthetic data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Size {
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
pub struct BenchArgs {
    /// What to measure
    #[command(subcommand)]
    pub verb: BenchVerb,
}

/// One verb of `bench`.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchVerb {
    /// Measures an index on arrays from .npy files: recall against exact, speed, latency percentiles, bytes
    Retrieval(RetrievalArgs),
    /// Runs every case that has a promised ratio, interleaved with its Python peers, and prints the ratios
    All(BenchAllArgs),
}

/// Arguments of `bench retrieval`.
#[derive(Args, Clone, Debug)]
pub struct RetrievalArgs {
    /// Item vectors, f32 `[n_items, dim]`
    #[arg(long, value_name = "FILE.npy")]
    pub items: PathBuf,
    /// Query vectors, f32 `[n_queries, dim]`
    #[arg(long, value_name = "FILE.npy")]
    pub queries: PathBuf,
    /// Length of a list
    #[arg(long, value_name = "K", default_value_t = 100)]
    pub k: usize,
    /// Which index
    #[arg(long, value_name = "NAME", default_value = "exact")]
    pub method: String,
    /// Where to search; on a GPU the CPU is measured beside it
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub device: Device,
    /// Threads for batches; single queries always use one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Passes over the queries; medians and minima are over these
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench all`.
#[derive(Args, Clone, Debug)]
pub struct BenchAllArgs {
    /// Python that has the peers; RECTIFY_PYTHON, then python3, when omitted
    #[arg(long, value_name = "FILE")]
    pub python: Option<PathBuf>,
    /// Interleaved rounds a case
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
    /// Where to measure; on a GPU: scans and trainings there beside the CPU's, without promises
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    pub device: Device,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}
