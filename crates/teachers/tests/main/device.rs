//! Training on a device against training on the CPU: the same draws, losses and scores to rounding.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone. Tolerance: 10⁻⁴ of a
//! loss, 10⁻³ of the largest score after three epochs, since sums run in another order and Adam divides by small numbers at first.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_core::rng::Seed;
use rectify_core::{Scorer, UserId};
use rectify_cuda::testing;
use rectify_data::Interactions;
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::mf::{self, MfConfig, MfLoss};
use rectify_teachers::neumf::{self, NeuMfConfig, Pretraining};
use rectify_teachers::{Checkpoint, FitConfig, FitError, FitReport, Reduction, TrainRun};
use rectify_tensor::cuda::GpuOps;
use rectify_tensor::{Adagrad, Optimizer, RowUpdate, Sgd};

fn devices() -> Vec<GpuOps> {
    testing::devices(|why| eprintln!("{why}")).into_iter().map(GpuOps::new).collect()
}

/// Users and items in four groups that like each other.
fn clusters(n_users: u32, n_items: u32) -> Interactions {
    let mut rng = Seed(1).stream("clusters").rng();
    let mut pairs = Vec::new();
    for (user, item) in (0..n_users).flat_map(|user| (0..n_items).map(move |item| (user, item))) {
        if rng.unit_f32() < if user % 4 == item % 4 { 0.5 } else { 0.05 } {
            pairs.push((user, item));
        }
    }
    Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap()
}

/// Three epochs, without validation.
fn run<'a, M>() -> TrainRun<'a, M> {
    TrainRun::new(Seed(3)).epochs(3)
}

/// Scores of all pairs.
fn scores(model: &dyn Scorer<Query = UserId>, n_users: u32) -> Vec<f32> {
    let mut all = Vec::new();
    for user in 0..n_users {
        let mut out = vec![0.0; model.n_items()];
        model.score_all_into(&UserId(user), &mut out).unwrap();
        all.extend(out);
    }
    all
}

#[track_caller]
fn agree(what: &str, got: (&[f32], &FitReport), want: (&[f32], &FitReport)) {
    let losses = |report: &FitReport| report.history.iter().map(|epoch| epoch.loss).collect::<Vec<_>>();
    for (got, want) in losses(got.1).iter().zip(losses(want.1)) {
        assert!((got - want).abs() <= 1e-4 * want, "{what}: loss {got}, on the CPU {want}");
    }
    assert_eq!(got.1.history.len(), want.1.history.len());
    let largest = want.0.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    for (got, want) in got.0.iter().zip(want.0) {
        assert!((got - want).abs() <= 1e-3 * largest, "{what}: score {got}, on the CPU {want}, largest {largest}");
    }
    let (first, last) = (want.1.history[0].loss, want.1.history[want.1.history.len() - 1].loss);
    assert_ne!(first, last, "{what}: it moves");
}

#[test]
fn bpr_learns_as_on_the_processor() {
    let data = clusters(40, 28);
    for ops in devices() {
        for (row_update, reduction, n_negatives) in
            [(RowUpdate::Exact, Reduction::Mean, 1), (RowUpdate::Lazy, Reduction::Sum, 2)]
        {
            let config = MfConfig {
                embedding_dim: 9,
                batch_size: 50,
                n_negatives,
                reduction,
                row_update,
                l2: 0.01,
                optimizer: Optimizer::adam(0.02).with_weight_decay(1e-4),
                ..MfConfig::default()
            };
            let fit = |run: TrainRun<'_, _>| {
                let (model, report) = mf::fit_on(&ops, &data, &config, run).unwrap();
                (scores(&model, 40), report)
            };
            let (got, report) = fit(run());
            let (want, expected) = mf::fit(&data, &config, run()).unwrap();
            agree("bpr", (&got, &report), (&scores(&want, 40), &expected));

            // A run that goes on from a checkpoint has the bits of one that was never interrupted.
            let folder = tempfile::tempdir().unwrap();
            let checkpoint = Some(Checkpoint { path: folder.path().join("run"), run: "bpr".into() });
            let part =
                |max_epochs| FitConfig { max_epochs, patience: None, eval_every: 0, checkpoint: checkpoint.clone() };
            fit(run().fit(&part(1)));
            assert_eq!(fit(run().fit(&part(3))).0, got);
        }
    }
}

#[test]
fn gmf_mlp_and_neumf_learn_as_on_the_processor() {
    let data = clusters(24, 20);
    for ops in devices() {
        for base in [
            NeuMfConfig { gmf_dim: 5, mlp_dim: 7, hidden: vec![9, 4], ..NeuMfConfig::default() },
            NeuMfConfig { row_update: RowUpdate::Lazy, ..NeuMfConfig::gmf(6) },
            NeuMfConfig { reduction: Reduction::Sum, ..NeuMfConfig::mlp(5, &[6]) },
        ] {
            let config = NeuMfConfig {
                batch_size: 70,
                n_negatives: 2,
                init_std: 0.1,
                optimizer: Optimizer::adam(0.01).with_weight_decay(1e-4),
                ..base
            };
            let (got, report) = neumf::fit_on(&ops, &data, &config, run()).unwrap();
            let (want, expected) = neumf::fit(&data, &config, run()).unwrap();
            agree(config.model(), (&scores(&got, 24), &report), (&scores(&want, 24), &expected));
        }
    }
}

#[test]
fn gcn_cf_learns_as_on_the_processor() {
    let data = clusters(24, 20);
    for ops in devices() {
        let config = GcnCfConfig { embedding_dim: 6, batch_size: 80, l2: 0.01, ..GcnCfConfig::default() };
        let (got, report) = gcn_cf::fit_on(&ops, &data, &config, run()).unwrap();
        let (want, expected) = gcn_cf::fit(&data, &config, run()).unwrap();
        agree("gcn-cf", (&scores(&got, 24), &report), (&scores(&want, 24), &expected));
    }
}

#[test]
fn labelled_factors_learn_as_on_the_processor() {
    let data = clusters(24, 20);
    for ops in devices() {
        for row_update in [RowUpdate::Exact, RowUpdate::Lazy] {
            let config = MfConfig {
                embedding_dim: 7,
                loss: MfLoss::Bce,
                batch_size: 30,
                n_negatives: 3,
                row_update,
                l2: 0.01,
                optimizer: Optimizer::adam(0.02),
                ..MfConfig::default()
            };
            let (got, report) = mf::fit_on(&ops, &data, &config, run()).unwrap();
            let (want, expected) = mf::fit(&data, &config, run()).unwrap();
            agree("mf-bce", (&scores(&got, 24), &report), (&scores(&want, 24), &expected));
        }
    }
}

#[test]
fn neumf_by_its_recipe_learns_as_on_the_processor() {
    let data = clusters(24, 20);
    let config = NeuMfConfig {
        gmf_dim: 5,
        mlp_dim: 7,
        hidden: vec![9, 4],
        batch_size: 70,
        init_std: 0.1,
        optimizer: Optimizer::adam(0.01),
        ..NeuMfConfig::default()
    };
    let fine_tuning = Optimizer::Sgd(Sgd { learning_rate: 0.1, weight_decay: 1e-4 });
    let alone = FitConfig { max_epochs: 2, ..Pretraining::default().gmf };
    let pretraining = Pretraining { gmf: alone.clone(), mlp: alone, fine_tuning };
    for ops in devices() {
        let (got, report) = neumf::fit_pretrained_on(&ops, &data, &config, &pretraining, run()).unwrap();
        let (want, expected) = neumf::fit_pretrained(&data, &config, &pretraining, run()).unwrap();
        agree("neumf, pretrained", (&scores(&got, 24), &report), (&scores(&want, 24), &expected));
    }
}

#[test]
fn what_a_device_cannot_do_is_refused_by_name() {
    let Some(ops) = devices().pop() else { return };
    let data = clusters(8, 8);
    let config = MfConfig { optimizer: Optimizer::Adagrad(Adagrad::default()), ..MfConfig::default() };
    let refused = mf::fit_on(&ops, &data, &config, run());
    assert!(matches!(refused, Err(FitError::Config(_))));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("mf-bpr: optimizer.rule is adagrad, expected adam or sgd on a device"), "{message}");
}
