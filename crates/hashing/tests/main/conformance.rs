//! The shared battery, and an exhaustive oracle over awkward shapes.

use proptest::prelude::*;
use rectify_core::artifact::{Artifact, ArtifactWriter};
use rectify_core::rng::Seed;
use rectify_core::testing;
use rectify_hashing::{
    BinaryCodes, HammingIndex, Hit, Index, ItemFilter, ItemId, MultiIndex, Overwrite, RerankIndex, Retriever, TopK,
};

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
    let tables = MultiIndex::new(&codes).unwrap();
    testing::scorer(&tables, &queries);
    testing::retriever(&tables, &queries, &testing::Oracle::scorer(&index));
    testing::index(&tables, &queries);
}

#[test]
fn indexes_of_codes_in_lanes_conform() {
    for code_bits in [1, 8, 12, 16, 24, 32] {
        check(333, code_bits, 333);
    }
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
    let tables = MultiIndex::new(&BinaryCodes::from_signs(&[], 64).unwrap()).unwrap();
    tables.top_k(&[1], 10, &ItemFilter::all(), &mut top).unwrap();
    assert!(top.hits().is_empty());
}

#[test]
fn short_codes_take_the_bytes_of_their_lane() {
    for (code_bits, bytes) in [(8, 1), (9, 2), (16, 2), (32, 4), (33, 8), (64, 8), (192, 24)] {
        let index = HammingIndex::new(&random_codes(1, 640, code_bits, 640)).unwrap();
        assert_eq!(index.size_bytes(), 640 * bytes, "{code_bits} bits");
    }
}

#[test]
fn several_indexes_stand_in_one_file() {
    let codes = random_codes(3, 100, 20, 100);
    let (scan, tables) = (HammingIndex::new(&codes).unwrap(), MultiIndex::new(&codes).unwrap());
    let rerank = RerankIndex::build(codes.to_signs(), 20, 30).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("several");
    let mut writer = ArtifactWriter::new("several", 1);
    scan.write(&mut writer, "scan/");
    tables.write(&mut writer, "tables/");
    rerank.write(&mut writer, "rerank/");
    writer.save(&path, Overwrite::Refuse).unwrap();

    let artifact = Artifact::open(&path, "several", 1).unwrap();
    let opened = HammingIndex::read(&artifact, "scan/").unwrap();
    assert!(opened.validate().is_empty() && opened.codes() == codes);
    let opened = MultiIndex::read(&artifact, "tables/").unwrap();
    assert!(opened.validate().is_empty() && opened.codes().codes() == codes && opened.n_tables() == tables.n_tables());
    let opened = RerankIndex::read(&artifact, "rerank/").unwrap();
    assert!(opened.validate().is_empty() && opened.codes().codes() == codes && opened.depth() == 30);
    assert_eq!(opened.vectors().rows(), codes.to_signs());
    assert!(HammingIndex::read(&artifact, "").is_err());
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
        code_bits in prop::sample::select(
            vec![1usize, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 129, 192, 193, 256, 257, 320]
        ),
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

    /// Enough codes for the tables to answer: near duplicates of a few centres, many of them equal.
    #[test]
    fn tables_give_the_lists_of_the_scan_ties_and_filters_included(
        seed in any::<u64>(),
        code_bits in prop::sample::select(vec![20usize, 32, 48, 64, 96, 130, 192]),
        n_tables in prop::option::of(8usize..20),
        k in prop::sample::select(vec![1usize, 5, 30, 200]),
    ) {
        let centres = random_codes(seed, 40, code_bits, 40);
        let mut rng = Seed(seed).stream("flips").rng();
        let mut words = Vec::new();
        for _ in 0..12_000 {
            let mut code = centres.words_of(rng.below(40) as usize).to_vec();
            for _ in 0..rng.below(5) {
                let bit = rng.below(code_bits as u32) as usize;
                code[bit / 64] ^= 1 << (bit % 64);
            }
            words.extend(code);
        }
        let codes = BinaryCodes::from_words(words, code_bits).unwrap();
        let scan = HammingIndex::new(&codes).unwrap();
        let tables = match n_tables {
            Some(n) => MultiIndex::with_tables(&codes, n).unwrap(),
            None => MultiIndex::new(&codes).unwrap(),
        };
        let seen: Vec<ItemId> = (0..12_000).step_by(3).map(ItemId).collect();
        let filter = ItemFilter::seen(&seen).unwrap();
        let (mut want, mut got) = (TopK::new(), TopK::new());
        for q in 0..4 {
            scan.top_k(centres.words_of(q), k, &filter, &mut want).unwrap();
            tables.top_k(centres.words_of(q), k, &filter, &mut got).unwrap();
            prop_assert_eq!(&got, &want);
        }
    }
}
