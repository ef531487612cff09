//! Losses and draws, one thread, CPU time: `cargo bench -p rectify-distill --bench losses`.
//!
//! The shapes are those of `benches/peers/distill.py`, which measures PyTorch on them.

#[path = "../../tensor/benches/cpu_time/mod.rs"]
mod cpu_time;

use std::hint::black_box;
use std::time::Duration;

use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion};
use rectify_core::rng::Seed;
use rectify_core::{Catalogue, ItemId, QueryError, Scorer, UserId};
use rectify_distill::sampling::{ListSampler, ListSamplerConfig, Rankings};
use rectify_distill::{Annealing, Experts, ExpertsConfig, ExpertsWorkspace, ListShape, gumbel_noise, relaxed_ranking};

const ROWS: usize = 1024;
const LISTS: ListShape = ListShape { n_interesting: 40, n_uninteresting: 40 };

fn normals(name: &str, n: usize) -> Vec<f32> {
    let mut rng = Seed(1).stream(name).rng();
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// RRD as printed: each denominator anew, O(K (K + L)) exponentials a user.
fn naive(scores: &[f32], grads: &mut [f32]) -> f64 {
    let mut total = 0.0;
    for (row, grad) in scores.chunks(LISTS.len()).zip(grads.chunks_mut(LISTS.len())) {
        grad.fill(0.0);
        for k in 0..LISTS.n_interesting {
            let sum: f32 = row[k..].iter().map(|s| (s - row[k]).exp()).sum();
            total += f64::from(sum.ln());
            grad[k] -= 1.0;
            for (g, s) in grad[k..].iter_mut().zip(&row[k..]) {
                *g += (s - row[k]).exp() / sum;
            }
        }
    }
    total
}

fn rankings(c: &mut Criterion<CpuTime>) {
    let scores = normals("scores", ROWS * LISTS.len());
    let (mut grads, mut naive_grads) = (vec![0.0; scores.len()], vec![0.0; scores.len()]);
    let (fast, slow) =
        (relaxed_ranking(&scores, LISTS, 1.0, &mut grads).expect("shapes fit"), naive(&scores, &mut naive_grads));
    assert!((fast - slow).abs() < 1e-4 * slow, "{fast} against {slow}");
    assert!(grads.iter().zip(&naive_grads).all(|(a, b)| (a - b).abs() < 1e-4));

    let mut group = c.benchmark_group("relaxed_ranking/1024_users/40+40");
    group.bench_function("ours", |b| {
        b.iter(|| relaxed_ranking(black_box(&scores), LISTS, 1.0, &mut grads).expect("shapes fit"));
    });
    group.bench_function("naive", |b| b.iter(|| naive(black_box(&scores), &mut naive_grads)));
    group.finish();
}

fn experts(c: &mut Criterion<CpuTime>) {
    let experts = Experts::new(ExpertsConfig::default(), 20, 200).expect("settings are sound");
    let (students, teachers) = (normals("students", ROWS * 20), normals("teachers", ROWS * 200));
    let mut params = vec![0.0; experts.n_params()];
    experts.init(Seed(1).stream("params"), &mut params).expect("sizes fit");
    let (mut d_params, mut d_students) = (vec![0.0; params.len()], vec![0.0; students.len()]);
    let mut noise = vec![0.0; experts.noise_len(ROWS)];
    let mut workspace = ExpertsWorkspace::default();
    let mut group = c.benchmark_group("experts/1024_entities/20_to_200/30_experts");
    for epoch in [0, 100, 150, 200, 300] {
        let (temperature, mut step) = (Annealing::default().at(epoch), 0);
        group.bench_function(BenchmarkId::from_parameter(format!("epoch_{epoch}")), |b| {
            b.iter(|| {
                step += 1;
                gumbel_noise(Seed(2), epoch, step, 30, &mut noise);
                d_params.fill(0.0);
                d_students.fill(0.0);
                experts
                    .loss(
                        &params,
                        black_box(&students),
                        &teachers,
                        &noise,
                        temperature,
                        1.0,
                        &mut workspace,
                        &mut d_params,
                        &mut d_students,
                    )
                    .expect("sizes fit")
            });
        });
    }
    group.finish();
}

/// A teacher that costs nothing.
struct Cheap(usize);

impl Catalogue for Cheap {
    fn n_items(&self) -> usize {
        self.0
    }
}

impl Scorer for Cheap {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        for (item, out) in items.iter().zip(out) {
            *out = (item.0.wrapping_mul(2_654_435_761) ^ user.0) as f32;
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        for (item, out) in out.iter_mut().enumerate() {
            *out = ((item as u32).wrapping_mul(2_654_435_761) ^ user.0) as f32;
        }
        Ok(())
    }
}

fn draws(c: &mut Criterion<CpuTime>) {
    let (n_users, n_items) = (5_220, 25_182);
    let seen: Vec<ItemId> = (0..22).map(|i| ItemId(i * 1000)).collect();
    let rank = || Rankings::new(&Cheap(n_items), n_users, n_items, |_| &seen, 500).expect("the teacher is sound");
    let rankings = rank();
    let sampler = ListSampler::new(ListSamplerConfig::default(), rankings).expect("settings are sound");
    let mut lists = sampler.draw(Seed(1), 0);
    let mut epoch = 0;
    let mut group = c.benchmark_group("lists/5220_users/25182_items");
    group.bench_function("draw_40+40", |b| {
        b.iter(|| {
            epoch += 1;
            sampler.draw_into(Seed(1), epoch, black_box(&mut lists));
        });
    });
    group.bench_function("rank_500_best", |b| b.iter(rank));
    group.finish();
}

fn main() {
    // One thread, on which the clock runs too.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool of one thread");
    pool.install(|| {
        let mut criterion = Criterion::default()
            .with_measurement(CpuTime)
            .sample_size(20)
            .warm_up_time(Duration::from_secs(1))
            .measurement_time(Duration::from_secs(4))
            .configure_from_args();
        rankings(&mut criterion);
        experts(&mut criterion);
        draws(&mut criterion);
        criterion.final_summary();
    });
}
