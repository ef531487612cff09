//! Exact search of the best inner products: the same list as scoring every row, sooner; then the same from a mapped file.
//!
//! `cargo run --release -p rectify-core --example exact -- [ITEMS]`: 64 dimensions, the best 20.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::time::Instant;

use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, Index, ItemFilter, Retriever, Scorer, TopK, select_top_k};

const DIM: usize = 64;
const K: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let n_items: usize = std::env::args().nth(1).map_or(Ok(50_000), |n| n.parse())?;
    let mut rng = Seed(1).rng();
    let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.normal() as f32).collect() };
    let index = ExactIndex::build(normal(n_items * DIM), DIM, &ExactConfig::default())?;
    let queries: Vec<Vec<f32>> = (0..50).map(|_| normal(DIM)).collect();

    // Every row scored, then the best chosen: what the index must answer.
    let begun = Instant::now();
    let mut scores = vec![0.0; n_items];
    let (mut top, mut wanted) = (TopK::new(), Vec::new());
    for query in &queries {
        index.score_all_into(query, &mut scores)?;
        select_top_k(&scores, K, &ItemFilter::all(), &mut top)?;
        wanted.push(top.hits().to_vec());
    }
    let naive = begun.elapsed();

    let path = std::env::temp_dir().join(format!("exact-{}.rectify", std::process::id()));
    index.save(&path, Overwrite::Replace)?;
    let size = std::fs::metadata(&path)?.len();
    let mapped = ExactIndex::open(&path)?;
    std::fs::remove_file(&path)?;
    let begun = Instant::now();
    let mut equal = 0;
    for (query, wanted) in queries.iter().zip(&wanted) {
        mapped.top_k(query, K, &ItemFilter::all(), &mut top)?;
        equal += usize::from(top.hits() == wanted.as_slice());
    }
    let ours = begun.elapsed();

    println!("{n_items} items of {DIM} dimensions: {size} bytes on disk, {} an item", size / n_items.max(1) as u64);
    println!("the best {K}: {equal} of {} lists equal to scoring everything, bit for bit", queries.len());
    let per_query = |time: std::time::Duration| time.as_secs_f64() * 1e6 / queries.len() as f64;
    println!("{:.0} µs a query; scoring everything {:.0} µs", per_query(ours), per_query(naive));
    if equal == queries.len() { Ok(()) } else { Err("the index lost an item".into()) }
}
