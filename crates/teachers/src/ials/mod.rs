//! iALS: weighted matrix factorisation over all pairs, by alternating least squares.

mod solve;

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_tensor::train::{self, EpochStats, FitConfig, FitReport, Observer, Step, TrainError};
use rectify_tensor::{Init, ParamStore, RowUpdate, RowsKey};
use serde::{Deserialize, Serialize};

use crate::training::{Validate, validate_with};
use crate::{ConfigError, Factors, FitError};

const MODEL: &str = "ials";

/// Settings of iALS; the names in brackets are those of Rendle et al. 2022.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IalsConfig {
    /// Width of a vector (d), at least 1. Default 64.
    pub embedding_dim: usize,
    /// Weight of an unobserved pair (α₀), above 0; an observed one weighs 1 more. Default 0.1. Hu et al.'s confidence
    /// `1 + α` is α₀ = 1/α.
    pub unobserved_weight: f64,
    /// λ, above 0. Default 0.003. The first thing to tune, by factors of 3.
    pub l2: f64,
    /// How a row's regularisation grows with its weight (ν): `λ (n_u + α₀ n_items)^ν`, in [0, 1]. Default 1; 0 gives every
    /// row the same, as in Hu et al.
    pub frequency_exponent: f64,
    /// Standard deviation of an initial vector's length (σ*), above 0: its entries have `init_std / √d`. Default 0.1.
    pub init_std: f64,
    /// How a row is solved. Default exact.
    pub solver: Solver,
}

/// How the least squares problem of one row is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Solver {
    /// Exactly: n d² / 2 + d³ / 6 multiplications for a row of n interactions.
    #[default]
    Cholesky,
    /// Some steps of conjugate gradient from the row's last solution (Takács et al., RecSys 2011): 2 n d + d² a step. Cheaper
    /// in high dimensions.
    ConjugateGradient {
        /// Steps a row, at least 1; 3 is usual.
        steps: u32,
    },
}

impl Default for IalsConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            unobserved_weight: 0.1,
            l2: 0.003,
            frequency_exponent: 1.0,
            init_std: 0.1,
            solver: Solver::Cholesky,
        }
    }
}

impl IalsConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: f64| ConfigError::check(holds, MODEL, field, expected, got);
        let positive = |field, x: f64| check(x > 0.0 && x.is_finite(), field, "a finite number above 0", x);
        ConfigError::check(self.embedding_dim >= 1, MODEL, "embedding_dim", "at least 1", self.embedding_dim)?;
        positive("unobserved_weight", self.unobserved_weight)?;
        positive("l2", self.l2)?;
        let nu = self.frequency_exponent;
        check((0.0..=1.0).contains(&nu), "frequency_exponent", "in [0, 1]", nu)?;
        positive("init_std", self.init_std)?;
        if let Solver::ConjugateGradient { steps } = self.solver {
            ConfigError::check(steps >= 1, MODEL, "solver.steps", "at least 1", steps)?;
        }
        Ok(())
    }
}

/// Fits iALS (Hu et al., ICDM 2008, with the weights and the regularisation of Rendle et al., "Revisiting the performance
/// of iALS on item recommendation benchmarks", RecSys 2022): minimises
///
/// `Σ_(u,i)∈S (p_u·q_i − 1)² + α₀ Σ_u Σ_i (p_u·q_i)² + λ Σ_u (n_u + α₀ n_items)^ν ‖p_u‖² + λ Σ_i (n_i + α₀ n_users)^ν ‖q_i‖²`
///
/// over all pairs, those of S observed. An epoch solves all users, then all items. The loss reported is the objective per
/// interaction; with exact solutions it never rises (but for f32). A row without interactions is solved to 0.
///
/// `run` says how long to train and where to checkpoint; 16 epochs are usual. `validate` gets the factors after an epoch.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Train`]; a row whose system f32 cannot solve is a
/// [`FitError::Singular`] inside the latter.
pub fn fit(
    train: &Interactions,
    config: &IalsConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_, Factors>,
    observer: &mut dyn Observer,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, seed);
    let report = train::fit(&mut model, run, &mut validate_with(validate, Training::factors), observer)?;
    Ok((model.factors()?, report))
}

struct Training<'a> {
    data: &'a Interactions,
    config: &'a IalsConfig,
    params: ParamStore,
    users: RowsKey,
    items: RowsKey,
}

impl<'a> Training<'a> {
    fn new(data: &'a Interactions, config: &'a IalsConfig, seed: Seed) -> Self {
        let mut params = ParamStore::new(seed);
        let dim = config.embedding_dim;
        let init = Init::Normal { std: (config.init_std / (dim as f64).sqrt()) as f32 };
        let users = params.add_rows("users", data.n_users(), dim, init, RowUpdate::Lazy);
        let items = params.add_rows("items", data.n_items(), dim, init, RowUpdate::Lazy);
        Self { data, config, params, users, items }
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let (users, items) = (self.params.rows(self.users), self.params.rows(self.items));
        Factors::trained(MODEL, self.config, users.values(), items.values(), self.config.embedding_dim)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let [users, items] = self.params.rows_mut([self.users, self.items]);
        let (users, items) = (users.values_mut(), items.values_mut());
        let fail = |what| {
            move |row: usize| TrainError::Model {
                epoch,
                source: FitError::Singular { model: MODEL, what: format!("{what} {row}"), precision: "f32" }.into(),
            }
        };
        let by_user = solve::Side::users(self.data, self.config);
        let by_item = solve::Side::items(self.data, self.config);
        by_user.solve(items, users).map_err(fail("user"))?;
        by_item.solve(users, items).map_err(fail("item"))?;
        let samples = self.data.n_interactions() as u64;
        let loss = by_user.objective(items, users) + by_item.penalty(items);
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rectify_core::artifact::Overwrite;
    use rectify_core::{Index, UserId};
    use rectify_tensor::train::{Checkpoint, Silent};

    use super::*;
    use crate::fixture;

    fn small(solver: Solver) -> IalsConfig {
        IalsConfig { embedding_dim: 12, l2: 0.02, solver, ..IalsConfig::default() }
    }

    fn run(max_epochs: u32) -> FitConfig {
        FitConfig { max_epochs, eval_every: 0, ..FitConfig::default() }
    }

    fn fitted(train: &Interactions, config: &IalsConfig, run: &FitConfig) -> (Factors, FitReport) {
        fit(train, config, run, Seed(3), &mut |_| Ok(0.0), &mut Silent).unwrap()
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
            let (model, report) = fitted(&train, &config, &run(8));
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
        let (model, _) = fitted(&train, &config, &run(3));
        let best = objective(&train, &config, &model);
        for (at, delta) in [(0, 0.01), (17, -0.01), (12 * 39 + 5, 0.01)] {
            let mut items = model.items().to_vec();
            items[at] += delta;
            let nudged = Factors::new(model.users().to_vec(), items, 12, model.origin().clone()).unwrap();
            assert!(objective(&train, &config, &nudged) > best);
        }
    }

    #[test]
    fn enough_conjugate_gradient_steps_are_exact() {
        let train = fixture::clusters(60, 40);
        let (exact, _) = fitted(&train, &small(Solver::Cholesky), &run(4));
        let (steps, _) = fitted(&train, &small(Solver::ConjugateGradient { steps: 30 }), &run(4));
        let far = exact.users().iter().zip(steps.users()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-3, "{far}");
    }

    #[test]
    fn ials_finds_the_held_out_item_with_either_solver() {
        let (train, targets) = fixture::held_out(200, 90);
        for solver in [Solver::Cholesky, Solver::ConjugateGradient { steps: 3 }] {
            let (model, _) = fitted(&train, &small(solver), &run(8));
            let auc = fixture::auc(&model, &train, &targets);
            // Usually 0.844; 0.93 is the most that the four groups allow.
            assert!((0.80..0.95).contains(&auc), "{solver:?}: {auc}");
            assert!(model.user(fixture::EMPTY_USER).unwrap().iter().all(|x| *x == 0.0));
        }
    }

    #[test]
    fn files_are_the_same_for_any_number_of_threads_and_answer_the_same() {
        let train = fixture::clusters(150, 130);
        let save = |model: &Factors, path: &Path| model.save(path, Overwrite::Refuse);
        for solver in [Solver::Cholesky, Solver::ConjugateGradient { steps: 3 }] {
            fixture::same_file_for_any_threads(|| fitted(&train, &small(solver), &run(3)).0, save, Factors::open);
        }
    }

    #[test]
    fn a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one() {
        let train = fixture::clusters(60, 40);
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint { path: folder.path().join("run"), run: "ials".into() };
        let part = |max_epochs| FitConfig { checkpoint: Some(checkpoint.clone()), ..run(max_epochs) };
        let config = small(Solver::ConjugateGradient { steps: 2 });
        fitted(&train, &config, &part(2));
        let (resumed, report) = fitted(&train, &config, &part(5));
        let (whole, _) = fitted(&train, &config, &run(5));
        assert_eq!((resumed.users(), resumed.items(), report.history.len()), (whole.users(), whole.items(), 5));
    }

    #[test]
    fn the_best_validated_epoch_is_kept() {
        let train = fixture::clusters(60, 40);
        let config = small(Solver::Cholesky);
        let mut epoch = 0.0;
        let mut validate = |_: &Factors| {
            epoch += 1.0;
            Ok(if epoch <= 2.0 { epoch } else { 0.0 })
        };
        let run = FitConfig { max_epochs: 9, patience: Some(3), ..FitConfig::default() };
        let (kept, report) = fit(&train, &config, &run, Seed(3), &mut validate, &mut Silent).unwrap();
        assert_eq!((report.best_epoch, report.history.len()), (2, 5));
        assert_eq!(kept.users(), fitted(&train, &config, &super::tests::run(2)).0.users());
    }

    #[test]
    fn bad_settings_empty_data_and_a_failing_validation_are_named() {
        let train = fixture::clusters(60, 40);
        let refused = |config: IalsConfig| {
            fit(&train, &config, &run(1), Seed(1), &mut |_| Ok(0.0), &mut Silent).unwrap_err().to_string()
        };
        let base = IalsConfig::default;
        assert_eq!(refused(IalsConfig { embedding_dim: 0, ..base() }), "ials: embedding_dim is 0, expected at least 1");
        assert_eq!(refused(IalsConfig { l2: 0.0, ..base() }), "ials: l2 is 0, expected a finite number above 0");
        assert!(refused(IalsConfig { unobserved_weight: -1.0, ..base() }).contains("unobserved_weight is -1"));
        assert!(refused(IalsConfig { frequency_exponent: 1.5, ..base() }).contains("frequency_exponent is 1.5"));
        assert!(refused(IalsConfig { init_std: f64::NAN, ..base() }).contains("init_std is NaN"));
        assert!(refused(small(Solver::ConjugateGradient { steps: 0 })).contains("solver.steps is 0"));
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        let error = fit(&empty, &base(), &run(1), Seed(1), &mut |_| Ok(0.0), &mut Silent).unwrap_err();
        assert!(matches!(error, FitError::Empty { .. }));
        let always = FitConfig { max_epochs: 1, ..FitConfig::default() };
        let error = fit(&train, &base(), &always, Seed(1), &mut |_| Err("no data".into()), &mut Silent).unwrap_err();
        assert_eq!(error.to_string(), "epoch 1: no data");
    }

    #[test]
    fn hidden_vectors_are_shown() {
        let train = fixture::clusters(60, 40);
        let (model, _) = fitted(&train, &small(Solver::Cholesky), &run(1));
        let mut p = [0.0; 12];
        rectify_core::Teacher::hidden(&model).unwrap().user_into(UserId(5), &mut p).unwrap();
        assert_eq!(p, model.users()[60..72]);
    }
}
