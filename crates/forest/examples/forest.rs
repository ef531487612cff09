//! A forest from interactions: trees and models learned in turn, then searched with beams of several widths.
//!
//!     cargo run --release -p rectify-forest --example forest
//!
//! With `RECTIFY_DATA` naming a folder that holds `ml-1m`, on MovieLens-1M (some minutes); else on synthetic data.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use rectify_core::Factors;
use rectify_data::{Dataset, Manifest, Protocol, SyntheticConfig, split};
use rectify_eval::{Candidates, Metric, System, evaluate, evaluate_test};
use rectify_forest::{
    Event, FitConfig, ForUsers, ForestConfig, ForestIndex, Index, InitialTree, Interactions, ItemFilter, Learners,
    Optimizer, PreferenceConfig, Provenance, SearchConfig, Seed, TopK, TrainRun, TreeModel, forest,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn data() -> Result<(Dataset, u32, usize), Box<dyn Error>> {
    if let Some(folder) = std::env::var_os("RECTIFY_DATA") {
        println!("MovieLens-1M");
        return Ok((Manifest::named("ml-1m")?.recipe(&[PathBuf::from(folder)])?.build()?, 300, 15_000));
    }
    println!("SYNTHETIC data, since RECTIFY_DATA names no folder with ml-1m: its numbers say nothing about MovieLens");
    let config = SyntheticConfig { n_users: 600, n_items: 500, ..SyntheticConfig::small() };
    Ok((config.generate("synthetic", Seed(1))?, 60, 1_000))
}

/// How often each item was taken, for everybody the same.
fn popularity(train: &Interactions) -> Result<Factors, Box<dyn Error>> {
    let mut counts = vec![0.0; train.n_items()];
    for user in train.users() {
        train.items_of(user).iter().for_each(|item| counts[item.index()] += 1.0);
    }
    Ok(Factors::from_vectors(vec![1.0; train.n_users()], counts, 1, Provenance::default())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (data, held_users, samples) = data()?;
    let n_items = data.interactions.n_items();
    // Users are split; of validation and test users the earlier half is known, the later half is to be found.
    let split = split(&data.interactions, None, &Protocol::deforec(held_users), Seed(1), 0)?;
    let histories = split.train.histories()?;
    let learners = Learners { histories: &histories, users: split.training_users.as_deref() };
    println!("{} users, {n_items} items, {} pairs to learn from", split.train.n_users(), split.train.n_interactions());

    // Small on purpose: few samples an epoch, few trees.
    let optimizer = Optimizer::adam(3e-3);
    let model = PreferenceConfig { samples_per_epoch: Some(samples), optimizer, ..PreferenceConfig::default() };
    let config = ForestConfig { model, n_trees: 2, later_epochs: 1, ..ForestConfig::default() };
    let first = InitialTree::Categories.build(n_items, data.categories.as_ref(), Seed(1))?;
    let recall: Metric = "recall@40".parse()?;
    let held = split.validation.as_ref().ok_or("the protocol has a validation part")?;
    let mut validate = |model: &TreeModel| {
        let index = ForestIndex::new(vec![model.clone()], SearchConfig::default())?;
        let system = ForUsers::new(histories.clone(), index, Provenance::default())?;
        let found = evaluate(System::Retriever(&system), &split.train, held, &[recall], Candidates::Unseen)?;
        Ok(found.value(recall).unwrap_or_default())
    };
    let mut tell = |event: &Event| {
        if let Event::Trained { epoch, stats } = event {
            println!("epoch {epoch}: loss {:.3} over {} samples", stats.loss, stats.samples);
        }
        if let Event::Validated { metric, .. } = event {
            println!("    recall@40 of validation users {metric:.4}");
        }
        ControlFlow::Continue(())
    };
    let how = FitConfig { max_epochs: 3, patience: Some(1), ..FitConfig::default() };
    let run = TrainRun::new(Seed(1)).fit(&how).validate(&mut validate).observer(&mut tell);
    let learned = forest::fit(learners, &first, &config, run)?;

    // The test users are looked at once, below.
    let test = |system: System<'_>| -> Result<f64, Box<dyn Error>> {
        Ok(evaluate_test(system, &split, &[recall], Candidates::Unseen)?.value(recall).unwrap_or_default())
    };
    println!("\npopularity: recall@40 {:.4}", test(System::Scorer(&popularity(&split.train)?))?);
    let models = learned.into_iter().map(|(model, _)| model).collect();
    let mut index = ForestIndex::new(models, SearchConfig::default())?;
    println!("forest of {} trees, {} bytes an item", index.trees().len(), index.size_bytes() / n_items);
    println!("{:>10} {:>10} {:>14} {:>10}", "beam width", "recall@40", "nodes a query", "us/query");
    for beam_width in [40, 80, 150, 300, n_items] {
        index = index.with_search(SearchConfig { beam_width, ..SearchConfig::default() })?;
        let (start, mut top, mut scored, mut queries) = (Instant::now(), TopK::new(), 0, 0);
        for user in split.train.users().step_by(10) {
            let seen = ItemFilter::seen(split.train.items_of(user))?;
            scored += index.search(histories.of(user), 40, &seen, &mut top)?;
            queries += 1;
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(queries);
        let users = ForUsers::new(histories.clone(), index, Provenance::new("deforec", &config))?;
        let recall = test(System::Retriever(&users))?;
        println!("{beam_width:>10} {recall:>10.4} {:>14} {micros:>10.0}", scored / queries as usize);
        (_, index, _) = users.into_parts();
    }
    Ok(())
}
