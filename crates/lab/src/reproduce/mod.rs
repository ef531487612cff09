//! `reproduce`: experiments in, results out.

mod cache;
mod claims;
mod expected;
mod experiment;
mod figures;
mod outcome;
mod plan;
mod progress;
mod protocol;
mod registry;
mod runner;
mod trainer;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use self::cache::Cache;
use self::experiment::Experiment;
use self::progress::Progress;
use self::trainer::Trainer;
use crate::args::ReproduceArgs;
use crate::record::Results;
use crate::source::Source;
use crate::{refusal, report, suggest};

/// Carries out the verb.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let trainer = Trainer::open(args.device)?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .context("cannot start the thread pool")?;
    }
    let experiments = chosen(args)?;
    if args.out.is_file() {
        return Err(refusal::output(format!("--out {} is a file, expected a folder", args.out.display())));
    }

    let given = match &args.input {
        Some(path) => Some(Source::path(path, args.format.as_deref().unwrap_or_default())?),
        None => args.dataset.as_deref().map(|name| Source::named(name, args.data.as_deref())).transpose()?,
    };
    // Everything that can be wrong with experiments is said before anything is trained.
    let mut plans = Vec::new();
    for experiment in &experiments {
        let source = match &given {
            Some(source) => source.clone(),
            None => Source::named(&experiment.dataset, args.data.as_deref())?,
        };
        let mut plan = experiment.plan(source.name(), args.profile.name(), &args.models)?;
        plan.seeds = args.seeds.unwrap_or(plan.seeds);
        runner::check(&plan)?;
        trainer.check(&plan)?;
        plans.push((plan, source));
    }

    let cache = Cache::open(args.out.join("cache"), args.fresh)?;
    let mut progress = Progress::new();
    let mut results = Results::default();
    let context = runner::Context {
        cache: &cache,
        trainer: &trainer,
        first_seed: args.seed,
        profile: args.profile.name(),
        commit: &commit(),
    };
    for (plan, source) in &plans {
        progress.say(&format!("{}: {} on {}", plan.paper, plan.title, plan.dataset));
        runner::run(plan, source, &context, &mut progress, &mut results)?;
    }
    report::write(&results, &command_line(), &args.out)?;
    print!("{}", report::terminal::render(&report::view::sections(&results), &results.notes));
    println!("\nwritten: {0}/results.json, {0}/report.md, {0}/report.html", args.out.display());
    Ok(())
}

/// The experiments that were asked for.
fn chosen(args: &ReproduceArgs) -> Result<Vec<Experiment>> {
    let folder = args
        .experiments
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/experiments"));
    let files = experiment::files(&folder)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(paper) = args.papers.iter().find(|paper| !names.contains(&paper.as_str())) {
        return Err(refusal::usage(suggest::unknown("paper", paper, &names)));
    }
    let wanted = |name: &str| args.papers.is_empty() || args.papers.iter().any(|paper| paper == name);
    let read = |(_, path): &(String, PathBuf)| Experiment::read(path);
    files.iter().filter(|(name, _)| wanted(name)).map(read).collect()
}

/// The commit that this workspace is at, with `+` if it was changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) => {
            let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
            format!("{commit}{}", if changed { "+" } else { "" })
        }
        None => "unknown".into(),
    }
}

/// The command as typed at the front door.
fn command_line() -> String {
    let mut line = "cargo xtask".to_owned();
    for argument in std::env::args().skip(1) {
        line.push(' ');
        if argument.contains(char::is_whitespace) {
            line.push_str(&format!("'{argument}'"));
        } else {
            line.push_str(&argument);
        }
    }
    line
}
