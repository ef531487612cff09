use rectify_core::UserId;
use rectify_tensor::testing::trainer;

use super::*;
use crate::learn::fixture::{self, run};

fn small(solver: Solver) -> IalsConfig {
    IalsConfig { embedding_dim: 12, l2: 0.02, solver, ..IalsConfig::default() }
}

fn fitted(train: &Interactions, config: &IalsConfig, epochs: u32) -> (Factors, FitReport) {
    fit(train, config, run(epochs)).unwrap()
}

/// The objective as it is printed, in double precision.
fn objective(train: &Interactions, config: &IalsConfig, model: &Factors) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (n_users, n_items) = (train.n_users() as f64, train.n_items() as f64);
    let (alpha, nu) = (config.unobserved_weight, config.frequency_exponent);
    let mut sum = 0.0;
    for user in train.users() {
        let (p, seen) = (model.user(user).unwrap(), train.items_of(user));
        sum += config.l2 * (seen.len() as f64 + alpha * n_items).powf(nu) * dot(p, p);
        for i in 0..train.n_items() as u32 {
            let x = dot(p, model.item(i.into()).unwrap());
            sum += alpha * x * x + if train.contains(user, i.into()) { (x - 1.0).powi(2) } else { 0.0 };
        }
    }
    for i in 0..train.n_items() as u32 {
        let q = model.item(i.into()).unwrap();
        sum += config.l2 * (train.users_of(i.into()).len() as f64 + alpha * n_users).powf(nu) * dot(q, q);
    }
    sum / train.n_interactions() as f64
}

#[test]
fn the_loss_is_the_printed_objective_and_never_rises() {
    let train = fixture::clusters(60, 40);
    for frequency_exponent in [0.0, 0.5, 1.0] {
        let config = IalsConfig { frequency_exponent, ..small(Solver::Cholesky) };
        let (model, report) = fitted(&train, &config, 8);
        let losses: Vec<f64> = report.history.iter().map(|record| record.loss).collect();
        assert!(losses.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-6)), "{losses:?}");
        let want = objective(&train, &config, &model);
        assert!((losses[7] - want).abs() < 1e-5 * want, "{} {want}", losses[7]);
    }
}

#[test]
fn a_solved_item_cannot_be_improved_by_a_nudge() {
    let train = fixture::clusters(60, 40);
    let config = small(Solver::Cholesky);
    let (model, _) = fitted(&train, &config, 3);
    let best = objective(&train, &config, &model);
    for (at, delta) in [(0, 0.01), (17, -0.01), (12 * 39 + 5, 0.01)] {
        let mut items = model.items().to_vec();
        items[at] += delta;
        let nudged = Factors::from_vectors(model.users().to_vec(), items, 12, model.provenance().clone()).unwrap();
        assert!(objective(&train, &config, &nudged) > best);
    }
}

#[test]
fn enough_conjugate_gradient_steps_are_exact() {
    let train = fixture::clusters(60, 40);
    let (exact, _) = fitted(&train, &small(Solver::Cholesky), 4);
    let (steps, _) = fitted(&train, &small(Solver::ConjugateGradient { steps: 30 }), 4);
    let far = exact.users().iter().zip(&steps.users()[..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-3, "{far}");
}

#[test]
fn ials_finds_the_held_out_item_with_either_solver() {
    let (train, targets) = fixture::held_out(200, 90);
    for solver in [Solver::Cholesky, Solver::ConjugateGradient { steps: 3 }] {
        let (model, _) = fitted(&train, &small(solver), 8);
        let auc = fixture::auc(&model, &train, &targets);
        // Usually 0.844; 0.93 is the most that the four groups allow.
        assert!((0.80..0.95).contains(&auc), "{solver:?}: {auc}");
        assert!(model.user(fixture::EMPTY_USER).unwrap().iter().all(|x| *x == 0.0));
    }
}

#[test]
fn training_keeps_the_promises_of_a_trainer_with_either_solver() {
    let train = fixture::clusters(150, 130);
    for solver in [Solver::Cholesky, Solver::ConjugateGradient { steps: 3 }] {
        trainer(|run| fit(&train, &small(solver), run));
    }
}

#[test]
fn bad_settings_and_empty_data_are_named() {
    let train = fixture::clusters(60, 40);
    let refused = |config: IalsConfig| fit(&train, &config, run(1)).unwrap_err().to_string();
    let base = IalsConfig::default;
    assert_eq!(refused(IalsConfig { embedding_dim: 0, ..base() }), "ials: embedding_dim is 0, expected at least 1");
    assert_eq!(refused(IalsConfig { l2: 0.0, ..base() }), "ials: l2 is 0, expected a finite number above 0");
    assert!(refused(IalsConfig { unobserved_weight: -1.0, ..base() }).contains("unobserved_weight is -1"));
    assert!(refused(IalsConfig { frequency_exponent: 1.5, ..base() }).contains("frequency_exponent is 1.5"));
    assert!(refused(IalsConfig { init_std: f64::NAN, ..base() }).contains("init_std is NaN"));
    assert!(refused(small(Solver::ConjugateGradient { steps: 0 })).contains("solver.steps is 0"));
    let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
    let error = fit(&empty, &base(), run(1)).unwrap_err();
    assert!(matches!(error, FitError::Empty { .. }));
}

#[test]
fn hidden_vectors_are_shown() {
    let train = fixture::clusters(60, 40);
    let (model, _) = fitted(&train, &small(Solver::Cholesky), 1);
    let mut p = [0.0; 12];
    rectify_core::Teacher::hidden(&model).unwrap().user_into(UserId(5), &mut p).unwrap();
    assert_eq!(p, model.users()[60..72]);
}
