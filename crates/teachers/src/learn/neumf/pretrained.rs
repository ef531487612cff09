//! NeuMF from a GMF and an MLP that were trained alone.

use rectify_core::ConfigError;
use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_tensor::train::{FitConfig, FitReport, TrainRun};
use rectify_tensor::{Optimizer, Sgd};

use super::{fit, fit_from};
use crate::{FitError, NeuMf, NeuMfConfig};

/// What comes before the joint model, and how that goes on.
#[derive(Clone, Debug)]
pub struct Pretraining {
    /// How long GMF trains alone.
    pub gmf: FitConfig,
    /// How long MLP trains alone.
    pub mlp: FitConfig,
    /// Rule of the joint model's steps; plain gradient descent in the paper: the moments of Adam are not at hand.
    pub fine_tuning: Optimizer,
}

impl Default for Pretraining {
    /// Twenty epochs each, without validation, then plain gradient descent.
    fn default() -> Self {
        let alone = FitConfig { max_epochs: 20, patience: None, eval_every: 0, checkpoint: None };
        Self { gmf: alone.clone(), mlp: alone, fine_tuning: Optimizer::Sgd(Sgd::default()) }
    }
}

/// Fits a NeuMF by the NCF recipe (Section 3.4.1): GMF and MLP each alone with the settings of `config`, then
/// [`NeuMf::merge`], then on with the rule of fine tuning.
///
/// `run` is that of the joint model, whose report comes back; its metric and its observer see the stages before it, too.
///
/// # Errors
/// As [`fit`], or settings that lack one of the branches.
pub fn fit_pretrained(
    train: &Interactions,
    config: &NeuMfConfig,
    pretraining: &Pretraining,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    by_stages(config, pretraining, run, |start, config, run| match start {
        None => fit(train, config, run),
        Some(start) => fit_from(train, start, config, run),
    })
}

/// The NCF recipe over any way to train.
pub(super) fn by_stages(
    config: &NeuMfConfig,
    pretraining: &Pretraining,
    mut run: TrainRun<'_, NeuMf>,
    mut fit: impl FnMut(Option<&NeuMf>, &NeuMfConfig, TrainRun<'_, NeuMf>) -> Result<(NeuMf, FitReport), FitError>,
) -> Result<(NeuMf, FitReport), FitError> {
    config.validate()?;
    ConfigError::check_of(config.model() == "neumf", config.model(), "gmf_dim", "both branches", config.gmf_dim)?;
    let (gmf, mlp) = (run.seed.stream("gmf"), run.seed.stream("mlp"));
    let (gmf, _) = fit(None, &config.gmf_part(), stage(&mut run, gmf, &pretraining.gmf))?;
    let (mlp, _) = fit(None, &config.mlp_part(), stage(&mut run, mlp, &pretraining.mlp))?;
    let start = NeuMf::merge(&gmf, &mlp).expect("both parts were made here");
    let config = NeuMfConfig { optimizer: pretraining.fine_tuning, ..config.clone() };
    fit(Some(&start), &config, run)
}

/// A part of a run, with a seed and a length of its own.
fn stage<'a>(run: &'a mut TrainRun<'_, NeuMf>, seed: Seed, fit: &FitConfig) -> TrainRun<'a, NeuMf> {
    let mut stage = TrainRun::new(seed).fit(fit);
    if let Some(validate) = &mut run.validate {
        stage = stage.validate(&mut **validate);
    }
    if let Some(observer) = &mut run.observer {
        stage = stage.observer(&mut **observer);
    }
    stage
}
