//! The shared battery, the oracles of the paper's digest, and an exhaustive oracle over awkward shapes.

use proptest::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, testing};
use rectify_quantize::{
    CodeIndex, CodeShape, CodedFactors, CodesError, Composition, Index, ItemFilter, ItemId, Provenance, Retriever,
    Scorer, TopK, UserId, UserVectors, UsersError,
};

pub(crate) fn shape(n_codebooks: usize, n_codewords: usize, composition: Composition) -> CodeShape {
    CodeShape { embedding_dim: 3 * n_codebooks, n_codebooks, n_codewords, composition }
}

/// Codes drawn from `distinct` rows, so that many items tie.
pub(crate) fn random_index(seed: u64, n: usize, shape: CodeShape, distinct: u32) -> CodeIndex {
    let mut rng = Seed(seed).rng();
    let codebooks: Vec<f32> =
        (0..shape.n_codebooks * shape.n_codewords * shape.codeword_dim()).map(|_| rng.normal() as f32).collect();
    let pool: Vec<Vec<u8>> = (0..distinct)
        .map(|_| (0..shape.n_codebooks).map(|_| rng.below(shape.n_codewords as u32) as u8).collect())
        .collect();
    let codes: Vec<u8> = (0..n).flat_map(|_| pool[rng.below(distinct) as usize].clone()).collect();
    CodeIndex::from_codes(shape, &codebooks, &codes).unwrap()
}

pub(crate) fn random_queries(seed: u64, n: usize, dim: usize) -> Vec<Vec<f32>> {
    let mut rng = Seed(seed).stream("queries").rng();
    (0..n).map(|_| (0..dim).map(|_| rng.normal() as f32).collect()).collect()
}

fn check(n: usize, shape: CodeShape, distinct: u32) {
    let index = random_index(3, n, shape, distinct);
    let queries = random_queries(4, 9, shape.embedding_dim);
    let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
    testing::scorer(&index, &queries);
    testing::retriever(&index, &queries, &testing::Oracle::scorer(&index));
    testing::index(&index, &queries);
}

#[test]
fn index_of_light_rec_shape_conforms() {
    check(1000, shape(4, 256, Composition::Sum), 1000);
}

#[test]
fn index_of_product_codes_conforms() {
    check(500, shape(8, 16, Composition::Product), 500);
}

#[test]
fn index_of_an_odd_number_of_four_bit_codebooks_conforms() {
    check(130, shape(5, 8, Composition::Sum), 130);
}

#[test]
fn index_of_few_distinct_codes_conforms() {
    check(300, shape(17, 32, Composition::Sum), 2);
}

#[test]
fn index_of_one_item_conforms() {
    check(1, shape(1, 2, Composition::Sum), 1);
}

#[test]
fn empty_catalogue_answers_nothing() {
    let index = CodeIndex::from_codes(shape(1, 2, Composition::Sum), &[0.0; 6], &[]).unwrap();
    let mut top = TopK::new();
    index.top_k(&[1.0; 3], 10, &ItemFilter::all(), &mut top).unwrap();
    assert!(top.hits().is_empty() && index.is_empty());
}

#[test]
fn table_look_up_equals_decode_then_dot() {
    // The tables hold P[u]·c for every codeword (paper, section 3.3), so that their sum is the inner product with the decoded vector.
    for composition in [Composition::Sum, Composition::Product] {
        let index = random_index(1, 200, shape(4, 256, composition), 200);
        let query = &random_queries(1, 1, 12)[0];
        let (mut score, mut vector) = ([0.0], [0.0; 12]);
        for item in (0..200).map(ItemId) {
            index.score_into(query, &[item], &mut score).unwrap();
            index.decode_into(item, &mut vector).unwrap();
            let dot: f32 = vector.iter().zip(query).map(|(a, b)| a * b).sum();
            assert!((dot - score[0]).abs() <= 1e-5 * dot.abs().max(1.0), "{dot} {}", score[0]);
        }
    }
}

#[test]
fn tables_add_up_to_the_score_of_the_decoded_vector() {
    // By hand: user (2, -1) has the tables [2, -1] and [.5, -1.5].
    let shape = CodeShape { embedding_dim: 2, n_codebooks: 2, n_codewords: 2, composition: Composition::Sum };
    let codebooks = [1., 0., 0., 1., 0.5, 0.5, -0.5, 0.5];
    let index = CodeIndex::from_codes(shape, &codebooks, &[0, 0, 1, 0, 0, 1, 1, 1]).unwrap();
    let (mut scores, mut vector) = ([0.0; 4], [0.0; 2]);
    index.score_all_into(&[2., -1.], &mut scores).unwrap();
    assert_eq!(scores, [2.5, -0.5, 0.5, -2.5]);
    index.decode_into(ItemId(0), &mut vector).unwrap();
    assert_eq!(vector, [1.5, 0.5]);
}

#[test]
fn sizes_are_those_of_the_paper() {
    // Bytes are N B log2(W) / 8 of codes and 4 D B W of codebooks (paper, section 3.3), dense vectors take 4 N D; the four catalogues of its
    // Table 1 at D = 32, B = 4, W = 256.
    let shape = CodeShape { embedding_dim: 32, n_codebooks: 4, n_codewords: 256, composition: Composition::Sum };
    let size = |n: usize| CodeIndex::from_codes(shape, &[0.5; 4 * 256 * 32], &vec![7; n * 4]).unwrap().size_bytes();
    assert_eq!((4 * 32 * 128_939, size(128_939)), (16_504_192, 646_828));
    for (n, ratio) in [(128_939, 25.5156), (25_975, 14.15), (40_988, 17.78), (8_939, 6.86)] {
        let got = (4 * 32 * n) as f64 / size(n) as f64;
        assert!((got - ratio).abs() < 0.005, "{n} items: {got} {ratio}");
    }
}

#[test]
fn users_with_coded_items_conform() {
    let users = UserVectors::new(random_queries(8, 5, 12).concat(), 12).unwrap();
    let items = random_index(3, 300, shape(4, 256, Composition::Sum), 300);
    let provenance = Provenance { model: "anything".into(), ..Provenance::default() };
    let model = CodedFactors::new(users, items, provenance).unwrap();
    let queries = [&UserId(0), &UserId(4)];
    testing::scorer(&model, &queries);
    testing::scorer_refuses(&model, &UserId(5));
    testing::retriever(&model, &queries, &testing::Oracle::scorer(&model));
    testing::retriever_refuses(&model, &UserId(1), &UserId(5));
    testing::index(&model, &queries);
    let narrow = UserVectors::new(vec![1.0; 22], 11).unwrap();
    let (_, items, provenance) = model.into_parts();
    let refused = CodedFactors::new(narrow, items, provenance).unwrap_err();
    assert_eq!(refused, UsersError::Width { users: 11, items: 12 });
}

#[test]
fn codes_and_codebooks_come_back_as_they_were_given() {
    let shapes = [
        shape(4, 256, Composition::Sum),
        shape(8, 16, Composition::Product),
        shape(5, 8, Composition::Sum),
        shape(1, 2, Composition::Product),
    ];
    for shape in shapes {
        for n in [0, 1, 64, 130] {
            let mut rng = Seed(n as u64).rng();
            let values = shape.n_codebooks * shape.n_codewords * shape.codeword_dim();
            let codebooks: Vec<f32> = (0..values).map(|_| rng.normal() as f32).collect();
            let codes: Vec<u8> =
                (0..n * shape.n_codebooks).map(|_| rng.below(shape.n_codewords as u32) as u8).collect();
            let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
            assert_eq!((index.codes(), index.codebooks()), (codes, codebooks), "{n} items, {shape:?}");
        }
    }
}

#[test]
fn code_255_survives() {
    // The largest code of a byte.
    let index = CodeIndex::from_codes(shape(1, 256, Composition::Sum), &[0.5; 768], &[255, 0]).unwrap();
    assert_eq!(index.codes_of(ItemId(0)).unwrap(), [255]);
}

#[test]
fn one_codebook_with_a_codeword_an_item_is_exact() {
    // With one codebook whose codewords are the items, decoding is the identity.
    let mut rng = Seed(9).rng();
    let vectors: Vec<f32> = (0..256 * 3).map(|_| rng.normal() as f32).collect();
    let codes: Vec<u8> = (0..=255).collect();
    let index = CodeIndex::from_codes(shape(1, 256, Composition::Sum), &vectors, &codes).unwrap();
    let exact = rectify_core::ExactIndex::build(vectors, 3, &rectify_core::ExactConfig::default()).unwrap();
    let query = &random_queries(2, 1, 3)[0];
    let (mut a, mut b) = (TopK::new(), TopK::new());
    index.top_k(query, 50, &ItemFilter::all(), &mut a).unwrap();
    exact.top_k(query, 50, &ItemFilter::all(), &mut b).unwrap();
    assert_eq!(a, b);
}

#[test]
fn impossible_shapes_and_values_are_named() {
    let good = shape(2, 4, Composition::Sum);
    let try_with = |shape: CodeShape, codebooks: &[f32], codes: &[u8]| {
        CodeIndex::from_codes(shape, codebooks, codes).map(|_| ()).unwrap_err()
    };
    let codebooks = [0.5; 48];
    for got in [0, 1, 3, 512] {
        assert_eq!(try_with(CodeShape { n_codewords: got, ..good }, &codebooks, &[]), CodesError::Codewords { got });
    }
    assert!(matches!(try_with(CodeShape { n_codebooks: 0, ..good }, &codebooks, &[]), CodesError::Zero { .. }));
    assert!(matches!(try_with(good, &codebooks[1..], &[]), CodesError::Length { got: 47, expected: 48, .. }));
    assert!(matches!(try_with(good, &codebooks, &[0]), CodesError::Length { what: "codes", .. }));
    assert_eq!(
        try_with(good, &codebooks, &[0, 3, 1, 4]),
        CodesError::CodeRange { item: 1, codebook: 1, n_codewords: 4, got: 4 }
    );
    let mut bad = codebooks;
    bad[24 + 7] = f32::INFINITY;
    assert_eq!(try_with(good, &bad, &[]), CodesError::NotFinite { codebook: 1, codeword: 1 });
    let odd = CodeShape { embedding_dim: 5, composition: Composition::Product, ..good };
    assert!(matches!(try_with(odd, &codebooks, &[]), CodesError::Subspaces { .. }));
}

#[test]
fn queries_that_cannot_be_answered_are_refused() {
    let index = random_index(1, 10, shape(2, 4, Composition::Sum), 10);
    testing::retriever_refuses(&index, &[1.0; 6][..], &[1.0; 5][..]);
    let mut top = TopK::new();
    let mut refuse = |query: &[f32]| index.top_k(query, 1, &ItemFilter::all(), &mut top).unwrap_err().to_string();
    assert!(refuse(&[1.0; 5]).contains("expected 6"));
    assert!(refuse(&[1.0, 1.0, f32::NAN, 1.0, 1.0, 1.0]).contains("position 2"));
    assert!(refuse(&[f32::MAX; 6]).contains("overflow"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn search_equals_a_plain_look_up_of_every_item(
        seed in any::<u64>(),
        n in 0usize..400,
        n_codebooks in 1usize..20,
        log_w in 1u32..9,
        distinct in 1u32..300,
        k in 0usize..500,
        product in any::<bool>(),
    ) {
        let composition = if product { Composition::Product } else { Composition::Sum };
        let shape = shape(n_codebooks, 1 << log_w, composition);
        let index = random_index(seed, n, shape, distinct);
        for query in random_queries(seed, 2, shape.embedding_dim) {
            let (mut top, mut expected) = (TopK::new(), TopK::new());
            index.top_k(&query, k, &ItemFilter::all(), &mut top).unwrap();
            Exhaustive::new(&index).top_k(&query, k, &ItemFilter::all(), &mut expected).unwrap();
            prop_assert_eq!(&top, &expected);
        }
    }
}
