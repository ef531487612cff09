//! Exhaustive Hamming search: `cargo bench -p rectify-hashing`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rectify_core::rng::Seed;
use rectify_core::{Hit, ItemFilter, ItemId, Retriever, TopK};
use rectify_hashing::{BinaryCodes, HammingIndex, MultiIndex};

const N: usize = 1_000_000;
const K: usize = 100;

fn codes(seed: u64, n: usize, code_bits: usize) -> BinaryCodes {
    let mut rng = Seed(seed).rng();
    let words: Vec<u64> = (0..n * code_bits / 64).map(|_| rng.next_u64()).collect();
    BinaryCodes::from_words(words, code_bits).expect("whole words")
}

fn naive(codes: &BinaryCodes, query: &[u64], out: &mut TopK) {
    let score = |code: &[u64]| {
        let distance: u32 = code.iter().zip(query).map(|(a, b)| (a ^ b).count_ones()).sum();
        codes.code_bits() as f32 - 2.0 * distance as f32
    };
    let codes = codes.as_words().chunks_exact(codes.words());
    out.assign(K, codes.zip(0u32..).map(|(code, item)| Hit::new(ItemId(item), score(code))));
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("hamming_top100/1M_items");
    group.sample_size(10);
    for code_bits in [64, 128, 192, 256] {
        let items = codes(1, N, code_bits);
        let queries = codes(2, 256, code_bits);
        let queries: Vec<&[u64]> = (0..256).map(|q| queries.words_of(q)).collect();
        let index = HammingIndex::new(&items).expect("fits ids");
        let (mut top, mut expected) = (TopK::new(), TopK::new());
        index.top_k(queries[0], K, &ItemFilter::all(), &mut top).expect("sound query");
        naive(&items, queries[0], &mut expected);
        assert_eq!(top, expected, "a fast wrong answer is no answer");

        group.bench_function(BenchmarkId::new("naive/1_query", code_bits), |b| {
            b.iter(|| naive(&items, black_box(queries[0]), &mut expected));
        });
        group.bench_function(BenchmarkId::new("index/1_query", code_bits), |b| {
            b.iter(|| index.top_k(black_box(queries[0]), K, &ItemFilter::all(), &mut top).expect("sound query"));
        });
        let mut tops = vec![TopK::new(); 256];
        group.bench_function(BenchmarkId::new("index/256_queries", code_bits), |b| {
            b.iter(|| {
                index.top_k_batch(black_box(&queries), K, &[ItemFilter::all()], &mut tops).expect("sound queries");
            });
        });
    }
    group.finish();
}

/// Codes of 8, 16 and 32 bits, whose lanes share registers.
fn short(c: &mut Criterion) {
    let mut group = c.benchmark_group("hamming_top100/1M_items");
    group.sample_size(10);
    for code_bits in [8, 16, 32] {
        let mut rng = Seed(3).rng();
        let words: Vec<u64> = (0..N).map(|_| rng.next_u64() >> (64 - code_bits)).collect();
        let items = BinaryCodes::from_words(words, code_bits).expect("no stray bits");
        let index = HammingIndex::new(&items).expect("fits ids");
        let (query, mut top, mut expected) = (items.words_of(7), TopK::new(), TopK::new());
        index.top_k(query, K, &ItemFilter::all(), &mut top).expect("sound query");
        naive(&items, query, &mut expected);
        assert_eq!(top, expected, "a fast wrong answer is no answer");
        group.bench_function(BenchmarkId::new("index/1_query", code_bits), |b| {
            b.iter(|| index.top_k(black_box(query), K, &ItemFilter::all(), &mut top).expect("sound query"));
        });
    }
    group.finish();
}

/// Tables against the scan, at the two ends: codes in clusters, where the nearest are near, and random ones.
fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("multi_index/1M_items/64_bits");
    group.sample_size(10);
    let mut rng = Seed(4).rng();
    let centres: Vec<u64> = (0..20_000).map(|_| rng.next_u64()).collect();
    let flip = |rng: &mut rectify_core::rng::Rng| 1u64 << rng.below(64);
    let clustered: Vec<u64> = (0..N)
        .map(|_| {
            centres[rng.below(20_000) as usize] ^ flip(&mut rng) ^ flip(&mut rng) ^ flip(&mut rng) ^ flip(&mut rng)
        })
        .collect();
    let random = codes(1, N, 64).as_words().to_vec();
    for (name, words) in [("clustered", clustered), ("random", random)] {
        let items = BinaryCodes::from_words(words, 64).expect("whole words");
        let (scan, index) = (HammingIndex::new(&items).expect("fits ids"), MultiIndex::new(&items).expect("fits ids"));
        let queries: Vec<&[u64]> = (0..256).map(|q| items.words_of(q * 3001)).collect();
        for k in [1, 10, 100] {
            let (mut top, mut expected) = (TopK::new(), TopK::new());
            for query in &queries {
                index.top_k(query, k, &ItemFilter::all(), &mut top).expect("sound query");
                scan.top_k(query, k, &ItemFilter::all(), &mut expected).expect("sound query");
                assert_eq!(top, expected, "a fast wrong answer is no answer");
            }
            let mut next = queries.iter().cycle();
            group.bench_function(BenchmarkId::new(format!("{name}/scan"), k), |b| {
                b.iter(|| scan.top_k(next.next().expect("a cycle"), k, &ItemFilter::all(), &mut top).expect("sound"));
            });
            group.bench_function(BenchmarkId::new(format!("{name}/tables"), k), |b| {
                b.iter(|| index.top_k(next.next().expect("a cycle"), k, &ItemFilter::all(), &mut top).expect("sound"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, scan, short, tables);
criterion_main!(benches);
