//! The best 20 of 3,706 items (MovieLens-1M), one user after the other, one thread, CPU time:
//! `cargo bench -p rectify-cascade --bench search`.
//!
//! A cascade of random weights whose thresholds reject .75, .875 and .9375, and NeuMF at HDN's sizes; each sample is 20 users.

#[path = "../../tensor/benches/cpu_time/mod.rs"]
mod cpu_time;

use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};
use rectify_cascade::{
    CascadeIndex, CascadeParts, Interactions, ItemFilter, ItemId, ModuleParts, Rejection, RejectionRatios, Retriever,
    Seed, TopK, TrainRun, UserId,
};
use rectify_core::Exhaustive;
use rectify_teachers::neumf::{self, NeuMfConfig};

const N_USERS: usize = 20;
const N_ITEMS: usize = 3706;
const DIM: usize = 32;

fn cascade() -> CascadeIndex {
    let mut rng = Seed(1).stream("bench").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let mut module = |n: usize| {
        let input = if n == 0 { DIM } else { 2 * DIM };
        ModuleParts { decision: draw(input, 0.2), bias: 0.0, weight: draw(input * DIM, 0.2) }
    };
    let parts = CascadeParts {
        modules: (0..3).map(&mut module).collect(),
        embedding_dim: DIM,
        users: draw(N_USERS * DIM, 1.0).into(),
        items: draw(N_ITEMS * DIM, 1.0).into(),
        score: draw(2 * DIM, 0.2),
        score_bias: 0.0,
    };
    let index = CascadeIndex::new(parts, Rejection::learned(3)).expect("sizes fit");
    let ratios = RejectionRatios::new(&[0.75, 0.875, 0.9375]).expect("they rise");
    let users: Vec<UserId> = (0..N_USERS as u32).map(UserId).collect();
    index.calibrated(&ratios, &users).expect("there are users and items")
}

fn search(c: &mut Criterion<CpuTime>) {
    let index = cascade();
    let all = index.clone().with_rejection(Rejection::Never).expect("as many modules");
    let order: Vec<ItemId> = (0..N_ITEMS as u32).rev().map(ItemId).collect();
    let batches = index.batch_wise(&order, 256).expect("each item once");
    let pairs: Vec<(u32, u32)> = (0..N_USERS as u32).map(|user| (user, 97 * user)).collect();
    let data = Interactions::from_pairs(N_USERS, N_ITEMS, &pairs).expect("ids in range");
    let run = TrainRun::new(Seed(1)).epochs(1);
    let (neumf, _) = neumf::fit(&data, &NeuMfConfig::default(), run).expect("an epoch of a few pairs");
    let neumf = Exhaustive::new(&neumf);

    // A quick wrong answer is none.
    let (mut top, mut want) = (TopK::new(), TopK::new());
    for user in (0..N_USERS as u32).map(UserId) {
        index.top_k(&user, 20, &ItemFilter::all(), &mut top).expect("a known user");
        Exhaustive::new(&index).top_k(&user, 20, &ItemFilter::all(), &mut want).expect("a known user");
        assert_eq!(top, want, "user {user}");
    }

    let mut group = c.benchmark_group("top20/3706_items/20_users");
    for (name, retriever) in [
        ("cascade", &index as &dyn Retriever<Query = UserId>),
        ("cascade_rejecting_nothing", &all),
        ("cascade_in_batches_of_256", &batches),
        ("neumf_all_pairs", &neumf),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                for user in (0..N_USERS as u32).map(UserId) {
                    retriever.top_k(&user, 20, &ItemFilter::all(), &mut top).expect("a known user");
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2));
    targets = search
}
criterion_main!(benches);
