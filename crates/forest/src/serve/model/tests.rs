use rectify_core::ItemId;
use rectify_core::rng::Seed;
use rectify_core::simd::Level;

use super::network::{FIRST_LAYER, WeightNames};
use super::reference::{Norm, Reference};
use super::*;
use crate::Tree;

pub(crate) fn odd_shape() -> PreferenceShape {
    PreferenceShape { embedding_dim: 5, windows: vec![1, 2, 4], attention_dim: 7, layers: vec![17, 3] }
}

/// Random weights, and the same as a reference.
pub(crate) fn random_network(shape: &PreferenceShape, n_nodes: usize, seed: u64) -> (Network, Reference) {
    let mut rng = Seed(seed).stream("network").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let embeddings = draw(n_nodes * shape.embedding_dim, 0.5);
    let weights: Vec<Vec<f32>> = WeightNames::of(shape)
        .iter()
        .map(|(_, [rows, columns])| draw(rows * columns, 1.0 / (*rows as f64).sqrt()))
        .collect();
    let double = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let mut blocks = vec![double(&embeddings)];
    blocks.extend(weights[..FIRST_LAYER].iter().map(|w| double(w)));
    for layer in weights[FIRST_LAYER..].chunks(3) {
        blocks.extend([double(&layer[0]), vec![], double(&layer[1]), double(&layer[2])]);
    }
    let weights = weights.into_iter().map(Into::into).collect();
    let network = Network::new(shape.clone(), embeddings.into(), weights).unwrap();
    (network, Reference { shape: shape.clone(), blocks })
}

fn history(n: usize, n_items: u32, seed: u64) -> Vec<ItemId> {
    let mut rng = Seed(seed).stream("history").rng();
    (0..n).map(|_| ItemId(rng.below(n_items))).collect()
}

#[test]
fn scores_equal_the_equations_at_every_level() {
    let tree = Tree::random(300, Seed(1)).unwrap();
    for shape in [PreferenceShape::default(), odd_shape()] {
        let (network, reference) = random_network(&shape, tree.layout().n_nodes(), 2);
        let (mut profile, mut scratch) = (Profile::default(), Scratch::default());
        for (length, level, n_nodes) in [(0, 9, 7), (1, 8, 6), (5, 3, 8), (16, 9, 13), (69, 6, 1), (100, 9, 300)] {
            let history = history(length, 300, length as u64);
            profile.fill(&tree, level, &history, &shape);
            let rows: Vec<u32> = (0..n_nodes).map(|place| tree.layout().row(level, place)).collect();
            let positions: Vec<u32> =
                history.iter().map(|item| tree.layout().row(level, tree.ancestor(*item, level))).collect();
            let inputs: Vec<_> = rows.iter().map(|row| (positions.clone(), *row)).collect();
            let want = reference.forward(&inputs, Norm::Folded);
            for simd in Level::available() {
                let mut got = vec![f32::NAN; rows.len()];
                network.score_at(simd, &profile, &rows, &mut scratch, &mut got);
                for (got, want) in got.iter().zip(&want) {
                    let error = (f64::from(*got) - want).abs();
                    assert!(error <= 2e-5 * want.abs().max(1.0), "{simd:?}, history of {length}: {got} {want}");
                }
            }
        }
    }
}

#[test]
fn a_score_does_not_depend_on_the_nodes_beside_it() {
    let tree = Tree::random(100, Seed(1)).unwrap();
    let (network, _) = random_network(&PreferenceShape::default(), tree.layout().n_nodes(), 3);
    let (mut profile, mut scratch) = (Profile::default(), Scratch::default());
    profile.fill(&tree, 7, &history(40, 100, 1), network.shape());
    let rows: Vec<u32> = (0..100).map(|place| tree.layout().row(7, place)).collect();
    let mut all = vec![0.0; 100];
    network.score(&profile, &rows, &mut scratch, &mut all);
    for (row, want) in rows.iter().zip(&all).rev() {
        let mut alone = [0.0];
        network.score(&profile, &[*row], &mut scratch, &mut alone);
        assert_eq!(alone[0].to_bits(), want.to_bits());
    }
}

#[test]
fn a_profile_shares_each_window_among_its_nodes() {
    let tree = Tree::from_order((0..8).map(ItemId).collect()).unwrap();
    let shape = PreferenceShape { windows: vec![1, 2, 4], ..odd_shape() };
    let mut profile = Profile::default();
    // On level 1, items 0 to 3 are node 1 (row 1), the others node 2.
    profile.fill(&tree, 1, &[0, 5, 1, 6, 7, 2].map(ItemId), &shape);
    assert_eq!(profile.rows, [1, 2]);
    let parts: Vec<_> = profile.parts.iter().map(|p| (p.slot, p.window, p.share)).collect();
    assert_eq!(parts, [(0, 0, 1.0), (1, 1, 0.5), (0, 1, 0.5), (1, 2, 0.5), (0, 2, 0.25)]);
    // Nothing beyond the windows is read.
    let long: Vec<ItemId> = (0..50).map(|i| ItemId(i % 8)).collect();
    let mut short = Profile::default();
    profile.fill(&tree, 3, &long, &shape);
    short.fill(&tree, 3, &long[..7], &shape);
    assert_eq!((profile.rows, profile.parts), (short.rows, short.parts));
}

#[test]
fn impossible_shapes_and_weights_are_refused() {
    let message = |shape: PreferenceShape| shape.validate().unwrap_err().to_string();
    assert_eq!(
        message(PreferenceShape { windows: vec![], ..odd_shape() }),
        "number of windows is 0, expected 1 to 65536"
    );
    assert_eq!(message(PreferenceShape { layers: vec![8, 0], ..odd_shape() }), "layer is 0, expected 1 to 65536");
    let shape = odd_shape();
    let weights = WeightNames::of(&shape).iter().map(|(_, [r, c])| vec![f32::NAN; r * c].into()).collect();
    let error = Network::new(shape, vec![0.0; 10].into(), weights).unwrap_err().to_string();
    assert_eq!(error, "array attention/history is not finite at position 0; lower the learning rate");
}
