//! Exact search and selection: the naive way, and ours.
//!
//! The peers of other languages are measured by `benches/peers/exact_ip.py` at the top of the repository.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, Hit, ItemFilter, ItemId, Retriever, TopK, select_top_k};

const K: usize = 100;

fn normal(n: usize, stream: &str) -> Vec<f32> {
    let mut rng = Seed(1).stream(stream).rng();
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn naive_selection(scores: &[f32], out: &mut TopK) {
    let mut hits: Vec<Hit> = scores.iter().enumerate().map(|(i, &s)| Hit::new(ItemId(i as u32), s)).collect();
    hits.sort_unstable();
    hits.truncate(K);
    out.assign(K, hits);
}

fn naive_search(rows: &[f32], query: &[f32], out: &mut TopK) {
    let scores: Vec<f32> = rows
        .chunks_exact(query.len())
        .map(|row| row.iter().zip(query).fold(0.0, |sum: f32, (x, q)| q.mul_add(*x, sum)))
        .collect();
    naive_selection(&scores, out);
}

fn selection(c: &mut Criterion) {
    let scores = normal(1_000_000, "scores");
    let (mut ours, mut naive) = (TopK::new(), TopK::new());
    select_top_k(&scores, K, &ItemFilter::all(), &mut ours).expect("no score is NaN");
    naive_selection(&scores, &mut naive);
    assert_eq!(ours, naive, "the answer");

    let mut group = c.benchmark_group("select_top_100/1m_scores");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.bench_function("sort", |b| b.iter(|| naive_selection(black_box(&scores), &mut naive)));
    group.bench_function("select_top_k", |b| {
        b.iter(|| select_top_k(black_box(&scores), K, &ItemFilter::all(), &mut ours));
    });
    group.finish();
}

fn search(c: &mut Criterion) {
    for (n, dim) in [(100_000, 32), (100_000, 64)] {
        let rows = normal(n * dim, "rows");
        let asked = normal(256 * dim, "queries");
        let queries: Vec<&[f32]> = asked.chunks_exact(dim).collect();
        let mut naive = TopK::new();
        naive_search(&rows, queries[0], &mut naive);

        let mut group = c.benchmark_group(format!("exact_top_100/{n}_items/dim_{dim}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.bench_function("naive/1_query", |b| b.iter(|| naive_search(&rows, black_box(queries[0]), &mut naive)));
        for (name, first_pass) in [("f32", false), ("first_pass", true)] {
            let index = ExactIndex::build(rows.clone(), dim, &ExactConfig { first_pass }).expect("rows are finite");
            for n_queries in [1, 8, 256] {
                let mut out = vec![TopK::new(); n_queries];
                let mut run = || {
                    index
                        .top_k_batch(black_box(&queries[..n_queries]), K, &[ItemFilter::all()], &mut out)
                        .expect("queries are finite");
                };
                run();
                group.bench_function(BenchmarkId::new(name, format!("{n_queries}_queries")), |b| b.iter(&mut run));
                assert_eq!(out[0], naive, "the answer");
            }
        }
        group.finish();
    }
}

criterion_group!(benches, selection, search);
criterion_main!(benches);
