use rectify_core::rng::Seed;
use rectify_core::{
    Catalogue, Exhaustive, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, testing,
};
use rectify_tensor::testing::trainer;
use rectify_tensor::train::{FitConfig, Step};
use rectify_tensor::{Optimizer, RowUpdate, Sgd};

use super::network::{Batch, Network};
use super::params::parameters;
use super::training::frozen;
use super::*;
use crate::learn::fixture::{self, run};
use crate::serve::neumf::parts::Parts;

fn small() -> NeuMfConfig {
    NeuMfConfig {
        gmf_dim: 6,
        mlp_dim: 8,
        hidden: vec![12, 6],
        n_negatives: 2,
        batch_size: 100,
        optimizer: Optimizer::adam(0.005),
        init_std: 0.1,
        ..NeuMfConfig::default()
    }
}

fn variants() -> [NeuMfConfig; 5] {
    [
        small().gmf_part(),
        small().mlp_part(),
        small(),
        NeuMfConfig { row_update: RowUpdate::Lazy, ..small() },
        NeuMfConfig { hidden: vec![8], ..small() },
    ]
}

fn fitted(train: &Interactions, config: &NeuMfConfig, epochs: u32) -> (NeuMf, FitReport) {
    fit(train, config, run(epochs)).unwrap()
}

fn scores(model: &NeuMf, user: u32) -> Vec<f32> {
    let mut out = vec![0.0; model.n_items()];
    model.score_all_into(&UserId(user), &mut out).unwrap();
    out
}

/// Numbers that a reader can make too: the snippets below use the same ones.
fn values(n: usize, shift: usize) -> Vec<f32> {
    (0..n).map(|k| ((((k + shift) * 7) % 13) as f32 - 6.0) / 10.0).collect()
}

fn close(got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() < 2e-5, "at {at}: {got}, expected {want}");
    }
}

/// PyTorch 2.15 in double precision:
///
/// ```python
/// vals = lambda n, s: [(((k + s) * 7) % 13 - 6) / 10 for k in range(n)]
/// U, I = vals(12, 0) as (3, 4), vals(16, 3) as (4, 4)          # product part, tower part
/// W0, b0 = vals(12, 5) as (4, 3), [.1, -.05, .2]; W1, b1 = vals(6, 1) as (3, 2), [.05, .1]
/// w, b = vals(4, 2) as (4, 1), [.3]; opt = torch.optim.Adam([U, I, W0, b0, W1, b1, w, b], lr=0.01)
/// for u, i, y in [([0, 1, 0, 2, 1], [1, 2, 3, 1, 0], [1, 0, 0, 1, 1]), ([2, 2, 1], [3, 1, 1], [0, 1, 0])]:
///     g = U[u][:, :2] * I[i][:, :2]
///     h = relu(relu(cat([U[u][:, 2:], I[i][:, 2:]], 1) @ W0 + b0) @ W1 + b1)
///     opt.zero_grad(); binary_cross_entropy_with_logits((cat([g, h], 1) @ w).squeeze(1) + b, y).backward(); opt.step()
/// ```
#[test]
fn two_steps_give_the_losses_and_parameters_of_pytorch() {
    let config =
        NeuMfConfig { gmf_dim: 2, mlp_dim: 2, hidden: vec![3, 2], optimizer: Optimizer::adam(0.01), ..small() };
    let (mut store, keys) = parameters(&config, 3, 4, Seed(0));
    let mut network = Network::new(&config, 3, 4);
    let [users, items] = store.rows_mut([keys.users, keys.items]);
    users.values_mut().copy_from_slice(&values(12, 0));
    items.values_mut().copy_from_slice(&values(16, 3));
    let dense = [
        (keys.layers[0].0, values(12, 5)),
        (keys.layers[0].1, vec![0.1, -0.05, 0.2]),
        (keys.layers[1].0, values(6, 1)),
        (keys.layers[1].1, vec![0.05, 0.1]),
        (keys.output, values(4, 2)),
        (keys.bias, vec![0.3]),
    ];
    for (key, values) in dense {
        store.dense_mut([key])[0].values_mut().copy_from_slice(&values);
    }
    let before = frozen(&config, &store, &keys);
    close(&[scores(&before, 0)[1], scores(&before, 1)[2], scores(&before, 0)[3]], &[0.368, 0.3344, 0.0964]);

    let first = Batch { users: vec![0, 1, 0, 2, 1], items: vec![1, 2, 3, 1, 0], labels: vec![1.0, 0.0, 0.0, 1.0, 1.0] };
    let second = Batch { users: vec![2, 2, 1], items: vec![3, 1, 1], labels: vec![0.0, 1.0, 0.0] };
    let loss = [&first, &second].map(|batch| {
        (network.step(&mut store, &keys, batch, &config, &mut Guides::new()).unwrap() / batch.labels.len() as f64)
            as f32
    });
    close(&loss, &[0.656_692_1, 0.742_875_1]);
    store.settle();
    let want_users = [
        -0.616_700_6,
        0.083_299_4,
        -0.483_299_5,
        0.2167,
        -0.380_113_8,
        0.290_569_3,
        -0.288_393_3,
        0.417_958_5,
        -0.218_728_3,
        0.480_964_2,
        -0.081_586_4,
        0.584_839_7,
    ];
    let want_items = [
        0.216_700_6,
        -0.383_299_5,
        0.283_299_5,
        -0.283_299_5,
        0.411_194_7,
        -0.181_695_6,
        0.485_454_9,
        -0.085_640_8,
        0.583_299_4,
        -0.016_700_6,
        -0.616_700_6,
        0.083_299_5,
        -0.519_620_8,
        0.181_795_1,
        -0.419_707_8,
        0.280_003_8,
    ];
    close(store.rows(keys.users).values(), &want_users);
    close(store.rows(keys.items).values(), &want_items);
    close(store.dense(keys.layers[0].1).values(), &[0.084_777_7, -0.053_636_5, 0.219_942_4]);
    close(store.dense(keys.layers[1].0).values(), &[0.084_490_3, -0.5, 0.188_000_3, -0.4, 0.320_007_4, -0.3]);
    close(store.dense(keys.output).values(), &[-0.516_852_4, 0.180_069_8, -0.418_372_2, 0.3]);
    close(store.dense(keys.bias).values(), &[0.303_606_8]);
    let after = frozen(&config, &store, &keys);
    close(&scores(&after, 0), &[0.320_184_2, 0.387_970_8, 0.399_772_3, 0.069_469_5]);
}

#[test]
fn every_variant_finds_the_held_out_item_and_beats_popularity() {
    let (train, targets) = fixture::held_out(200, 90);
    let popular = fixture::auc(&crate::pop_rank::fit(&train).unwrap(), &train, &targets);
    for config in variants() {
        let (model, report) = fitted(&train, &config, 25);
        let auc = fixture::auc(&model, &train, &targets);
        let losses: Vec<f64> = report.history.iter().map(|record| record.loss).collect();
        // 0.93 is the most that the four groups allow; popularity gives about 0.5.
        assert!((0.75..0.95).contains(&auc) && auc > popular + 0.15, "{config:?}: {auc}, popularity {popular}");
        assert!(losses[24] < losses[0], "{losses:?}");
    }
}

#[test]
fn every_variant_keeps_every_promise_and_its_hidden_vectors_give_its_scores() {
    let train = fixture::clusters(40, 300);
    for config in variants() {
        let (model, _) = fitted(&train, &config, 1);
        let users = [&UserId(0), &UserId(39), &fixture::EMPTY_USER];
        testing::scorer(&model, &users);
        testing::scorer_refuses(&model, &UserId(40));
        testing::retriever_refuses(&model, &UserId(0), &UserId(40));
        testing::index(&model, &users);
        let hidden = model.hidden().unwrap();
        let joint = hidden.widths().pair;
        assert_eq!((hidden.widths().user, hidden.widths().item, joint), (0, 0, config.joint_dim()));
        let pairs: Vec<(UserId, ItemId)> = (0..200).map(|j| (UserId(j / 150 * 7), ItemId(j * 3 % 300))).collect();
        let mut vectors = vec![0.0; 200 * joint];
        hidden.pairs_into(&pairs, &mut vectors).unwrap();
        let Parts { output, bias, .. } = &model.parts;
        for (pair, vector) in pairs.iter().zip(vectors.chunks(joint)) {
            let logit: f32 = vector.iter().zip(&output[..]).map(|(h, w)| h * w).sum::<f32>() + bias;
            assert!((logit - scores(&model, pair.0.0)[pair.1.index()]).abs() < 1e-5);
        }
        assert!(hidden.user_into(UserId(0), &mut []).is_err() && hidden.item_into(ItemId(0), &mut []).is_err());
        let unknown = hidden.pairs_into(&[(UserId(0), ItemId(300))], &mut vectors[..joint]);
        assert!(matches!(unknown, Err(QueryError::UnknownItem { .. })));
        assert!(hidden.pairs_into(&pairs, &mut vectors[1..]).is_err());
    }
}

#[test]
fn pretraining_starts_the_joint_model_better_than_chance_and_lowers_its_loss() {
    let (train, targets) = fixture::held_out(200, 90);
    let sgd = Optimizer::Sgd(Sgd { learning_rate: 0.05, weight_decay: 0.0 });
    let alone = FitConfig { max_epochs: 25, ..Pretraining::default().gmf };
    let pretraining = Pretraining { gmf: alone.clone(), mlp: alone, fine_tuning: sgd };
    let fit_it = |config: &NeuMfConfig| fit_pretrained(&train, config, &pretraining, run(5));
    let (model, report) = fit_it(&small()).unwrap();
    let auc = fixture::auc(&model, &train, &targets);
    assert!((0.78..0.95).contains(&auc), "{auc}");
    assert!(report.history[0].loss < 0.6 && report.history[4].loss < report.history[0].loss, "{:?}", report.history);
    assert!(fit_it(&small().gmf_part()).unwrap_err().to_string().contains("expected both branches"));
}

#[test]
fn training_keeps_the_promises_of_a_trainer_in_every_variant() {
    let train = fixture::clusters(60, 40);
    for config in variants() {
        trainer(|run| fit(&train, &config, run));
    }
}

#[test]
fn bad_settings_and_bad_data_are_named() {
    let train = fixture::clusters(20, 15);
    let refused = |config: NeuMfConfig| fit(&train, &config, run(1)).unwrap_err().to_string();
    let widths =
        |gmf_dim, mlp_dim, hidden: &[usize]| NeuMfConfig { gmf_dim, mlp_dim, hidden: hidden.to_vec(), ..small() };
    assert_eq!(refused(widths(0, 0, &[])), "gmf: gmf_dim is 0, expected at least 1, or mlp_dim at least 1");
    assert_eq!(refused(widths(4, 4, &[])), "neumf: hidden is [], expected layers if and only if mlp_dim > 0");
    assert_eq!(refused(widths(4, 0, &[3])), "gmf: hidden is [3], expected layers if and only if mlp_dim > 0");
    assert_eq!(refused(widths(0, 4, &[3, 0])), "mlp: hidden is [3, 0], expected widths in 1..=16384");
    assert!(refused(NeuMfConfig { n_negatives: 0, ..small() }).starts_with("neumf: n_negatives is 0"));
    assert!(refused(NeuMfConfig { batch_size: 0, ..small() }).starts_with("neumf: batch_size is 0"));
    assert!(refused(NeuMfConfig { init_std: f64::NAN, ..small() }).starts_with("neumf: init_std is NaN"));
    assert!(
        refused(NeuMfConfig { optimizer: Optimizer::adam(0.0), ..small() }).contains("optimizer.learning_rate is 0")
    );
    let error = serde_json::from_str::<NeuMfConfig>(r#"{"gmf_dims": 3}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `gmf_dims`"), "{error}");

    let all: Vec<(u32, u32)> = (0..3).map(|item| (0, item)).chain([(1, 0)]).collect();
    for data in [Interactions::from_pairs(2, 3, &[]).unwrap(), Interactions::from_pairs(2, 3, &all).unwrap()] {
        let error = fit(&data, &small(), run(1)).unwrap_err();
        assert!(matches!(error, FitError::Empty { .. } | FitError::Negatives(_)), "{error}");
    }
    let (other, _) = fitted(&fixture::clusters(21, 15), &small(), 1);
    let from = |start: &NeuMf, config: &NeuMfConfig| fit_from(&train, start, config, run(1)).unwrap_err().to_string();
    assert!(from(&other, &small()).contains("start is a model of 21 rows where the data has 20"));
    assert!(from(&other, &small().gmf_part()).contains("expected the widths"));
}

#[test]
fn a_guided_step_follows_the_gradient_of_the_guide_too() {
    let train = Interactions::from_pairs(3, 5, &[(0, 0), (0, 1), (1, 3), (2, 3), (2, 4)]).unwrap();
    let rate = 0.25;
    let config = NeuMfConfig {
        gmf_dim: 2,
        mlp_dim: 2,
        hidden: vec![3, 2],
        init_std: 0.7,
        reduction: crate::Reduction::Sum,
        optimizer: Optimizer::Sgd(Sgd { learning_rate: rate, ..Sgd::default() }),
        ..small()
    };
    // Users (3, 4), items (5, 4), layers (4, 3), (3), (3, 2), (2), output (4), bias.
    let values = |model: &Training<'_, '_>| -> Vec<f64> {
        let tables = [model.keys.users, model.keys.items].map(|key| model.params.rows(key).values());
        let mut all = tables.concat();
        let layers = model.keys.layers.iter().flat_map(|(weight, bias)| [*weight, *bias]);
        for key in layers.chain([model.keys.output, model.keys.bias]) {
            all.extend_from_slice(model.params.dense(key).values());
        }
        all.iter().map(|x| f64::from(*x)).collect()
    };
    let after = |guides: Guides<'_>| {
        let mut model = Training::new(&train, &config, Seed(6), guides).unwrap();
        let before = values(&model);
        model.run_epoch(1).unwrap();
        model.params.settle();
        (before, values(&model))
    };
    let guide = fixture::Quadratic::default();
    let ((before, plain), (_, guided)) = (after(Guides::new()), after(vec![Box::new(guide.clone())]));
    let shown = guide.0.borrow();
    let joint = |x: &[f64], user: usize, item: usize| -> [f64; 4] {
        let (p, q) = (&x[user * 4..user * 4 + 4], &x[12 + item * 4..16 + item * 4]);
        let mut below = vec![p[2], p[3], q[2], q[3]];
        let mut at = 32;
        for width in [3, 2] {
            let (weight, bias) = x[at..].split_at(below.len() * width);
            let above = (0..width).map(|o| {
                let sum: f64 = below.iter().enumerate().map(|(i, b)| b * weight[i * width + o]).sum();
                (sum + bias[o]).max(0.0)
            });
            let above: Vec<f64> = above.collect();
            at += (below.len() + 1) * width;
            below = above;
        }
        [p[0] * q[0], p[1] * q[1], below[0], below[1]]
    };
    let objective = |x: &[f64]| -> f64 {
        let (output, bias) = (&x[x.len() - 5..x.len() - 1], x[x.len() - 1]);
        let mut sum = 0.0;
        for (c, ids) in shown.iter() {
            if *c == 0.0 {
                for (user, item) in ids.iter().flat_map(|user| [(*user, 0), (*user, 2)]) {
                    let z: f64 = joint(x, user as usize, item).iter().zip(output).map(|(h, w)| h * w).sum();
                    sum += 0.5 * (z + bias - 1.0).powi(2);
                }
            } else {
                let pairs = ids.chunks(2).map(|pair| joint(x, pair[0] as usize, pair[1] as usize));
                sum += pairs.flatten().map(|v| 0.5 * c * v * v).sum::<f64>();
            }
        }
        sum
    };
    assert_eq!(shown.len(), 2, "one call for pairs, one for lists");
    for (at, slope) in fixture::numeric_gradient(&before, objective).iter().enumerate() {
        let (got, want) = (plain[at] - guided[at], rate * slope);
        assert!((got - want).abs() < 2e-5 * want.abs().max(1.0), "{at}: {got} {want}");
    }
}

/// Towers that can have a first pass.
fn variants_with_a_first_pass() -> [NeuMfConfig; 5] {
    [
        small(),
        NeuMfConfig { hidden: vec![14, 33], ..small() },
        NeuMfConfig { hidden: vec![12, 32], ..small() },
        NeuMfConfig { hidden: vec![32, 16, 48], ..small() }.mlp_part(),
        NeuMfConfig { hidden: vec![32, 16], init_std: 1.0, ..small() },
    ]
}

#[test]
fn a_first_pass_changes_no_answer_and_leaves_few_items() {
    let train = fixture::clusters(30, 600);
    for config in variants_with_a_first_pass() {
        let plain = fitted(&train, &config, 10).0;
        let model = plain.clone().certified().unwrap();
        let users: Vec<UserId> = (0..30).map(UserId).collect();
        let queries: Vec<&UserId> = users.iter().collect();
        testing::retriever(&model, &queries, &testing::Oracle::scorer(&plain));
        testing::retriever_refuses(&model, &UserId(0), &UserId(30));
        let mut left = 0;
        let (mut got, mut want) = (TopK::new(), TopK::new());
        for user in users {
            let seen: Vec<ItemId> = train.items_of(user).to_vec();
            for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                model.top_k(&user, 10, &filter, &mut got).unwrap();
                Exhaustive::new(&plain).top_k(&user, 10, &filter, &mut want).unwrap();
                assert_eq!(got, want);
            }
            left += model.candidates(user, 10, &ItemFilter::all()).unwrap().unwrap().len();
        }
        assert!(left < 30 * 200, "{left} items of 30 users, {config:?}");
    }
}

/// Scores that bfloat16 cannot tell apart.
#[test]
fn a_first_pass_keeps_what_it_cannot_tell_apart() {
    let config = NeuMfConfig { hidden: vec![32, 16], ..small() };
    let model = fitted(&fixture::clusters(10, 300), &config, 3).0;
    let Parts { users, items, layers, output, bias } = &model.parts;
    let dim = config.embedding_dim();
    let near = items[..dim].iter().cycle().take(items.len()).enumerate();
    let near: Vec<f32> = near.map(|(at, x)| x * (1.0 + (at / dim * 37 % 300) as f32 * 1e-6)).collect();
    let parts =
        Parts { users: users.clone(), items: near.into(), layers: layers.clone(), output: output.clone(), bias: *bias };
    let model = NeuMf::from_parts(config, parts).certified().unwrap();
    let (mut got, mut want) = (TopK::new(), TopK::new());
    for user in (0..10).map(UserId) {
        assert_eq!(model.candidates(user, 5, &ItemFilter::all()).unwrap().unwrap().len(), 300);
        model.top_k(&user, 5, &ItemFilter::all(), &mut got).unwrap();
        Exhaustive::new(&model).top_k(&user, 5, &ItemFilter::all(), &mut want).unwrap();
        assert_eq!(got, want);
    }
}

#[test]
fn towers_without_products_or_of_odd_width_have_no_first_pass() {
    let train = fixture::clusters(10, 40);
    let of_layers = |hidden: &[usize]| NeuMfConfig { hidden: hidden.to_vec(), ..small() };
    for config in [small().gmf_part(), of_layers(&[8]), of_layers(&[9, 6]), of_layers(&[8, 7, 2])] {
        let model = fitted(&train, &config, 1).0;
        assert!(model.clone().certified().is_none(), "{config:?}");
        assert_eq!(model.candidates(UserId(0), 3, &ItemFilter::all()).unwrap(), None);
    }
}
