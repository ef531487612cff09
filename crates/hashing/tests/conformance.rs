//! The shared battery, and an exhaustive oracle over awkward shapes.

#![allow(clippy::unwrap_used, reason = "a failure here is the message")]

use proptest::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{Hit, ItemFilter, ItemId, Retriever, TopK, testing};
use rectify_hashing::{BinaryCodes, HammingIndex};

fn random_codes(seed: u64, n: usize, code_bits: usize, distinct: u32) -> BinaryCodes {
    let mut rng = Seed(seed).rng();
    let pool: Vec<Vec<f32>> = (0..distinct.max(1))
        .map(|_| (0..code_bits).map(|_| if rng.below(2) == 1 { 1.0 } else { -1.0 }).collect())
        .collect();
    let signs: Vec<f32> = (0..n).flat_map(|_| pool[rng.below(distinct.max(1)) as usize].clone()).collect();
    BinaryCodes::from_signs(&signs, code_bits).unwrap()
}

fn check(n: usize, code_bits: usize, distinct: u32) {
    let codes = random_codes(7, n, code_bits, distinct);
    let queries = random_codes(8, 9, code_bits, 9);
    let queries: Vec<&[u64]> = (0..9).map(|q| queries.words_of(q)).collect();
    let index = HammingIndex::new(&codes).unwrap();
    testing::scorer(&index, &queries);
    testing::retriever(&index, &queries, &testing::Oracle::scorer(&index));
    testing::index(&index, &queries);
}

#[test]
fn index_of_short_codes_with_heavy_ties_conforms() {
    check(1000, 5, 1000);
}

#[test]
fn index_of_long_codes_conforms() {
    check(200, 4096, 200);
}

#[test]
fn index_of_duplicates_conforms() {
    check(300, 193, 3);
}

#[test]
fn index_of_one_item_conforms() {
    check(1, 64, 1);
}

#[test]
fn empty_index_answers_nothing() {
    let index = HammingIndex::new(&BinaryCodes::from_signs(&[], 64).unwrap()).unwrap();
    let mut top = TopK::new();
    index.top_k(&[1], 10, &ItemFilter::all(), &mut top).unwrap();
    assert!(top.hits().is_empty());
}

#[test]
fn query_of_another_length_or_with_stray_bits_is_refused() {
    let index = HammingIndex::new(&random_codes(1, 10, 70, 10)).unwrap();
    let mut top = TopK::new();
    let error = index.top_k(&[0], 1, &ItemFilter::all(), &mut top).unwrap_err().to_string();
    assert_eq!(error, "query code (in words) has length 1, expected 2");
    let error = index.top_k(&[0, 1 << 6], 1, &ItemFilter::all(), &mut top).unwrap_err().to_string();
    assert!(error.contains("beyond its 70 bits"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn search_equals_sorting_every_distance(
        seed in any::<u64>(),
        n in 0usize..200,
        code_bits in prop::sample::select(vec![1usize, 2, 31, 48, 63, 64, 65, 127, 128, 129, 192, 193, 256, 257, 320]),
        k in 0usize..250,
    ) {
        let codes = random_codes(seed, n, code_bits, 40);
        let queries = random_codes(seed ^ 1, 3, code_bits, 3);
        let index = HammingIndex::new(&codes).unwrap();
        for q in 0..3 {
            let query = queries.words_of(q);
            let mut expected: Vec<Hit> = (0..n)
                .map(|i| {
                    let d: u32 = query.iter().zip(codes.words_of(i)).map(|(a, b)| (a ^ b).count_ones()).sum();
                    Hit::new(ItemId(i as u32), code_bits as f32 - 2.0 * d as f32)
                })
                .collect();
            expected.sort();
            expected.truncate(k);
            let mut top = TopK::new();
            index.top_k(query, k, &ItemFilter::all(), &mut top).unwrap();
            prop_assert_eq!(top.hits(), &expected[..]);
        }
    }
}
