use rectify_core::{Teacher, UserId};
use rectify_data::samplers::UniformNegatives;
use rectify_tensor::testing::trainer;
use rectify_tensor::train::Step;
use rectify_tensor::{Adam, Optimizer, RowUpdate, Sgd};

use super::*;
use crate::Reduction;
use crate::learn::fixture::{self, run};

fn small(loss: MfLoss) -> MfConfig {
    MfConfig {
        embedding_dim: 12,
        loss,
        n_negatives: 2,
        batch_size: 50,
        optimizer: Optimizer::adam(0.01).with_weight_decay(1e-4),
        ..MfConfig::default()
    }
}

fn fitted(train: &Interactions, config: &MfConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, config, run(epochs)).unwrap()
}

const VARIANTS: [(MfLoss, RowUpdate, Reduction); 5] = [
    (MfLoss::Bpr, RowUpdate::Exact, Reduction::Mean),
    (MfLoss::Bpr, RowUpdate::Exact, Reduction::Sum),
    (MfLoss::Bpr, RowUpdate::Lazy, Reduction::Mean),
    (MfLoss::Bce, RowUpdate::Exact, Reduction::Mean),
    (MfLoss::Bce, RowUpdate::Lazy, Reduction::Mean),
];

#[test]
fn every_variant_finds_the_held_out_item_and_lowers_its_loss() {
    let (train, targets) = fixture::held_out(200, 90);
    for (loss, row_update, reduction) in VARIANTS {
        let config = MfConfig { row_update, reduction, ..small(loss) };
        let (model, report) = fitted(&train, &config, 30);
        let auc = fixture::auc(&model, &train, &targets);
        // Usually 0.83; 0.93 is the most that the four groups allow.
        assert!((0.78..0.95).contains(&auc), "{loss:?} {row_update:?} {reduction:?}: {auc}");
        let (first, last) = (report.history[0].loss, report.history[29].loss);
        // ln 2 before anything is learnt.
        assert!((first - 0.69).abs() < 0.01 && last < 0.5, "{loss:?} {row_update:?} {reduction:?}: {first} {last}");
        assert!(model.hidden().is_some());
    }
}

/// One epoch in double precision, following the definition: every vector takes every step of Adam.
fn plain_epoch(train: &Interactions, config: &MfConfig, seed: Seed) -> (Vec<f64>, Vec<f64>) {
    let dim = config.embedding_dim;
    let start = Training::new(train, config, seed, Guides::new()).unwrap();
    let [mut p, mut q]: [Vec<f64>; 2] =
        [start.users, start.items].map(|key| start.params.rows(key).values().iter().map(|x| f64::from(*x)).collect());
    let Optimizer::Adam(Adam { learning_rate, beta1, beta2, epsilon, weight_decay }) = config.optimizer else {
        panic!("the oracle knows Adam only")
    };
    let mut order: Vec<usize> = (0..train.n_interactions()).collect();
    seed.stream("order").at(1, 0).shuffle(&mut order);
    let negatives = UniformNegatives::new(train, seed.stream("negatives")).unwrap();
    let pairs: Vec<_> = train.pairs().collect();
    let (mut mp, mut mq) = (vec![(0.0, 0.0); p.len()], vec![(0.0, 0.0); q.len()]);
    for (t, batch) in order.chunks(config.batch_size).enumerate() {
        let (mut dp, mut dq) = (vec![0.0; p.len()], vec![0.0; q.len()]);
        let mut n = 0.0;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (b, &at) in batch.iter().enumerate() {
            let (user, item) = pairs[at];
            let (u, i) = (user.index() * dim, item.index() * dim);
            let mut drawn = vec![rectify_core::ItemId(0); config.n_negatives];
            negatives.fill(1, (t * config.batch_size + b) as u64, &[user], &mut drawn);
            let score = |q: &[f64], i: usize| (0..dim).map(|k| p[u + k] * q[i + k]).sum::<f64>();
            // Samples as (item, its coefficient) lists: the slope of the loss in each item's score.
            let mut add = |terms: &[(usize, f64)]| {
                n += 1.0;
                for k in 0..dim {
                    dp[u + k] += config.l2 * p[u + k];
                    for &(i, slope) in terms {
                        dp[u + k] += slope * q[i + k];
                        dq[i + k] += slope * p[u + k] + config.l2 * q[i + k];
                    }
                }
            };
            if config.loss == MfLoss::Bce {
                add(&[(i, sigmoid(score(&q, i)) - 1.0)]);
            }
            for j in drawn.iter().map(|j| j.index() * dim) {
                match config.loss {
                    MfLoss::Bpr => {
                        let slope = sigmoid(score(&q, j) - score(&q, i));
                        add(&[(i, -slope), (j, slope)]);
                    }
                    MfLoss::Bce => add(&[(j, sigmoid(score(&q, j)))]),
                }
            }
        }
        let scale = if config.reduction == Reduction::Mean { 1.0 / n } else { 1.0 };
        let t = t as i32 + 1;
        let step = |w: &mut Vec<f64>, moments: &mut Vec<(f64, f64)>, gradient: &[f64]| {
            for ((w, (m, v)), g) in w.iter_mut().zip(moments).zip(gradient) {
                let g = g * scale + weight_decay * *w;
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *w -= learning_rate * (*m / (1.0 - beta1.powi(t))) / ((*v / (1.0 - beta2.powi(t))).sqrt() + epsilon);
            }
        };
        step(&mut p, &mut mp, &dp);
        step(&mut q, &mut mq, &dq);
    }
    (p, q)
}

#[test]
fn an_epoch_is_what_its_definition_says_in_double_precision() {
    let train = fixture::clusters(40, 30);
    for (loss, reduction) in
        [(MfLoss::Bpr, Reduction::Mean), (MfLoss::Bpr, Reduction::Sum), (MfLoss::Bce, Reduction::Mean)]
    {
        // A large initial spread and ε: where gradients are tiny, Adam's direction is their sign, which rounding decides.
        let optimizer =
            Optimizer::Adam(Adam { learning_rate: 0.01, epsilon: 1e-3, weight_decay: 1e-3, ..Adam::default() });
        let config = MfConfig { reduction, optimizer, l2: 0.02, init_std: 0.3, batch_size: 64, ..small(loss) };
        let (model, _) = fitted(&train, &config, 1);
        let (p, q) = plain_epoch(&train, &config, Seed(3));
        for (got, want) in model.users().iter().chain(model.items()).zip(p.iter().chain(&q)) {
            assert!((f64::from(*got) - want).abs() < 2e-5, "{loss:?} {reduction:?}: {got} {want}");
        }
    }
}

#[test]
fn training_keeps_the_promises_of_a_trainer_in_every_variant() {
    let train = fixture::clusters(150, 130);
    for (loss, row_update, reduction) in VARIANTS {
        let config = MfConfig { row_update, reduction, ..small(loss) };
        trainer(|run| fit(&train, &config, run));
    }
}

#[test]
fn a_user_without_items_keeps_the_initial_vector_unless_weights_decay() {
    let train = fixture::clusters(60, 40);
    let config = MfConfig { optimizer: Optimizer::adam(0.01), ..small(MfLoss::Bpr) };
    let start = Training::new(&train, &config, Seed(3), Guides::new()).unwrap();
    let empty = fixture::EMPTY_USER;
    let before = start.params.rows(start.users).row(empty.0).to_vec();
    let (model, _) = fitted(&train, &config, 3);
    assert_eq!(model.user(empty).unwrap(), before);
    assert_ne!(model.user(UserId(0)).unwrap(), start.params.rows(start.users).row(0));
}

#[test]
fn seeds_differ() {
    let train = fixture::clusters(60, 40);
    let config = small(MfLoss::Bpr);
    let with = |seed| fit(&train, &config, TrainRun::new(Seed(seed)).epochs(1)).unwrap().0;
    assert_ne!(with(1).users(), with(2).users());
}

#[test]
fn bad_settings_and_bad_data_are_named() {
    let train = fixture::clusters(60, 40);
    let refused = |train: &Interactions, config: MfConfig| fit(train, &config, run(1)).unwrap_err().to_string();
    let base = MfConfig::default;
    assert_eq!(
        refused(&train, MfConfig { embedding_dim: 0, ..base() }),
        "mf-bpr: embedding_dim is 0, expected at least 1"
    );
    assert_eq!(
        refused(&train, MfConfig { n_negatives: 0, loss: MfLoss::Bce, ..base() }),
        "mf-bce: n_negatives is 0, expected at least 1"
    );
    assert!(refused(&train, MfConfig { batch_size: 0, ..base() }).contains("batch_size is 0"));
    assert!(refused(&train, MfConfig { batch_size: usize::MAX, ..base() }).contains("fewer than 2^32 samples"));
    assert!(refused(&train, MfConfig { l2: -0.1, ..base() }).contains("l2 is -0.1"));
    assert!(refused(&train, MfConfig { init_std: 0.0, ..base() }).contains("init_std is 0"));
    assert_eq!(
        refused(&train, MfConfig { optimizer: Optimizer::adam(-1.0), ..base() }),
        "mf-bpr: optimizer.learning_rate is -1, expected a finite number above 0"
    );
    let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
    assert!(refused(&empty, base()).contains("no interactions to learn from"));
    let full = Interactions::from_pairs(2, 2, &[(0, 0), (0, 1), (1, 0)]).unwrap();
    assert!(refused(&full, base()).contains("user 0 has all 2 items"));
    let unknown = serde_json::from_str::<MfConfig>(r#"{"batch": 3}"#).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `batch`"), "{unknown}");
}

#[test]
fn a_learning_rate_that_diverges_is_an_error() {
    let train = fixture::clusters(60, 40);
    let optimizer = Optimizer::Sgd(rectify_tensor::Sgd { learning_rate: 1e30, weight_decay: 0.0 });
    let config = MfConfig { optimizer, reduction: Reduction::Sum, ..small(MfLoss::Bpr) };
    let error = fit(&train, &config, run(5)).unwrap_err();
    assert!(matches!(error, FitError::Train(_) | FitError::NotFinite { .. }), "{error}");
}

#[test]
fn a_guided_step_follows_the_gradient_of_the_guide_too() {
    let train = Interactions::from_pairs(3, 5, &[(0, 0), (0, 1), (1, 3), (2, 3), (2, 4)]).unwrap();
    for loss in [MfLoss::Bpr, MfLoss::Bce] {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let rate = 0.5;
            let optimizer = Optimizer::Sgd(Sgd { learning_rate: rate, ..Sgd::default() });
            let config =
                MfConfig { embedding_dim: 3, init_std: 0.5, optimizer, batch_size: 100, reduction, ..small(loss) };
            let values = |model: &Training<'_, '_>| -> Vec<f64> {
                let tables = [model.users, model.items].map(|key| model.params.rows(key).values());
                tables.concat().iter().map(|x| f64::from(*x)).collect()
            };
            let after = |guides: Guides<'_>| {
                let mut model = Training::new(&train, &config, Seed(4), guides).unwrap();
                let before = values(&model);
                let stats = model.run_epoch(1).unwrap();
                model.params.settle();
                (before, values(&model), stats)
            };
            let guide = fixture::Quadratic::default();
            let (before, plain, plain_stats) = after(Guides::new());
            let (_, guided, stats) = after(vec![Box::new(guide.clone())]);
            let shown = guide.0.borrow();
            let objective = |x: &[f64]| -> f64 {
                let row = |at: usize| &x[at * 3..(at + 1) * 3];
                let mut sum = 0.0;
                for (c, ids) in shown.iter() {
                    for id in ids.iter().map(|id| *id as usize) {
                        let first = if *c > 1.0 { 3 } else { 0 };
                        sum += 0.5 * c * row(first + id).iter().map(|v| v * v).sum::<f64>();
                        if *c == 0.0 {
                            let score =
                                |item: usize| row(id).iter().zip(row(3 + item)).map(|(p, q)| p * q).sum::<f64>();
                            sum += [0, 2].map(|item| 0.5 * (score(item) - 1.0).powi(2)).iter().sum::<f64>();
                        }
                    }
                }
                sum
            };
            assert_eq!(shown.len(), 4, "one call for lists, users, positives, negatives");
            assert!(shown[2..].iter().all(|(_, ids)| (0..ids.len()).all(|i| !ids[..i].contains(&ids[i]))), "distinct");
            let n = stats.samples as f64;
            let scale = if reduction == Reduction::Mean { 1.0 / n } else { 1.0 };
            for (at, slope) in fixture::numeric_gradient(&before, objective).iter().enumerate() {
                let (got, want) = (plain[at] - guided[at], rate * scale * slope);
                assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{loss:?} {reduction:?} {at}: {got} {want}");
            }
            let more = (stats.loss - plain_stats.loss) * n;
            assert!((more - objective(&before)).abs() < 1e-5 * more, "{more}");
        }
    }
}
