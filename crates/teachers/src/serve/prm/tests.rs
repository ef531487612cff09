use rectify_core::rng::Seed;
use rectify_core::{Factors, Hit, ItemFilter, ItemId, Provenance, QueryError, Retriever, TopK, UserId, testing};
use rectify_tensor::kernels::softmax_rows;
use rectify_tensor::{Init, ParamStore};

use super::network::{Pass, arrays, attention};
use super::{Prm, PrmConfig};

fn small() -> PrmConfig {
    PrmConfig { list_len: 20, width: 8, ..PrmConfig::default() }
}

/// A model of weights as they start, multiplied by `scale`.
fn model(scale: f32) -> Prm {
    let wave = |n: u16| (0..n).map(|at| (f32::from(at) * 0.9).sin()).collect::<Vec<f32>>();
    let first = Factors::from_vectors(wave(5 * 4), wave(50 * 4), 4, Provenance::default()).unwrap();
    let mut store = ParamStore::new(Seed(1));
    let weights = arrays(&small(), 8).into_iter().map(|(name, rows, columns, init)| {
        let key = store.add_dense(&name, rows, columns, init);
        store.dense(key).values().iter().map(|x| x * scale).collect::<Vec<f32>>().into()
    });
    Prm::from_parts(small(), first, weights.collect())
}

#[test]
fn attention_is_that_of_the_worked_example() {
    let tokens = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let (mut weights, mut out) = (Vec::new(), vec![0.0; 6]);
    attention(2, [&tokens, &tokens, &tokens], &mut weights, &mut out);
    let want = [0.401112, 0.197776, 0.401112, 0.197776, 0.401112, 0.401112, 0.248255, 0.248255, 0.503490];
    assert!(weights.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{weights:?}");
    let scores: Vec<f32> = out.chunks_exact(2).map(|x| x[0] - x[1]).collect();
    assert!(scores.iter().zip([0.203336, -0.203336, 0.0]).all(|(got, want)| (got - want).abs() < 1e-6), "{scores:?}");
    let mut law = vec![0.0; 3];
    softmax_rows(&scores, 3, 1.0, &mut law);
    assert!(law.iter().zip([0.402923, 0.268291, 0.328786]).all(|(got, want)| (got - want).abs() < 1e-6), "{law:?}");
    assert!((-law[2].ln() - 1.112_347_1).abs() < 1e-6);
}

#[test]
fn a_share_of_the_branches_is_left_out_in_training_alone() {
    let config = PrmConfig { dropout: 0.5, list_len: 4, width: 4, ..PrmConfig::default() };
    let mut store = ParamStore::new(Seed(1));
    let keys: Vec<_> = arrays(&config, 2)
        .into_iter()
        .map(|(name, r, c, _)| store.add_dense(&name, r, c, Init::Normal { std: 0.5 }))
        .collect();
    let weights: Vec<&[f32]> = keys.iter().map(|key| store.dense(*key).values()).collect();
    let tokens = vec![0.3, -0.2, 0.5, 0.1, -0.4, 0.7];
    let scores = |dropout: Option<u64>| {
        let mut pass = Pass::default();
        let mut rng = dropout.map(|index| Seed(2).at(0, index));
        pass.forward(&config, &weights, tokens.clone(), rng.as_mut());
        pass.scores
    };
    assert_eq!(scores(None), scores(None));
    assert_eq!(scores(Some(1)), scores(Some(1)));
    assert_ne!(scores(Some(1)), scores(Some(2)));
    assert_ne!(scores(Some(1)), scores(None));
}

#[test]
fn what_is_not_finite_is_refused_and_leaves_no_list() {
    let (sound, broken) = (model(1.0), model(f32::MAX));
    testing::retriever_refuses(&sound, &UserId(0), &UserId(5));
    testing::index(&sound, &[&UserId(0), &UserId(4)]);
    let mut stale = TopK::new();
    stale.assign(1, [Hit::new(ItemId(0), 0.0)]);
    let mut out = vec![stale.clone(), stale];
    let alone = broken.top_k(&UserId(0), 3, &ItemFilter::all(), &mut out[0]);
    assert!(matches!(alone, Err(QueryError::NotFinite { .. })), "{alone:?}");
    assert!(out[0].hits().is_empty());
    assert!(broken.top_k_batch(&[&UserId(0), &UserId(1)], 3, &[ItemFilter::all()], &mut out).is_err());
    assert!(out.iter().all(|top| top.hits().is_empty()));
}
