//! `train` and `distil`: one file is made.

use std::path::Path;

use anyhow::{Context, Result};
use rectify::train::{Goal, distil as distil_to, held_by, settings, train as train_on};
use rectify::{Kinds, Recommender, Settings};
use rectify_args::{DistilArgs, OutArgs, TrainArgs};
use rectify_data::{DataSource, Places};
use rectify_lab::refusal;
use serde_json::json;

use crate::input;
use crate::output::{overwrite, refuse_existing};
use crate::recommender::refused;

/// Carries out `train`.
pub(crate) fn train(args: &TrainArgs) -> Result<()> {
    refuse_existing(&args.to.out, args.to.force)?;
    let mut goal = match &args.kind {
        Some(kind) => Goal::of(kind, &settings(&args.settings).map_err(refused)?),
        None => Goal::default(),
    };
    goal.metric = args.metric.parse().map_err(refusal::usage)?;
    (goal.max_epochs, goal.seed) = (args.max_epochs, args.seed);
    let kinds = Kinds::builtin();
    goal.candidates.iter().try_for_each(|candidate| kinds.get(&candidate.kind).map(drop)).map_err(refusal::usage)?;
    let (path, places) = (Path::new(&args.input), Places::usual(None));
    let source = if path.exists() || path.extension().is_some_and(|ending| ending != "toml") {
        DataSource::file(path, &input::options(&args.read), &places)
    } else {
        DataSource::named(&args.input, &places)
    };
    let data = source.and_then(|source| source.load()).with_context(|| args.input.clone())?;
    let all = &data.interactions;
    println!("{}: {} users, {} items, {} pairs", data.name, all.n_users(), all.n_items(), all.n_interactions());
    let model = train_on(&data, &goal).map_err(refused)?;
    finish(&model, &args.to)
}

/// Carries out `distil`.
pub(crate) fn distil(args: &DistilArgs) -> Result<()> {
    refuse_existing(&args.to.out, args.to.force)?;
    if same(&args.model, &args.to.out) {
        return Err(refusal::output(format!("{} is read and cannot be written over", args.to.out.display())));
    }
    let teacher = Recommender::open(&args.model).map_err(refused)?;
    let data = held_by(&teacher).map_err(refused)?;
    let goal = Goal { seed: args.seed, ..Goal::default() };
    let said = settings(&args.settings).map_err(refused)?;
    let kinds: Vec<&str> = match &args.kind {
        Some(kind) => vec![kind],
        None => vec!["rvq", "opq"],
    };
    kinds.iter().try_for_each(|kind| Kinds::builtin().get(kind).map(drop)).map_err(refusal::usage)?;
    let mut best: Option<(f64, Recommender)> = None;
    for kind in kinds {
        let settings = match args.max_bytes_per_item {
            Some(most) => sized(&said, teacher_dim(&teacher)?, teacher.n_items(), most)?,
            None => said.clone(),
        };
        let small = distil_to(&teacher, &data, kind, &settings, &goal).map_err(refused)?;
        let value = |part: &str| small.provenance().measured.iter().find(|one| one.part == part).map(|one| one.value);
        // What was chosen by, or, of a teacher that cannot be trained here, the overlap with it.
        let value = value("validation").or_else(|| value("all data")).unwrap_or(0.0);
        println!("{kind}: {value:.4}");
        if best.as_ref().is_none_or(|(best, _)| value > *best) {
            best = Some((value, small));
        }
    }
    let (_, small) = best.context("there is no kind to distil to")?;
    finish(&small, &args.to)
}

fn teacher_dim(teacher: &Recommender) -> Result<usize> {
    teacher.new_item_dim().ok_or_else(|| {
        let kind = teacher.kind().name;
        refusal::usage(format!(
            "{kind} has no vectors of items to code; train one that has, for instance with --kind ials"
        ))
    })
}

/// The richest codes whose bytes and share of whole-vector codebooks fit.
fn sized(said: &Settings, dim: usize, n_items: usize, most: u32) -> Result<Settings> {
    let mut best: Option<(f64, u32, u32)> = None;
    for n_codewords in [16u32, 64, 256] {
        for n_codebooks in [1u32, 2, 4, 8, 16, 32].into_iter().filter(|n| dim.is_multiple_of(*n as usize)) {
            let code = f64::from(if n_codewords == 16 { n_codebooks.div_ceil(2) } else { n_codebooks });
            let books = f64::from(n_codebooks * n_codewords) * dim as f64 * 4.0 / n_items.max(1) as f64;
            let bits = f64::from(n_codebooks) * f64::from(n_codewords).log2();
            if code + books <= f64::from(most) && best.is_none_or(|(richest, ..)| bits > richest) {
                best = Some((bits, n_codebooks, n_codewords));
            }
        }
    }
    let Some((_, n_codebooks, n_codewords)) = best else {
        let least = 1.0 + 16.0 * dim as f64 * 4.0 / n_items.max(1) as f64;
        return Err(refusal::usage(format!(
            "--max-bytes-per-item {most}: the smallest codes of {n_items} items of {dim} dimensions take {least:.1} bytes each"
        )));
    };
    let mut settings = said.clone();
    settings.insert("n_codebooks".to_owned(), json!(n_codebooks));
    settings.insert("n_codewords".to_owned(), json!(n_codewords));
    Ok(settings)
}

/// Prints what was measured, and writes the file.
fn finish(model: &Recommender, to: &OutArgs) -> Result<()> {
    println!("{} {}", model.kind().name, model.provenance().settings);
    for value in &model.provenance().measured {
        let interval = value.ci95.map_or(String::new(), |[low, high]| format!(" [{low:.4}, {high:.4}]"));
        println!("{} ({}): {:.4}{interval}", value.metric, value.part, value.value);
    }
    for remark in model.remarks() {
        eprintln!("remark: {remark}");
    }
    let overwrite = overwrite(to.force);
    if to.without_users {
        model.without_users().map_err(refused)?.save(&to.out, overwrite)?;
    } else {
        model.save(&to.out, overwrite)?;
    }
    println!("{}: {} bytes", to.out.display(), std::fs::metadata(&to.out)?.len());
    Ok(())
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
