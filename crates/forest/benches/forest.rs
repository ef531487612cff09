//! Beam search against scoring the whole catalogue with the same network, and training: `cargo bench -p rectify-forest`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rectify_core::Exhaustive;
use rectify_forest::{
    ForestIndex, Histories, ItemFilter, ItemId, Learners, Objective, PreferenceConfig, Retriever, SearchConfig, Seed,
    TopK, TrainRun, Tree, TreeModel, UserId, preference,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 60;

fn histories(n_users: usize, n_items: u32) -> Histories {
    let mut rng = Seed(1).rng();
    Histories::from_rows((0..n_users).map(|_| (0..75).map(|_| ItemId(rng.below(n_items))).collect::<Vec<_>>()))
}

fn trained(n_items: u32, samples: usize, objective: Objective) -> TreeModel {
    let histories = histories(20, n_items);
    let tree = Tree::random(n_items as usize, Seed(1)).expect("items");
    let config = PreferenceConfig { objective, samples_per_epoch: Some(samples), ..PreferenceConfig::default() };
    let run = TrainRun::new(Seed(1)).epochs(1);
    preference::fit(Learners::all(&histories), &tree, &config, run).expect("sound input").0
}

fn query(c: &mut Criterion) {
    let mut group = c.benchmark_group("forest_top60/beam_150/69_items_of_history");
    group.sample_size(10);
    for n_items in [1000u32, 10_000, 100_000] {
        let model = trained(n_items, 8, Objective::Softmax);
        let histories = histories(1, n_items);
        let history = histories.of(UserId(0));
        let index = ForestIndex::new(vec![model.clone()], SearchConfig::default()).expect("one tree");
        let whole = Exhaustive::new(model);
        let (all, mut top, mut exact) = (ItemFilter::all(), TopK::new(), TopK::new());
        // A beam as wide as the catalogue must give the exact list.
        let wide = SearchConfig { beam_width: n_items as usize, ..SearchConfig::default() };
        index.clone().with_search(wide).expect("a beam").top_k(history, K, &all, &mut top).expect("sound query");
        whole.top_k(history, K, &all, &mut exact).expect("sound query");
        assert_eq!(top, exact, "a fast wrong answer is no answer");
        group.bench_function(BenchmarkId::new("beam", n_items), |b| {
            b.iter(|| index.search(black_box(history), K, &all, &mut top).expect("sound query"));
        });
        group.bench_function(BenchmarkId::new("whole_catalogue", n_items), |b| {
            b.iter(|| whole.top_k(black_box(history), K, &all, &mut exact).expect("sound query"));
        });
    }
    group.finish();
}

fn training(c: &mut Criterion) {
    let mut group = c.benchmark_group("forest_training/3706_items/40_negatives");
    group.sample_size(10);
    let samples = 256;
    group.throughput(Throughput::Elements(samples as u64));
    for (name, objective) in [("softmax", Objective::Softmax), ("binary", Objective::Binary)] {
        group.bench_function(BenchmarkId::new(name, samples), |b| b.iter(|| trained(3706, samples, objective)));
    }
    group.finish();
}

criterion_group!(benches, query, training);
criterion_main!(benches);
