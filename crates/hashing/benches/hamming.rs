//! Exhaustive Hamming search: `cargo bench -p rectify-hashing`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rectify_core::rng::Seed;
use rectify_core::{Hit, ItemFilter, ItemId, Retriever, TopK};
use rectify_hashing::{BinaryCodes, HammingIndex};

const N: usize = 1_000_000;
const K: usize = 100;

fn codes(seed: u64, n: usize, code_bits: usize) -> BinaryCodes {
    let mut rng = Seed(seed).rng();
    let words = (0..n * code_bits / 64).map(|_| rng.next_u64()).collect();
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

criterion_group!(benches, scan);
criterion_main!(benches);
