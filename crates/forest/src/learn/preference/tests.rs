use rectify_core::{Exhaustive, ItemFilter, ItemId, Retriever, TopK};
use rectify_tensor::train::{FitConfig, Observer, Validate};
use rectify_tensor::{Optimizer, RowUpdate, testing};

use super::*;
use crate::serve::model::reference::{Input, Norm, Reference};
use crate::serve::model::tests::odd_shape;
use crate::{ForUsers, ForestIndex, Histories, Objective, Provenance, SearchConfig, UserId};

/// Users who like one of four kinds of items, in a random order.
pub(crate) fn world(n_users: u32, n_items: u32, length: u32) -> Histories {
    let mut rng = Seed(1).stream("world").rng();
    Histories::from_rows((0..n_users).map(|user| {
        let kind = user % 4;
        let mut row: Vec<ItemId> = (0..length)
            .map(|_| if rng.unit_f32() < 0.9 { 4 * rng.below(n_items / 4) + kind } else { rng.below(n_items) })
            .map(ItemId)
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        row.retain(|item| seen.insert(*item));
        row
    }))
}

pub(crate) fn small(objective: Objective) -> PreferenceConfig {
    PreferenceConfig {
        shape: odd_shape(),
        objective,
        n_negatives: vec![5],
        min_history: 2,
        batch_size: 20,
        optimizer: Optimizer::adam(0.01),
        ..PreferenceConfig::default()
    }
}

pub(crate) fn run<'a>(max_epochs: u32) -> TrainRun<'a, TreeModel> {
    TrainRun::new(Seed(3)).epochs(max_epochs)
}

fn loss_of(objective: Objective, o: &[f64], correction: f64) -> f64 {
    match objective {
        Objective::Softmax => {
            let terms = o.iter().enumerate().map(|(i, o)| (o + if i == 0 { 0.0 } else { correction }).exp());
            terms.sum::<f64>().ln() - o[0]
        }
        Objective::Binary => {
            o.iter().enumerate().map(|(i, o)| (if i == 0 { -o } else { *o }).exp().ln_1p()).sum::<f64>()
        }
    }
}

/// The batch of a training, as the equations read it: inputs of all rows, and (first row, rows, correction) of each group.
fn batch(training: &Training<'_>, chosen: &[u32]) -> (Vec<Input>, Vec<(usize, usize, f64)>) {
    let (mut inputs, mut groups) = (Vec::new(), Vec::new());
    let layout = training.tree.layout();
    let (mut at, pieces) = (0, &training.work.pieces[..training.work.n_pieces]);
    for (piece, chosen) in pieces.iter().zip(chosen.chunks(piece::PIECE)) {
        for (g, group) in piece.groups.iter().enumerate() {
            let level = g as u32 % layout.leaf_level() + 1;
            let (target, history) = training.samples.get(chosen[g / layout.leaf_level() as usize]);
            let row = |item: &ItemId| layout.row(level, training.tree.ancestor(*item, level));
            let nodes = &piece.nodes[group.nodes.clone()];
            assert_eq!(nodes[0], row(&target), "the positive node comes first");
            let history: Vec<u32> = history.iter().map(row).collect();
            inputs.extend(nodes.iter().map(|node| (history.clone(), *node)));
            groups.push((at, nodes.len(), f64::from(group.correction)));
            at += nodes.len();
        }
    }
    (inputs, groups)
}

/// A training with values far from the start, so that nothing is hidden by a zero.
fn shaken<'a>(samples: &'a Samples<'a>, tree: &'a Tree, config: &'a PreferenceConfig) -> Training<'a> {
    let mut training = Training::new(samples, tree, config, Seed(3));
    let mut rng = Seed(4).rng();
    let Params { store, nodes, dense, .. } = &mut training.params;
    for x in store.rows_mut([*nodes])[0].values_mut() {
        *x = 0.7 * rng.normal() as f32;
    }
    for key in dense {
        for x in store.dense_mut([*key])[0].values_mut() {
            *x += 0.3 * rng.normal() as f32;
        }
    }
    training
}

fn reference(training: &Training<'_>) -> Reference {
    let double = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let params = &training.params;
    let mut blocks = vec![double(params.store.rows(params.nodes).values())];
    blocks.extend((0..params.dense.len()).map(|place| double(params.block(place))));
    Reference { shape: training.config.shape.clone(), blocks }
}

#[test]
fn loss_and_gradients_are_those_of_the_equations() {
    let histories = world(9, 21, 12);
    let tree = Tree::random(21, Seed(2)).unwrap();
    for objective in [Objective::Softmax, Objective::Binary] {
        let config = small(objective);
        let samples = Samples::new(Learners::all(&histories), 21, 2).unwrap();
        let mut training = shaken(&samples, &tree, &config);
        let chosen = samples.order(Seed(1), 1, Some(19));
        training.work.draw((&samples, &chosen), (1, 0), &tree, &config, Seed(5));
        let loss = training.work.gradients(&mut training.params, &config, chosen.len());

        let (inputs, groups) = batch(&training, &chosen);
        let mut model = reference(&training);
        let evaluate = |model: &Reference| {
            let o = model.forward(&inputs, Norm::Batch);
            let total: f64 = groups.iter().map(|&(at, n, c)| loss_of(objective, &o[at..at + n], c)).sum();
            total / if objective == Objective::Softmax { chosen.len() } else { inputs.len() } as f64
        };
        let want = evaluate(&model);
        assert!((loss - want).abs() < 2e-6 * want, "{objective:?}: {loss} {want}");

        let dim = config.shape.embedding_dim;
        let mut nodes = vec![0.0; model.blocks[0].len()];
        for (slot, row) in training.work.distinct.rows().iter().enumerate() {
            nodes[*row as usize * dim..][..dim].copy_from_slice(&training.work.d_leaf[slot * dim..][..dim]);
        }
        let mut got = vec![nodes];
        got.extend(training.work.gradients.iter().cloned());
        for (block, got) in got.iter().enumerate() {
            let numeric: Vec<f64> = (0..got.len())
                .map(|i| {
                    let center = model.blocks[block][i];
                    let mut side = |delta: f64| {
                        model.blocks[block][i] = center + delta;
                        evaluate(&model)
                    };
                    let slope = (side(1e-6) - side(-1e-6)) / 2e-6;
                    model.blocks[block][i] = center;
                    slope
                })
                .collect();
            let largest = numeric.iter().fold(0.0f64, |a, b| a.max(b.abs()));
            // A shift of all preferences changes no softmax.
            assert!(largest > 1e-4 || (objective == Objective::Softmax && block == 9), "block {block}: {largest}");
            for (i, (got, want)) in got.iter().zip(&numeric).enumerate() {
                let error = (f64::from(*got) - want).abs();
                assert!(
                    error <= 2e-5 * largest.max(0.01),
                    "{objective:?}, block {block}, {i}: {got} {want} of {largest}"
                );
            }
        }
    }
}

#[test]
fn the_served_model_under_the_statistics_of_a_batch_gives_its_preferences() {
    let histories = world(9, 21, 12);
    let tree = Tree::random(21, Seed(2)).unwrap();
    let config = PreferenceConfig { shape: Default::default(), ..small(Objective::Softmax) };
    let samples = Samples::new(Learners::all(&histories), 21, 2).unwrap();
    let mut training = shaken(&samples, &tree, &config);
    let chosen = samples.order(Seed(1), 1, Some(10));
    training.work.draw((&samples, &chosen), (1, 0), &tree, &config, Seed(5));
    training.work.gradients(&mut training.params, &config, chosen.len());
    // A step of size nothing: only the running averages move, from nothing to this batch.
    training
        .work
        .apply(&mut training.params, &Optimizer::Sgd(rectify_tensor::Sgd { learning_rate: 1e-30, weight_decay: 0.0 }));
    let network = training.params.network(&config.shape).unwrap();
    let (mut profile, mut scratch) = (crate::serve::model::Profile::default(), crate::serve::model::Scratch::default());
    let layout = tree.layout();
    for (piece, chosen) in training.work.pieces.iter().zip(chosen.chunks(piece::PIECE)) {
        for (g, group) in piece.groups.iter().enumerate() {
            let level = g as u32 % layout.leaf_level() + 1;
            let (_, history) = samples.get(chosen[g / layout.leaf_level() as usize]);
            profile.fill(&tree, level, history, &config.shape);
            let mut got = vec![0.0; group.nodes.len()];
            network.score(&profile, &piece.nodes[group.nodes.clone()], &mut scratch, &mut got);
            for (got, want) in got.iter().zip(&piece.outputs[group.nodes.clone()]) {
                assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{got} {want}");
            }
        }
    }
}

#[test]
fn a_trained_tree_finds_the_kind_of_items_that_a_user_likes() {
    let histories = world(200, 61, 30);
    let tree = Tree::random(61, Seed(2)).unwrap();
    for objective in [Objective::Softmax, Objective::Binary] {
        let config = PreferenceConfig { batch_size: 50, ..small(objective) };
        let mut seen = 0;
        let mut validate = |model: &TreeModel| {
            seen += 1;
            Ok(f64::from(model.network().embedding(0)[0]))
        };
        let every_third = FitConfig { max_epochs: 6, eval_every: 3, patience: None, checkpoint: None };
        let run = run(6).fit(&every_third).validate(&mut validate);
        let (model, report) = fit(Learners::all(&histories), &tree, &config, run).unwrap();
        assert_eq!((seen, report.history.len()), (2, 6));
        let (first, last) = (report.history[0].loss, report.history[5].loss);
        assert!(last < 0.95 * first, "{objective:?}: {first} to {last}");
        let search = SearchConfig { beam_width: 20, ..SearchConfig::default() };
        let forest = ForestIndex::new(vec![model], search).unwrap();
        let forest = ForUsers::new(histories.clone(), forest, Provenance::default()).unwrap();
        let mut top = TopK::new();
        let mut right = 0;
        for user in (0..200).map(UserId) {
            forest.top_k(&user, 5, &ItemFilter::all(), &mut top).unwrap();
            right += top.items().filter(|item| item.0 % 4 == user.0 % 4).count();
        }
        // Usually above 0.9; a guess has 0.25.
        assert!(right > 600, "{objective:?}: {right} of 1000");
    }
}

#[test]
fn training_keeps_every_promise_of_a_trainer() {
    let histories = world(40, 61, 15);
    let tree = Tree::random(61, Seed(2)).unwrap();
    let served = |model: &TreeModel| ForestIndex::new(vec![model.clone()], SearchConfig::default()).unwrap();
    for row_update in [RowUpdate::Exact, RowUpdate::Lazy] {
        let config = PreferenceConfig { row_update, samples_per_epoch: Some(150), ..small(Objective::Softmax) };
        testing::trainer(|run: TrainRun<'_, ForestIndex>| {
            let TrainRun { seed, fit: how, validate, observer } = run;
            // A tree with its model is saved as a forest of one.
            let mut validate = validate.map(|validate| |model: &TreeModel| validate(&served(model)));
            let validate = validate.as_mut().map(|validate| validate as Validate<'_, TreeModel>);
            let observer = observer.map(|observer| observer as &mut dyn Observer);
            let run = TrainRun { seed, fit: how, validate, observer };
            let (model, report) = fit(Learners::all(&histories), &tree, &config, run)?;
            Ok::<_, FitError>((served(&model), report))
        });
    }
}

#[test]
fn trees_of_one_and_two_items_are_trained_and_served() {
    for n_items in [1u32, 2] {
        let rows = (0..4).map(|user| (0..6).map(|i| ItemId((user + i) % n_items)).collect::<Vec<_>>());
        let histories = Histories::from_rows(rows);
        let tree = Tree::random(n_items as usize, Seed(1)).unwrap();
        let config = small(Objective::Softmax);
        let (model, report) = fit(Learners::all(&histories), &tree, &config, run(2)).unwrap();
        assert_eq!(report.history.len(), 2);
        let mut top = TopK::new();
        Exhaustive::new(&model).top_k(histories.of(UserId(0)), 5, &ItemFilter::all(), &mut top).unwrap();
        assert_eq!(top.hits().len(), n_items as usize);
    }
}

#[test]
fn wrong_input_is_named() {
    let histories = world(9, 21, 12);
    let message = |config: &PreferenceConfig, n_items: usize| {
        let tree = Tree::random(n_items, Seed(1)).unwrap();
        fit(Learners::all(&histories), &tree, config, run(1)).unwrap_err().to_string()
    };
    let good = small(Objective::Softmax);
    assert_eq!(
        message(&PreferenceConfig { batch_size: 0, ..good.clone() }, 21),
        "batch_size is 0, expected at least 1"
    );
    assert_eq!(
        message(&PreferenceConfig { n_negatives: vec![3, 0], ..good.clone() }, 21),
        "n_negatives is 0, expected at least 1"
    );
    assert!(
        message(&PreferenceConfig { min_history: 50, ..good.clone() }, 21).starts_with("no user of 9 has more than 50")
    );
    assert!(message(&good, 10).contains("expected ids below 10"));
    let wild = PreferenceConfig { optimizer: Optimizer::adam(1e30), ..good };
    let text = message(&wild, 21);
    assert!(text.contains("lower the learning rate"), "{text}");
}
