//! Quantises a trained matrix factorisation, saves it, maps it, searches: recall, bytes an item, microseconds a query.
//!
//! ```sh
//! cargo run --release -p rectify-quantize --example quantise_mf                       # built-in data, seconds
//! RECTIFY_DATA=DIR cargo run --release -p rectify-quantize --example quantise_mf      # Gowalla, some minutes
//! ```
//!
//! Codes take four bytes an item; the codebooks' 128 KiB are shared, so they weigh less the larger the catalogue is.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use rectify_core::Rerank;
use rectify_data::{Manifest, Protocol, Split, SyntheticConfig, split};
use rectify_eval::{Candidates, Latency, Metric, System, evaluate_test};
use rectify_quantize::{
    CodedFactors, Event, Index, InvertedFactors, InvertedIndex, ItemFilter, LightRecConfig, OpqConfig, Optimizer,
    Overwrite, Provenance, Retriever, RowUpdate, Seed, TeacherVectors, TopK, TrainRun, UserId, UserVectors, light_rec,
    opq,
};
use rectify_teachers::mf::{self, MfConfig};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Length of a list.
const K: usize = 20;

fn main() -> Outcome<()> {
    let seed = Seed(0);
    let (name, interactions, epochs) = match std::env::var_os("RECTIFY_DATA") {
        Some(folder) => {
            let data = Manifest::named("gowalla")?.recipe(&[PathBuf::from(folder)])?.build()?;
            ("gowalla", data.interactions, 20)
        }
        None => ("synthetic data", SyntheticConfig::small().generate("synthetic", seed)?.interactions, 30),
    };
    let split = split(&interactions, None, &Protocol::lightrec(), seed, 0)?;
    let train = &split.train;
    println!("{name}: {} users, {} items, {} pairs", train.n_users(), train.n_items(), train.n_interactions());

    // The teacher: 32 dimensions, BPR with five negatives.
    let config = MfConfig {
        embedding_dim: 32,
        n_negatives: 5,
        l2: 0.01,
        optimizer: Optimizer::adam(0.003),
        row_update: RowUpdate::Lazy,
        ..MfConfig::default()
    };
    let mut watch = |event: &Event| {
        if let Event::Trained { epoch, stats } = event {
            eprintln!("  epoch {epoch}: loss {:.4}", stats.loss);
        }
        ControlFlow::Continue(())
    };
    let (teacher, _) = mf::fit(train, &config, TrainRun::new(seed).epochs(2 * epochs).observer(&mut watch))?;
    let exact = Lists { name: "exact vectors", lists: &teacher, item_bytes: size_of_val(teacher.items()) };
    exact.report(&split)?;

    // Codes of four bytes: by the vectors alone, and learned with the interactions.
    let vectors = TeacherVectors::of(&teacher, train.n_users())?;
    let (dim, config) = (vectors.dim(), OpqConfig::default());
    let (rotation, items) = opq::fit(vectors.items(), dim, &config, seed.stream("opq"))?;
    // Rotated users ask rotated items.
    let mut users = vec![0.0; vectors.users().len()];
    rotation.rotate_into(vectors.users(), &mut users)?;
    let quantised = CodedFactors::new(UserVectors::new(users, dim)?, items, Provenance::new("opq", &config))?;
    Lists { name: "OPQ", lists: &quantised, item_bytes: quantised.index().size_bytes() }.report(&split)?;

    let config = LightRecConfig { row_update: RowUpdate::Lazy, ..LightRecConfig::default() };
    let run = TrainRun::new(seed).epochs(epochs / 2).observer(&mut watch);
    let (learned, _) = light_rec::fit(train, &vectors, &config, run)?;

    // What is served is mapped from a file.
    let folder = std::env::temp_dir().join(format!("rectify-quantise-mf-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("light-rec.safetensors");
    learned.save(&path, Overwrite::Replace)?;
    let served = CodedFactors::open(&path)?;
    println!("saved and mapped {} bytes", std::fs::metadata(&path)?.len());
    let codes = Lists { name: "LightRec", lists: &served, item_bytes: served.index().size_bytes() };
    codes.report(&split)?;

    let reranked = Rerank::new(&served, &teacher, 500)?;
    let item_bytes = served.index().size_bytes() + size_of_val(teacher.items());
    Lists { name: "LightRec, top 500 by exact vectors", lists: &reranked, item_bytes }.report(&split)?;
    for n_probes in [256, 64, 16, 4] {
        let (users, items, provenance) = served.clone().into_parts();
        let lists = InvertedFactors::new(users, InvertedIndex::new(&items, n_probes)?, provenance)?;
        let name = format!("LightRec, {n_probes} of 256 lists");
        let overlap = overlap(&served, &lists, train.n_users())?;
        Lists { name: &name, lists: &lists, item_bytes: lists.index().size_bytes() }.report(&split)?;
        println!("{:<36} {overlap:.4} of the whole scan's top {K}", "");
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A way to lists, with the memory that its items take.
struct Lists<'a> {
    name: &'a str,
    lists: &'a dyn Retriever<Query = UserId>,
    item_bytes: usize,
}

impl Lists<'_> {
    /// Prints what it finds and costs.
    fn report(&self, split: &Split) -> Outcome<()> {
        let metric: Metric = format!("recall@{K}").parse()?;
        let test = evaluate_test(System::Retriever(self.lists), split, &[metric], Candidates::Unseen)?;
        let (start, mut top) = (Instant::now(), TopK::new());
        let step = (split.train.n_users() / 1000).max(1);
        let latency = Latency::measure(
            1000.min(split.train.n_users()),
            || start.elapsed(),
            |i| {
                let user = UserId((i * step) as u32);
                self.lists.top_k(&user, K, &ItemFilter::seen(split.train.items_of(user))?, &mut top)
            },
        )?;
        println!(
            "{:<36} recall@{K} {:.4}   {:>5.1} bytes an item   {:>6.1} µs a query",
            self.name,
            test.value(metric).unwrap_or(f64::NAN),
            self.item_bytes as f64 / split.train.n_items() as f64,
            latency.map_or(f64::NAN, |latency| latency.p50_us)
        );
        Ok(())
    }
}

/// Share of the first's lists that the second finds.
fn overlap(
    first: &dyn Retriever<Query = UserId>,
    second: &dyn Retriever<Query = UserId>,
    n_users: usize,
) -> Outcome<f64> {
    let (mut want, mut got) = (TopK::new(), TopK::new());
    let (mut found, mut n) = (0, 0);
    for user in (0..n_users).step_by((n_users / 500).max(1)).map(|user| UserId(user as u32)) {
        first.top_k(&user, K, &ItemFilter::all(), &mut want)?;
        second.top_k(&user, K, &ItemFilter::all(), &mut got)?;
        n += want.hits().len();
        found += want.items().filter(|item| got.items().any(|other| other == *item)).count();
    }
    Ok(found as f64 / n as f64)
}
