//! From interactions to bits: a graph teacher, codes distilled from it, and a search that only XORs and counts.
//!
//!     cargo run --release -p rectify-hashing --example codes
//!
//! With `RECTIFY_DATA` naming a folder that holds `ml-1m`, on MovieLens-1M; else on synthetic data.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use rectify_core::{Factors, Rerank};
use rectify_data::{Cleaning, Dataset, KCore, Manifest, Protocol, SyntheticConfig, split};
use rectify_eval::{Candidates, Metric, System, evaluate, evaluate_test};
use rectify_hashing::bin_cf::{self, BinCfConfig};
use rectify_hashing::{
    BinaryFactors, FitConfig, Index, ItemFilter, Optimizer, Retriever, Seed, TopK, TrainRun, UserId,
};
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::pop_rank;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn data() -> Result<Dataset, Box<dyn Error>> {
    if let Some(folder) = std::env::var_os("RECTIFY_DATA") {
        let mut recipe = Manifest::named("ml-1m")?.recipe(&[PathBuf::from(folder)])?;
        recipe.cleaning = Cleaning { k_core: Some(KCore { users: 20, items: 20 }), ..Cleaning::default() };
        println!("MovieLens-1M, users and items with 20 interactions or more");
        return Ok(recipe.build()?);
    }
    println!("SYNTHETIC data, since RECTIFY_DATA names no folder with ml-1m: its numbers say nothing about MovieLens");
    Ok(SyntheticConfig { n_users: 1000, n_items: 600, ..SyntheticConfig::small() }.generate("synthetic", Seed(1))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let data = data()?;
    let split = split(&data.interactions, None, &Protocol::dgcn_bincf(), Seed(1), 0)?;
    let (train, seen) = (&split.train, |user| ItemFilter::seen(split.train.items_of(user)));
    println!("{} users, {} items, {} pairs to learn from", train.n_users(), train.n_items(), train.n_interactions());

    // What is kept is chosen on validation items; the test items are looked at once, below.
    let held = split.validation.as_ref().ok_or("the protocol has a validation part")?;
    let ndcg: Metric = "ndcg@100".parse()?;
    let quality = |system: System<'_>| -> Result<f64, Box<dyn Error + Send + Sync>> {
        Ok(evaluate(system, train, held, &[ndcg], Candidates::Unseen)?.value(ndcg).unwrap_or_default())
    };
    let epochs = FitConfig { max_epochs: 20, patience: Some(3), eval_every: 2, checkpoint: None };

    let config = GcnCfConfig { l2: 0.01, optimizer: Optimizer::adam(5e-3), ..GcnCfConfig::default() };
    let mut validate = |model: &Factors| quality(System::Retriever(model));
    let (teacher, _) = gcn_cf::fit(train, &config, TrainRun::new(Seed(1)).fit(&epochs).validate(&mut validate))?;
    let mut validate = |codes: &BinaryFactors| quality(System::Retriever(codes));
    let run = TrainRun::new(Seed(1)).fit(&epochs).validate(&mut validate);
    let (codes, report) = bin_cf::fit(train, &teacher, &BinCfConfig::default(), run)?;
    println!("{} bits a user and an item, after {} epochs", codes.index().code_bits(), report.best_epoch);

    let recall: Metric = "recall@100".parse()?;
    let popular = pop_rank::fit(train)?;
    let rerank = Rerank::new(&codes, &teacher, 300)?;
    println!("\n{:32} {:>10} {:>12} {:>10}", "", "recall@100", "bytes/item", "us/query");
    let item_bytes = |bytes: usize| format!("{:.0}", bytes as f64 / train.n_items() as f64);
    for (name, system, retriever, bytes) in [
        ("popularity", System::Scorer(&popular), None, 4 * train.n_items()),
        (
            "codes",
            System::Retriever(&codes),
            Some(&codes as &dyn Retriever<Query = UserId>),
            codes.index().size_bytes(),
        ),
        ("codes, 300 re-ranked by teacher", System::Retriever(&rerank), Some(&rerank), teacher.index().size_bytes()),
        ("teacher, real vectors", System::Retriever(&teacher), Some(&teacher), teacher.index().size_bytes()),
    ] {
        let test = evaluate_test(system, &split, &[recall], Candidates::Unseen)?;
        let micros = retriever.map(|retriever| -> Result<f64, Box<dyn Error>> {
            let (start, mut top) = (Instant::now(), TopK::new());
            for user in train.users() {
                retriever.top_k(&user, 100, &seen(user)?, &mut top)?;
            }
            Ok(start.elapsed().as_secs_f64() * 1e6 / train.n_users() as f64)
        });
        let micros = micros.transpose()?.map_or("-".into(), |us| format!("{us:.1}"));
        let recall = test.value(recall).unwrap_or_default();
        println!("{name:32} {recall:>10.4} {:>12} {micros:>10}", item_bytes(bytes));
    }
    Ok(())
}
