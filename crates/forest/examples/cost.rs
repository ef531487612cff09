//! What a search costs as the catalogue grows: nodes scored and CPU time of one query, beside scoring every item with the same
//! network; a Markdown table.
//!
//!     cargo run --release -p rectify-forest --example cost -- 1000000    # items at most; 10,000 if nothing is said
//!
//! Catalogues are made up, the network has the paper's sizes and is hardly trained: neither count nor time depends on what it likes.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Instant;

use rectify_core::Exhaustive;
use rectify_forest::{
    ForestIndex, Histories, ItemFilter, ItemId, Learners, PreferenceConfig, Retriever, SearchConfig, Seed, TopK,
    TrainRun, Tree, UserId, preference,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 60;
/// Milliseconds that are measured together: some systems count a CPU's time in steps of four.
const LONG: f64 = 400.0;

/// Milliseconds of this thread so far: of the CPU where Linux tells, of the clock elsewhere.
fn now(start: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_processor = told.and_then(|told| told.split_whitespace().next()?.parse::<f64>().ok());
    on_processor.map_or(start.elapsed().as_secs_f64() * 1e3, |nanoseconds| nanoseconds / 1e6)
}

/// Milliseconds of work, a mean over as many times as take long enough to be measured.
fn cost(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let before = now(start);
    let mut done = 0.0;
    loop {
        work();
        done += 1.0;
        let took = now(start) - before;
        if took >= LONG {
            return took / done;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = PreferenceConfig { samples_per_epoch: Some(8), ..PreferenceConfig::default() };
    let all = ItemFilter::all();
    println!("| items | levels | nodes scored, beam 50 | beam 150 | query, beam 150 | all items | ratio |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    let largest: u32 = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    let sizes = [1000u32, 3706, 10_000, 31_623, 100_000, 316_228, 1_000_000];
    for n_items in sizes.into_iter().filter(|n| *n <= largest) {
        let mut rng = Seed(1).rng();
        let rows = (0..8).map(|_| (0..75).map(|_| ItemId(rng.below(n_items))).collect::<Vec<_>>());
        let histories = Histories::from_rows(rows);
        let tree = Tree::random(n_items as usize, Seed(1))?;
        let levels = tree.layout().leaf_level();
        let run = TrainRun::new(Seed(1)).epochs(1);
        let (model, _) = preference::fit(Learners::all(&histories), &tree, &config, run)?;
        let history = histories.of(UserId(0));

        let (mut top, mut exact) = (TopK::new(), TopK::new());
        let narrow = SearchConfig { beam_width: 50, ..SearchConfig::default() };
        let index = ForestIndex::new(vec![model], narrow)?;
        // Fifty items, so that the beam is not widened.
        let few = index.search(history, 50, &all, &mut top)?;
        let index = index.with_search(SearchConfig::default())?;
        let many = index.search(history, K, &all, &mut top)?;
        let search = cost(|| drop(index.search(history, K, &all, &mut top)));
        print!("| {n_items} | {levels} | {few} | {many} | {search:.1} ms |");
        // Beyond, a scan of everything takes seconds and says the same.
        if n_items > 100_000 {
            println!(" | |");
            continue;
        }
        let whole = Exhaustive::new(index.last());
        let scan = cost(|| drop(whole.top_k(history, K, &all, &mut exact)));
        println!(" {scan:.0} ms | {:.1} |", scan / search);
    }
    Ok(())
}
