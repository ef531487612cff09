//! Quantisers that know vectors alone: values worked out by hand, laws, and errors.

use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK};
use rectify_quantize::{CodeIndex, FitError, OpqConfig, QuantiserConfig, Rotation, opq, pq, rvq};

/// Vectors in 12 groups whose dimensions depend on each other across halves, so that a rotation helps.
fn cloud(n: usize, dim: usize) -> Vec<f32> {
    let mut rng = Seed(2).stream("cloud").rng();
    let centres: Vec<f32> = (0..12 * dim).map(|_| 2.0 * rng.normal() as f32).collect();
    let mut out = Vec::with_capacity(n * dim);
    for i in 0..n {
        let shared = rng.normal() as f32;
        out.extend((0..dim).map(|k| centres[i % 12 * dim + k] + shared + 0.3 * rng.normal() as f32));
    }
    out
}

/// `Σ ‖q − y‖²`; y is rotated back by the caller if need be.
fn error(index: &CodeIndex, items: &[f32], dim: usize) -> f64 {
    let mut y = vec![0.0; dim];
    let mut sum = 0.0;
    for (i, q) in items.chunks(dim).enumerate() {
        index.decode_into(ItemId(i as u32), &mut y).unwrap();
        sum += q.iter().zip(&y).map(|(q, y)| f64::from(q - y).powi(2)).sum::<f64>();
    }
    sum
}

#[test]
fn two_stages_of_two_centres_leave_no_error() {
    // The first stage finds the two groups, the second the half step up or down that all of them share; a start that ends at the means of the rows needs its second stage just the same.
    let points = [0., 0., 0., 1., 4., 0., 4., 1.];
    let config = QuantiserConfig { n_codebooks: 2, n_codewords: 2, ..QuantiserConfig::default() };
    for seed in 0..8 {
        let index = rvq::fit(&points, 2, &config, Seed(seed)).unwrap();
        assert!(error(&index, &points, 2) < 1e-12);
    }
}

#[test]
fn a_quarter_turn_is_found() {
    // The orthogonal Procrustes solution R = U V^T of the SVD of X^T Y: for X = I it is the turn itself.
    let turn = [0.0, 1.0, -1.0, 0.0];
    let rotation = Rotation::procrustes(&[1.0, 0.0, 0.0, 1.0], &turn, 2).unwrap();
    for (got, want) in rotation.matrix().iter().zip(turn) {
        assert!((got - want).abs() < 1e-6, "{:?}", rotation.matrix());
    }
    let mut out = [0.0; 2];
    rotation.rotate_into(&[3.0, 5.0], &mut out).unwrap();
    assert!((out[0] + 5.0).abs() < 1e-5 && (out[1] - 3.0).abs() < 1e-5, "{out:?}");
    assert!(rotation.rotate_into(&[3.0, 5.0, 1.0], &mut [0.0; 3]).is_err());
    assert!(rotation.rotate_into(&[3.0, 5.0], &mut [0.0; 3]).is_err());
    assert!(matches!(Rotation::procrustes(&[1.0; 4], &[1.0; 2], 2), Err(FitError::Count { expected: 2, got: 1, .. })));
}

#[test]
fn a_rotation_that_made_the_rows_is_recovered_and_keeps_inner_products() {
    let (n, dim) = (300, 16);
    let x = cloud(n, dim);
    let target = cloud(dim, dim);
    let made = Rotation::procrustes(&cloud(40, dim), &cloud(40, dim).iter().rev().copied().collect::<Vec<_>>(), dim);
    let made = made.unwrap();
    let mut y = vec![0.0; n * dim];
    made.rotate_into(&x, &mut y).unwrap();
    let found = Rotation::procrustes(&x, &y, dim).unwrap();
    for (a, b) in found.matrix().iter().zip(made.matrix()) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    let mut turned = vec![0.0; dim * dim];
    made.rotate_into(&target, &mut turned).unwrap();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    for (p, turned_p) in target.chunks(dim).zip(turned.chunks(dim)) {
        for (q, turned_q) in x.chunks(dim).zip(y.chunks(dim)).take(20) {
            assert!((dot(p, q) - dot(turned_p, turned_q)).abs() < 1e-3);
        }
    }
}

#[test]
fn each_refinement_lowers_the_error() {
    let (n, dim) = (2000, 8);
    let items = cloud(n, dim);
    let config = QuantiserConfig { n_codebooks: 2, n_codewords: 16, ..QuantiserConfig::default() };
    let one = QuantiserConfig { n_codebooks: 1, ..config.clone() };
    let errors = |config: &QuantiserConfig| error(&rvq::fit(&items, dim, config, Seed(1)).unwrap(), &items, dim);
    let (rvq, single) = (errors(&config), errors(&one));
    assert!(rvq < 0.8 * single, "a second stage: {rvq} {single}");

    let product = error(&pq::fit(&items, dim, &config, Seed(1)).unwrap(), &items, dim);
    let optimised = |rotations| {
        let config = OpqConfig { n_codebooks: 2, n_codewords: 16, rotations, ..OpqConfig::default() };
        let (rotation, index) = opq::fit(&items, dim, &config, Seed(1)).unwrap();
        let mut rotated = vec![0.0; items.len()];
        rotation.rotate_into(&items, &mut rotated).unwrap();
        // Rotations keep distances.
        error(&index, &rotated, dim)
    };
    assert!((optimised(0) - product).abs() < 1e-3 * product, "no rotation is product quantisation");
    assert!(optimised(20) < 0.9 * product, "{} {product}", optimised(20));
}

#[test]
fn rotated_queries_find_what_exact_search_finds() {
    let (n, dim) = (1500, 8);
    let items = cloud(n, dim);
    let config = OpqConfig { n_codewords: 64, ..OpqConfig::default() };
    let (rotation, index) = opq::fit(&items, dim, &config, Seed(1)).unwrap();
    let exact = rectify_core::ExactIndex::build(items, dim, &rectify_core::ExactConfig::default()).unwrap();
    let (mut want, mut got, mut query) = (TopK::new(), TopK::new(), vec![0.0; dim]);
    let mut found = 0;
    for q in cloud(20, dim).chunks(dim) {
        rotation.rotate_into(q, &mut query).unwrap();
        exact.top_k(q, 20, &ItemFilter::all(), &mut want).unwrap();
        index.top_k(&query, 20, &ItemFilter::all(), &mut got).unwrap();
        found += want.items().filter(|item| got.items().any(|other| other == *item)).count();
    }
    // Usually 0.9 of 400.
    assert!(found > 300, "{found} of 400");
}

#[test]
fn threads_change_no_bits_and_seeds_do() {
    let items = cloud(3000, 6);
    let config = QuantiserConfig { n_codebooks: 3, n_codewords: 32, iterations: 5 };
    let run = |threads: usize, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let rotated = OpqConfig { n_codebooks: 3, n_codewords: 32, rotations: 3, ..OpqConfig::default() };
            let indexes = [
                rvq::fit(&items, 6, &config, Seed(seed)).unwrap(),
                pq::fit(&items, 6, &config, Seed(seed)).unwrap(),
                opq::fit(&items, 6, &rotated, Seed(seed)).unwrap().1,
            ];
            indexes.map(|index| index.codes())
        })
    };
    assert_eq!(run(1, 1), run(2, 1));
    for (a, b) in run(1, 1).iter().zip(&run(1, 2)) {
        assert_ne!(a, b);
    }
}

#[test]
fn fewer_items_than_codewords_are_coded_without_error() {
    let items = cloud(5, 4);
    let config = QuantiserConfig { n_codebooks: 2, ..QuantiserConfig::default() };
    assert!(error(&rvq::fit(&items, 4, &config, Seed(1)).unwrap(), &items, 4) < 1e-9);
    assert!(error(&pq::fit(&items, 4, &config, Seed(1)).unwrap(), &items, 4) < 1e-9);
}

#[test]
fn what_cannot_be_quantised_is_named() {
    let items = cloud(20, 6);
    let config = QuantiserConfig::default();
    let text = |result: Result<CodeIndex, FitError>| result.unwrap_err().to_string();
    assert!(text(pq::fit(&items, 6, &config, Seed(1))).contains("4 product codebooks cannot share 6"));
    assert!(text(rvq::fit(&items[1..], 6, &config, Seed(1))).contains("whole rows of 6"));
    assert!(text(rvq::fit(&[], 6, &config, Seed(1))).contains("no items"));
    let mut bad = items.clone();
    bad[13] = f32::NAN;
    assert!(text(rvq::fit(&bad, 6, &config, Seed(1))).contains("item 2 is not finite"));
    let odd = QuantiserConfig { n_codewords: 100, ..config.clone() };
    assert!(text(rvq::fit(&items, 6, &odd, Seed(1))).contains("n_codewords is 100"));
    let none = QuantiserConfig { n_codebooks: 0, ..config };
    assert!(text(pq::fit(&items, 6, &none, Seed(1))).contains("n_codebooks is 0"));
}
