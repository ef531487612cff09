//! Exhaustive scan of codes: `cargo bench -p rectify-quantize`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, ItemFilter, Retriever, TopK};
use rectify_quantize::{CodeIndex, CodeShape, Composition};

const N: usize = 1_000_000;
const K: usize = 100;
const DIM: usize = 64;

fn random_index(n_codebooks: usize, n_codewords: usize) -> CodeIndex {
    let shape = CodeShape { embedding_dim: DIM, n_codebooks, n_codewords, composition: Composition::Sum };
    let mut rng = Seed(1).rng();
    let codebooks: Vec<f32> = (0..n_codebooks * n_codewords * DIM).map(|_| rng.normal() as f32).collect();
    let codes: Vec<u8> = (0..N * n_codebooks).map(|_| rng.below(n_codewords as u32) as u8).collect();
    CodeIndex::from_codes(shape, &codebooks, &codes).expect("a sound shape")
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("code_scan_top100/1M_items");
    group.sample_size(10);
    for (n_codebooks, n_codewords) in [(4, 256), (8, 256), (16, 256), (8, 16), (16, 16), (32, 16)] {
        let index = random_index(n_codebooks, n_codewords);
        let mut rng = Seed(2).rng();
        let queries: Vec<Vec<f32>> = (0..256).map(|_| (0..DIM).map(|_| rng.normal() as f32).collect()).collect();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        let plain = Exhaustive::new(&index);
        let (mut top, mut expected) = (TopK::new(), TopK::new());
        index.top_k(queries[0], K, &ItemFilter::all(), &mut top).expect("a sound query");
        plain.top_k(queries[0], K, &ItemFilter::all(), &mut expected).expect("a sound query");
        assert_eq!(top, expected, "a fast wrong answer is no answer");

        let name = format!("{n_codebooks}x{n_codewords}");
        group.bench_function(BenchmarkId::new("plain_f32/1_query", &name), |b| {
            b.iter(|| plain.top_k(black_box(queries[0]), K, &ItemFilter::all(), &mut expected).expect("a sound query"));
        });
        group.bench_function(BenchmarkId::new("index/1_query", &name), |b| {
            b.iter(|| index.top_k(black_box(queries[0]), K, &ItemFilter::all(), &mut top).expect("a sound query"));
        });
        let mut tops = vec![TopK::new(); 256];
        group.bench_function(BenchmarkId::new("index/256_queries", &name), |b| {
            b.iter(|| {
                index.top_k_batch(black_box(&queries), K, &[ItemFilter::all()], &mut tops).expect("sound queries");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
