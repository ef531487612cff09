//! The front door of rectify: `cargo xtask VERB`.
//!
//! Thin on purpose: it starts in seconds, depends on nothing of ours but the command lines, and drives the programs `rectify` and
//! `rectify-bench`, which it builds in release mode. One module a verb.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rectify_args as args;

mod bundle;
mod check;
mod cuda;
mod doctor;
mod examples;
mod handover;
mod layers;
mod programs;
mod without_defaults;
mod workspace;

use self::handover::{Binary, Features};

/// Fast, small, accurate recommendation: reproduce papers, handle data, measure, check the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, after_help = args::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Reproduce(args::ReproduceArgs),
    Data(args::DataArgs),
    Bench(args::BenchArgs),
    /// Runs what CI runs: fmt, layers, clippy, docs, packages, every crate without default features, examples, tests
    Check {
        /// Only what has to do with CUDA: builds it, runs its tests on the emulator, compiles the kernels; fetches nothing
        #[arg(long)]
        cuda: bool,
    },
    /// Makes one folder to carry to a machine with a GPU: programs, kernels, data, and a script that runs all checks
    BundleCuda {
        /// The folder to make
        #[arg(long, value_name = "DIR", default_value = "out/cuda-bundle")]
        out: std::path::PathBuf,
    },
    /// Proves the arrows between crates and the other invariants of docs/ARCHITECTURE.md
    Layers,
    /// Says what this machine has: toolchain, CPU, memory, CUDA, data sets, candle backend, Python peers
    Doctor,
}

fn main() -> ExitCode {
    // A wrong verb or flag ends here, with a suggestion and exit code 2, before anything is built.
    let cli = Cli::parse();
    let given = || std::env::args_os().skip(1);
    let result = match cli.verb {
        Verb::Reproduce(args) => handover::run(Binary::Rectify, Features::training(args.device), given()),
        Verb::Bench(args::BenchArgs { verb: args::BenchVerb::All(args) }) => {
            handover::run(Binary::Bench, Features::training(args.device), given())
        }
        Verb::Bench(args::BenchArgs { verb: args::BenchVerb::Retrieval(args) }) => {
            let features = if args.device == args::Device::Cuda { Features::Cuda } else { Features::None };
            handover::run(Binary::Bench, features, given())
        }
        Verb::Data(_) => handover::run(Binary::Rectify, Features::None, given()),
        Verb::Check { cuda: false } => check::run(),
        Verb::Check { cuda: true } => check::run_cuda(),
        Verb::BundleCuda { out } => bundle::run(&out),
        Verb::Layers => layers::run(),
        Verb::Doctor => doctor::run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
