//! The program `rectify`: train, distil, recommend; reproduce papers, handle data.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

#[cfg(feature = "cuda")]
mod cuda;
mod data;
mod input;
mod output;
#[cfg(feature = "train")]
mod progress;
mod recommender;
#[cfg(feature = "train")]
mod reproduce;
#[cfg(feature = "train")]
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rectify_args as args;
use rectify_lab::refusal;

/// Allocation is half the time of small tensor operations; see the measurements in docs/adr.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fast, small, accurate recommendation: train, distil and ask a recommender in one file; reproduce papers, handle data.
#[derive(Debug, Parser)]
#[command(name = "rectify", version, after_help = args::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Train(args::TrainArgs),
    Distil(args::DistilArgs),
    Recommend(args::RecommendArgs),
    Similar(args::SimilarArgs),
    Inspect(args::InspectArgs),
    Reproduce(args::ReproduceArgs),
    Data(args::DataArgs),
    /// What scripts ask about CUDA
    #[command(subcommand, hide = true)]
    Cuda(args::CudaVerb),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(code) = with_candle_on_one_thread() {
        return code;
    }
    match run(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            refusal::exit_code(&error).into()
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        #[cfg(feature = "train")]
        Verb::Train(args) => train::train(&args),
        #[cfg(feature = "train")]
        Verb::Distil(args) => train::distil(&args),
        #[cfg(feature = "train")]
        Verb::Reproduce(args) => reproduce::run(&args),
        #[cfg(not(feature = "train"))]
        Verb::Train(_) | Verb::Distil(_) | Verb::Reproduce(_) => {
            Err(refusal::usage("this verb needs the feature `train`, which this rectify was built without"))
        }
        Verb::Recommend(args) => recommender::recommend(&args),
        Verb::Similar(args) => recommender::similar(&args),
        Verb::Inspect(args) => recommender::inspect(&args),
        Verb::Data(args) => data::run(&args),
        #[cfg(feature = "cuda")]
        Verb::Cuda(verb) => cuda::run(&verb),
        #[cfg(not(feature = "cuda"))]
        Verb::Cuda(_) => Err(needs_cuda()),
    }
}

/// A device that this build cannot reach.
#[cfg(not(feature = "cuda"))]
fn needs_cuda() -> anyhow::Error {
    refusal::usage(
        "--device cuda: this rectify was built without the feature `cuda`, so there is no CUDA in it; build it with --features \
         cuda, as `cargo xtask` does, or use --device cpu",
    )
}

/// Starts this program again with `CANDLE_NUM_THREADS=1` unless that is set.
///
/// candle's own pool fights with ours. It reads the variable at first use, and a process cannot safely set its own.
fn with_candle_on_one_thread() -> Option<ExitCode> {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if cfg!(not(feature = "train")) || std::env::var_os(VARIABLE).is_some() {
        return None;
    }
    let mut command = std::process::Command::new(std::env::current_exe().ok()?);
    command.args(std::env::args_os().skip(1)).env(VARIABLE, "1");
    #[cfg(unix)]
    {
        // Returns only if it failed; then we run as we are.
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        eprintln!("warning: cannot start again with {VARIABLE}=1: {error}");
        None
    }
    #[cfg(not(unix))]
    {
        let status = command.status().ok()?;
        Some(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    }
}
