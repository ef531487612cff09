//! Full evaluation of all users of a data set of MovieLens-1M's shape: 6,040 users, 3,706 items, about a million pairs, a
//! fifth of each user's held out, a model of 64 factors. CPU time of one core; with `RECTIFY_DATA` set, on the data itself too.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stderr, reason = "a skipped part must be seen")]

#[path = "../../tensor/benches/cpu_time/mod.rs"]
mod cpu_time;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};
use rectify_core::rng::Seed;
use rectify_core::{
    Catalogue, ExactConfig, ExactIndex, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId,
};
use rectify_data::{Interactions, Manifest, PerUser, Protocol, Split, SyntheticConfig, search_dirs, split};
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Cut, Measure, Metric, System, evaluate_test};

const DIM: usize = 64;

/// Users' vectors before an index of the items': what a matrix factorisation serves.
struct Model {
    users: Vec<f32>,
    items: ExactIndex,
}

impl Model {
    /// Random tastes on top of popularity, so that lists hit as often as a real model's.
    fn new(split: &Split) -> Self {
        let mut rng = Seed(1).rng();
        let mut rows = |n: usize, first: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..n * DIM).map(|i| if i % DIM == 0 { first(i / DIM) } else { 0.1 * rng.normal() as f32 }).collect()
        };
        let counts = split.train.item_counts();
        let items = rows(split.train.n_items(), &|item| (1.0 + counts[item] as f32).ln());
        let users = rows(split.train.n_users(), &|_| 1.0);
        Self { users, items: ExactIndex::build(items, DIM, &ExactConfig::default()).unwrap() }
    }

    fn user(&self, user: UserId) -> &[f32] {
        &self.users[user.index() * DIM..][..DIM]
    }
}

impl Catalogue for Model {
    fn n_items(&self) -> usize {
        self.items.n_items()
    }
}

impl Scorer for Model {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.items.score_into(self.user(*user), items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.items.score_all_into(self.user(*user), out)
    }
}

impl Retriever for Model {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.items.top_k(self.user(*user), k, filter, out)
    }

    fn top_k_batch(
        &self,
        users: &[&UserId],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        let vectors: Vec<&[f32]> = users.iter().map(|user| self.user(**user)).collect();
        self.items.top_k_batch(&vectors, k, filters, out)
    }
}

/// Every measure at 5, 10, 20, 50, 100 and at the number of true items.
fn all_metrics() -> Vec<Metric> {
    let cuts = [Cut::At(5), Cut::At(10), Cut::At(20), Cut::At(50), Cut::At(100), Cut::Truth];
    Measure::ALL.iter().flat_map(|measure| cuts.iter().filter_map(|cut| Metric::new(*measure, *cut).ok())).collect()
}

fn at_20() -> Vec<Metric> {
    ["ndcg@20".parse().unwrap(), "recall@20".parse().unwrap()].to_vec()
}

/// Per-user share held out, with sampled candidates beside it.
fn held_out(all: &Interactions) -> Split {
    let Protocol::PerUser(share) = Protocol::lightrec() else { unreachable!("it holds out items of each user") };
    let protocol = Protocol::PerUser(PerUser { validation: None, candidates: Some(499), ..share });
    split(all, None, &protocol, Seed(1), 0).unwrap()
}

fn measure(c: &mut Criterion<CpuTime>, name: &str, split: &Split) {
    let model = Model::new(split);
    let (lists, scores) = (System::Retriever(&model), System::Scorer(&model));
    let all = all_metrics();
    let whole = [&all[..], &["ndcg@all".parse().unwrap()]].concat();
    let without_lists: Vec<Metric> = all.iter().copied().filter(|m| m.measure() != Measure::Coverage).collect();
    let mut group = c.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for (what, system, metrics, candidates) in [
        ("lists/2_metrics/k20", lists, at_20(), Candidates::Unseen),
        ("lists/all_metrics/k100", lists, all.clone(), Candidates::Unseen),
        ("scores/all_metrics/k100", scores, all.clone(), Candidates::Unseen),
        ("scores/all_metrics/whole_ranking", scores, whole, Candidates::Unseen),
        ("scores/all_metrics/499_candidates", scores, without_lists, Candidates::Sampled),
    ] {
        group.bench_function(what, |b| {
            b.iter(|| evaluate_test(black_box(system), split, &metrics, candidates).unwrap());
        });
    }
    let evaluation = evaluate_test(lists, split, &all, Candidates::Unseen).unwrap();
    group.bench_function("bootstrap/all_metrics/1000", |b| {
        b.iter(|| evaluation.summaries(black_box(&Bootstrap::default())).unwrap());
    });
    group.finish();
}

fn synthetic(c: &mut Criterion<CpuTime>) {
    let config = SyntheticConfig { n_users: 6040, n_items: 3706, mean_interactions: 165.0, ..SyntheticConfig::small() };
    let data = config.generate("ml-1m's shape", Seed(1)).unwrap();
    measure(c, "synthetic_6040x3706", &held_out(&data.interactions));
}

fn real(c: &mut Criterion<CpuTime>) {
    let Some(dir) = std::env::var_os("RECTIFY_DATA") else {
        eprintln!("SKIPPED: RECTIFY_DATA is not set, so ml-1m itself is not measured");
        return;
    };
    let dirs = search_dirs(None, Some(dir), None);
    let data = Manifest::named("ml-1m").unwrap().recipe(&dirs).unwrap().build().unwrap();
    measure(c, "ml-1m", &held_out(&data.interactions));
}

fn on_one_core() -> Criterion<CpuTime> {
    // The measured thread is the whole pool, so that its time is all of the time.
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    Criterion::default().with_measurement(CpuTime)
}

criterion_group!(name = benches; config = on_one_core(); targets = synthetic, real);
criterion_main!(benches);
