//! The front door of rectify: `cargo xtask VERB`.
//!
//! Thin on purpose: it starts in seconds, depends on nothing of ours, and drives `rectify-lab`, which it builds in release
//! mode. One module a verb.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[expect(dead_code, reason = "xtask checks these arguments; the lab, which includes the file, reads them")]
mod args;
mod check;
mod doctor;
mod lab;
mod layers;
mod workspace;

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
    /// Runs what CI runs, cheapest first: fmt, clippy, layers, doc, test
    Check,
    /// Proves the arrows between crates and the other invariants of docs/ARCHITECTURE.md
    Layers,
    /// Says what this machine has: toolchain, processor, memory, data sets, candle backend, Python peers
    Doctor,
}

fn main() -> ExitCode {
    // A wrong verb or flag ends here, with a suggestion and exit code 2, before anything is built.
    let cli = Cli::parse();
    let given = || std::env::args_os().skip(1);
    let result = match cli.verb {
        Verb::Reproduce(_) => lab::run(lab::Features::Train, given()),
        Verb::Bench(args::BenchArgs { verb: args::BenchVerb::All(_) }) => lab::run(lab::Features::Train, given()),
        Verb::Bench(_) | Verb::Data(_) => lab::run(lab::Features::None, given()),
        Verb::Check => check::run(),
        Verb::Layers => layers::run(),
        Verb::Doctor => doctor::run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
