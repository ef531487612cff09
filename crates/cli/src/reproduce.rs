//! `reproduce`: the command line becomes a reproduction of the lab.

use anyhow::{Context, Result};
use rectify_args::{Device, ReproduceArgs};
use rectify_data::{DataSource, Places};
use rectify_lab::experiment::ExperimentFile;
use rectify_lab::{Reproduction, report};
use rectify_models::train::Place;

use crate::input;
use crate::progress::Progress;

/// Carries out the verb.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let place = open(args.device)?;
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .context("cannot start the thread pool")?;
    }
    let places = Places::usual(args.data.as_deref());
    let source = match &args.input {
        Some(path) => {
            let source = DataSource::file(path, &input::options(&args.read), &places);
            Some(source.with_context(|| format!("--input {}", path.display()))?)
        }
        None => args.dataset.as_deref().map(|name| DataSource::named(name, &places)).transpose()?,
    };
    let usual = Reproduction::new(args.out.clone());
    let reproduction = Reproduction {
        experiments: match &args.experiments {
            Some(folder) => ExperimentFile::of_folder(folder)?,
            None => usual.experiments,
        },
        papers: args.papers.clone(),
        source,
        places,
        profile: args.profile.name().to_owned(),
        models: args.models.clone(),
        set: args.set.clone(),
        seeds: args.seeds,
        first_seed: args.seed,
        place,
        fresh: args.fresh,
        // The front door knows what it built this program from, and how it was called.
        commit: std::env::var("RECTIFY_COMMIT").unwrap_or(usual.commit),
        command: command_line(&std::env::var("RECTIFY_CALLED_AS").unwrap_or_else(|_| "rectify".into())),
        ..usual
    };
    if args.plan {
        print!("{}", reproduction.plan()?);
        return Ok(());
    }
    let results = reproduction.run(&mut Progress::new())?;
    print!("{}", report::text(&results));
    println!("\nwritten: {0}/report.html, {0}/report.md, {0}/results.json, {0}/runs.jsonl", args.out.display());
    Ok(())
}

/// The place to train.
fn open(device: Device) -> Result<Place> {
    match device {
        Device::Cpu => Ok(Place::Cpu),
        #[cfg(feature = "cuda")]
        Device::Cuda => Place::gpu().context("--device cuda"),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda => Err(crate::needs_cuda()),
    }
}

/// The command as typed.
fn command_line(program: &str) -> String {
    let mut line = program.to_owned();
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

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use rectify_args::Profile;
    use rectify_lab::experiment::PROFILES;

    #[test]
    fn every_profile_of_an_experiment_can_be_asked_for() {
        let names: Vec<&str> = Profile::value_variants().iter().map(|profile| profile.name()).collect();
        assert_eq!(names, PROFILES);
    }
}
