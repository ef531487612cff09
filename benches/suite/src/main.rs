//! Measurements that outsiders can repeat on the same input: any index on any arrays, or every promise beside its peers.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

#[cfg(feature = "train")]
mod all;
#[cfg(feature = "train")]
mod case;
#[cfg(feature = "train")]
mod cases;
mod npy;
#[cfg(feature = "cuda")]
mod on_device;
mod retrieval;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use rectify_args::{self as args, BenchVerb, Device};
use rectify_lab::refusal;

/// Allocation is half the time of small tensor operations; see the measurements in docs/adr.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures.
#[derive(Debug, Parser)]
#[command(name = "rectify-bench", version, after_help = args::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Bench(args::BenchArgs),
}

fn main() -> ExitCode {
    let Cli { verb: Verb::Bench(args) } = Cli::parse();
    match run(args.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            refusal::exit_code(&error).into()
        }
    }
}

fn run(verb: BenchVerb) -> Result<()> {
    match verb {
        BenchVerb::Retrieval(args) => retrieval::run(&args),
        #[cfg(feature = "cuda")]
        BenchVerb::All(args) if args.device == Device::Cuda => on_device::run(&args),
        #[cfg(not(feature = "cuda"))]
        BenchVerb::All(args) if args.device == Device::Cuda => Err(needs_cuda()),
        #[cfg(feature = "train")]
        BenchVerb::All(args) => all::run(&args),
        #[cfg(not(feature = "train"))]
        BenchVerb::All(_) => {
            Err(refusal::usage("bench all needs the feature `train`, which this rectify-bench was built without"))
        }
    }
}

/// A device that this build cannot reach.
#[cfg(not(feature = "cuda"))]
fn needs_cuda() -> anyhow::Error {
    refusal::usage(
        "--device cuda: this rectify-bench was built without the feature `cuda`, so there is no CUDA in it; build it with \
         --features cuda, as `cargo xtask` does, or use --device cpu",
    )
}
