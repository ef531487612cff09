//! `data`: list, describe, fetch, prepare, generate.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rectify_args::{DataArgs, DataVerb, Size, SourceArgs};
use rectify_core::artifact::write_atomically;
use rectify_core::rng::Seed;
use rectify_data::fetch::{self, Outcome};
use rectify_data::{
    DataSource, Description, Format, Manifest, Places, Quantiles, SYNTHETIC, SyntheticConfig, describe,
};
use rectify_lab::refusal;

use crate::input;
use crate::output::{overwrite, refuse_existing};

/// Carries out one verb.
pub(crate) fn run(args: &DataArgs) -> Result<()> {
    let places = Places::usual(args.data.as_deref());
    match &args.verb {
        DataVerb::List => list(&places),
        DataVerb::Describe(source) => describe_source(&named(source, &places)?),
        DataVerb::Fetch { name } => fetch(&DataSource::named(name, &places)?, &places),
        DataVerb::Prepare { source, out, force } => {
            let source = named(source, &places)?;
            refuse_existing(out, *force)?;
            source.load()?.save(out, overwrite(*force))?;
            println!("{} is ready in {}", source.name(), out.display());
            Ok(())
        }
        DataVerb::Generate { size, seed, out, force } => generate(*size, *seed, out, *force),
    }
}

/// What the arguments name.
fn named(args: &SourceArgs, places: &Places) -> Result<DataSource> {
    match (&args.name, &args.input) {
        (Some(name), _) => Ok(DataSource::named(name, places)?),
        (None, Some(path)) => DataSource::file(path, &input::options(&args.read), places)
            .with_context(|| format!("--input {}", path.display())),
        (None, None) => Err(refusal::usage("name a data set, or give --input")),
    }
}

/// The generator's settings for a size.
const fn synthetic(size: Size) -> SyntheticConfig {
    match size {
        Size::Tiny => SyntheticConfig::tiny(),
        Size::Small => SyntheticConfig::small(),
        Size::Large => SyntheticConfig::large(),
    }
}

fn list(places: &Places) -> Result<()> {
    let folders = &places.folders;
    println!("{:<20} {:>10}  {:<9} what, licence", "name", "pairs", "found");
    for (name, _, about) in SYNTHETIC {
        println!("{name:<20} {:>10}  {:<9} {about}", "", "built in");
    }
    for manifest in Manifest::builtin()? {
        let found = if manifest.recipe(folders).is_ok() { "yes" } else { "no" };
        let pairs = manifest.expected.interactions.map_or_else(String::new, |n| n.to_string());
        println!("{:<20} {pairs:>10}  {found:<9} {}. {}", manifest.name, manifest.title, manifest.licence);
    }
    let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    println!("\nlooked in: {}", places.join(", "));
    let formats: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    println!("formats for --input: {}", formats.join(", "));
    Ok(())
}

fn describe_source(source: &DataSource) -> Result<()> {
    let data = source.load()?;
    print!("{}", description(&describe(&data)));
    for step in &data.provenance.steps {
        println!(
            "  after {}: {} users, {} items, {} pairs",
            step.what, step.n_users, step.n_items, step.n_interactions
        );
    }
    if let Some(manifest) = source.manifest() {
        println!(
            "  title         {}\n  homepage      {}\n  licence       {}",
            manifest.title, manifest.homepage, manifest.licence
        );
        if let Some(note) = &manifest.note {
            println!("  note          {note}");
        }
    }
    Ok(())
}

fn description(d: &Description) -> String {
    let mut lines = vec![
        ("users", d.n_users.to_string()),
        ("items", d.n_items.to_string()),
        ("interactions", format!("{} (density {:.4} %)", d.n_interactions, d.density * 100.0)),
        ("items a user", quantiles(&d.user_degrees)),
        ("users an item", format!("{}; Gini {:.3}", quantiles(&d.item_degrees), d.item_gini)),
        ("rows", format!("{} ({} merged, {} repeated between parts)", d.n_rows, d.n_duplicates, d.n_repeated)),
    ];
    if let Some((train, validation, test)) = d.fixed {
        lines.push(("split", format!("{train} train, {validation} validation, {test} test")));
    }
    if let Some((from, to)) = d.time_span {
        lines.push(("times", format!("{from} to {to} ({:.0} days)", (to - from) as f64 / 86_400.0)));
    }
    if let Some((least, greatest)) = d.weight_range {
        lines.push(("weights", format!("{least} to {greatest}")));
    }
    if let Some((n, items)) = d.categories {
        lines.push(("categories", format!("{n}, on {items} items")));
    }
    if let Some((n, items)) = d.words {
        lines.push(("words", format!("{n}, on {items} items")));
    }
    let mut out = format!("{}\n", d.name);
    for (name, value) in lines {
        out.push_str(&format!("  {name:<13} {value}\n"));
    }
    out
}

fn quantiles(q: &Quantiles) -> String {
    format!("mean {:.1}, min {}, p10 {}, median {}, p90 {}, max {}", q.mean, q.min, q.p10, q.median, q.p90, q.max)
}

/// Downloads into the first folder that data are looked for in.
fn fetch(source: &DataSource, places: &Places) -> Result<()> {
    let Some(manifest) = source.manifest() else {
        println!("{} is built in; there is nothing to download", source.name());
        return Ok(());
    };
    let into = places
        .folders
        .first()
        .ok_or_else(|| refusal::usage("there is no folder for data; name one with --data DIR"))?;
    println!("{}: {}", manifest.title, manifest.licence);
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{prefix:24} {bytes:>10} of {total_bytes:<10} {eta:>4} left") {
        bar.set_style(style);
    }
    let report = fetch::fetch(manifest, into, &mut |progress| {
        bar.set_prefix(progress.file.clone());
        bar.set_length(progress.total.unwrap_or(progress.received));
        bar.set_position(progress.received);
    })?;
    bar.finish_and_clear();
    for file in &report.files {
        let outcome = match file.outcome {
            Outcome::Present => "was there",
            Outcome::Verified => "downloaded, checksum agrees",
            Outcome::Unverified => "downloaded, no checksum known",
        };
        println!("  {}: {outcome}", file.path.display());
    }
    for name in &report.not_public {
        println!("  {name}: has no public address; copy it by hand");
    }
    Ok(())
}

fn generate(size: Size, seed: u64, out: &Path, force: bool) -> Result<()> {
    refuse_existing(out, force)?;
    let data = synthetic(size).generate("synthetic", Seed(seed))?;
    let all = &data.interactions;
    write_atomically(out, overwrite(force), |file: &mut dyn Write| {
        // RecBole's atomic form: a header that says what the columns are.
        writeln!(file, "user_id:token\titem_id:token\ttimestamp:float")?;
        for user in all.users() {
            let times = all.times_of(user).unwrap_or_default();
            for (i, item) in all.items_of(user).iter().enumerate() {
                writeln!(file, "{}\t{}\t{}", user.0, item.0, times.get(i).copied().unwrap_or_default())?;
            }
        }
        Ok(())
    })?;
    println!(
        "{}: {} users, {} items, {} interactions; read it with --format inter",
        out.display(),
        all.n_users(),
        all.n_items(),
        all.n_interactions()
    );
    Ok(())
}
