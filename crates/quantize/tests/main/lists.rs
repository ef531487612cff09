//! Codes in inverted lists: exact with all probes, never short with few.

use rectify_core::rng::Seed;
use rectify_core::{ItemBits, testing};
use rectify_quantize::{
    CodeIndex, CodeShape, CodesError, Composition, Index, InvertedFactors, InvertedIndex, ItemFilter, ItemId,
    Provenance, Retriever, Scorer, TopK, UserId, UserVectors,
};

use crate::conformance::{random_index, random_queries, shape};

#[test]
fn lists_with_all_probes_conform_and_answer_as_the_index() {
    for (shape, n, distinct) in [
        (shape(4, 256, Composition::Sum), 1000, 1000),
        (shape(5, 8, Composition::Sum), 130, 130),
        (shape(8, 16, Composition::Product), 500, 40),
        (shape(1, 2, Composition::Sum), 1, 1),
        // As many items as cells.
        (shape(3, 32, Composition::Sum), 1100, 1100),
    ] {
        let index = random_index(3, n, shape, distinct);
        let lists = InvertedIndex::new(&index, shape.n_codewords).unwrap();
        let queries = random_queries(4, 9, shape.embedding_dim);
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        testing::scorer(&lists, &queries);
        testing::scorer_refuses(&lists, &queries[0][1..]);
        testing::retriever(&lists, &queries, &testing::Oracle::scorer(&index));
        testing::retriever_refuses(&lists, queries[0], &queries[0][1..]);
        testing::index(&lists, &queries);
        let (mut scores, mut expected) = (vec![0.0; n], vec![0.0; n]);
        lists.score_all_into(queries[0], &mut scores).unwrap();
        index.score_all_into(queries[0], &mut expected).unwrap();
        assert_eq!(scores, expected);
        let n_cells = if n == 1100 { 32 * 32 } else { shape.n_codewords };
        assert_eq!(lists.size_bytes(), index.size_bytes() + 4 * n + 4 * (n_cells + 1));
    }
    let empty = CodeIndex::from_codes(shape(1, 2, Composition::Sum), &[0.0; 6], &[]).unwrap();
    let mut top = TopK::new();
    InvertedIndex::new(&empty, 1).unwrap().top_k(&[1.0; 3], 10, &ItemFilter::all(), &mut top).unwrap();
    assert!(top.hits().is_empty());
    assert_eq!(InvertedIndex::new(&empty, 0).unwrap_err(), CodesError::Zero { what: "n_probes" });
}

#[test]
fn fewer_probes_cost_recall_where_the_first_codebook_says_less() {
    // Residual codes: each codebook a third as long as the one before.
    let shape = shape(4, 64, Composition::Sum);
    let mut rng = Seed(11).rng();
    let per_codebook = 64 * shape.embedding_dim;
    let codebooks: Vec<f32> =
        (0..4 * per_codebook).map(|i| (rng.normal() / 3f64.powi((i / per_codebook) as i32)) as f32).collect();
    let codes: Vec<u8> = (0..5000 * 4).map(|_| rng.below(64) as u8).collect();
    let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
    let (mut exact, mut got) = (TopK::new(), TopK::new());
    let mut found = Vec::new();
    for n_probes in [1, 4, 16, 64] {
        let lists = InvertedIndex::new(&index, 64).unwrap().with_probes(n_probes).unwrap();
        let mut hits = 0;
        for query in random_queries(5, 20, shape.embedding_dim) {
            index.top_k(&query, 50, &ItemFilter::all(), &mut exact).unwrap();
            lists.top_k(&query, 50, &ItemFilter::all(), &mut got).unwrap();
            hits += exact.items().filter(|item| got.items().any(|other| other == *item)).count();
        }
        found.push(hits);
    }
    // Of 1000; usually about 500, 920, 1000.
    assert!(found[0] < found[1] && found[1] < found[2] && found[3] == 1000, "{found:?}");
    assert!(found[1] > 700, "{found:?}");
}

#[test]
fn with_one_probe_lists_conform_but_for_recall_and_are_as_long_as_they_can_be() {
    for (shape, n, band) in [
        // Lists of four items, so that most answers come from several.
        (shape(4, 256, Composition::Sum), 1000, 0.3..=0.99),
        (shape(5, 8, Composition::Sum), 130, 0.3..=0.99),
        // Cells.
        (shape(3, 32, Composition::Sum), 1100, 0.3..=0.99),
    ] {
        let index = random_index(3, n, shape, n as u32);
        let lists = InvertedIndex::new(&index, 1).unwrap();
        let queries = random_queries(4, 9, shape.embedding_dim);
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        testing::retriever(&lists, &queries, &testing::Oracle::scorer(&index).recall(band));
        // What passes is spread over all lists, and little of it.
        let mut few = vec![0u64; n.div_ceil(64)];
        (5..n).step_by(97).for_each(|item| few[item / 64] |= 1 << (item % 64));
        let few = ItemBits::from_slice(&few);
        let denied: Vec<ItemId> = (0..n as u32).filter(|item| item % 10 > 0).map(ItemId).collect();
        let mut top = TopK::new();
        for query in &queries {
            for (filter, passing) in [
                (ItemFilter::all(), n),
                (ItemFilter::all().and_allow(few), few.count_ones()),
                (ItemFilter::seen(&denied).unwrap(), n.div_ceil(10)),
            ] {
                for k in [1, 3, 10, 100, n, n + 1] {
                    lists.top_k(query, k, &filter, &mut top).unwrap();
                    assert_eq!(top.hits().len(), k.min(passing), "{n} items, of which {passing} pass, k = {k}");
                }
            }
        }
    }
}

#[test]
fn a_list_that_holds_enough_is_the_only_one_visited() {
    // Three lists of one codeword each; the second codebook decides within a list.
    let shape = CodeShape { embedding_dim: 1, n_codebooks: 2, n_codewords: 4, composition: Composition::Sum };
    let codebooks = [3.0, 2.0, 1.0, 0.0, 0.0, 1.5, 0.0, 0.0];
    // Items 0 and 1 in the best list, 2 in the next (and, with 3.5, ahead of both), 3 in the third.
    let index = CodeIndex::from_codes(shape, &codebooks, &[0, 0, 0, 0, 1, 1, 2, 0]).unwrap();
    let lists = InvertedIndex::new(&index, 1).unwrap();
    let mut top = TopK::new();
    let mut found = |k, filter: &ItemFilter<'_>| {
        lists.top_k(&[1.0], k, filter, &mut top).unwrap();
        top.items().map(|item| item.0).collect::<Vec<_>>()
    };
    assert_eq!(found(2, &ItemFilter::all()), [0, 1]);
    assert_eq!(found(3, &ItemFilter::all()), [2, 0, 1]);
    assert_eq!(found(2, &ItemFilter::seen(&[ItemId(0)]).unwrap()), [2, 1]);
    assert_eq!(found(9, &ItemFilter::all()), [2, 0, 1, 3]);
}

#[test]
fn users_before_lists_conform() {
    let users = UserVectors::new(random_queries(8, 5, 12).concat(), 12).unwrap();
    let items = random_index(3, 300, shape(4, 256, Composition::Sum), 300);
    let lists = InvertedIndex::new(&items, 256).unwrap();
    let model = InvertedFactors::new(users, lists, Provenance::default()).unwrap();
    let queries = [&UserId(0), &UserId(4)];
    testing::scorer(&model, &queries);
    testing::scorer_refuses(&model, &UserId(5));
    testing::retriever(&model, &queries, &testing::Oracle::scorer(&model));
    testing::retriever_refuses(&model, &UserId(1), &UserId(5));
    testing::index(&model, &queries);
}
