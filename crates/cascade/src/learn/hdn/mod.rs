//! Hierarchical decision networks (HDN, Chen and Pan), their ablations and the MF student: `fit` learns one.

mod config;
#[cfg(feature = "cuda")]
mod device;
mod pass;
mod remembered;
mod targets;

pub use config::{HdnConfig, RejectionRule, ScoreLoss, Targets};
#[cfg(feature = "cuda")]
pub use device::fit_on;

use rectify_core::rng::Seed;
use rectify_core::{Scorer, UserId};
use rectify_data::Interactions;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, Init, ParamStore, RowsKey};

use self::pass::Pass;
use self::targets::Samples;
use crate::serve::input_dim;
use crate::{CascadeError, CascadeIndex, CascadeParts, FitError, ModuleParts};

/// Learns a hierarchical decision network, an ablation of it, or an MF student, as `config` says.
///
/// The teacher is any black box that scores: before the first epoch it is asked for every user's cut ([`Thresholds`](crate::Thresholds)), and in
/// each epoch for the scores of the pairs drawn, positives and negatives. Up to 2²⁵ scores, of all users and items, are asked for once
/// and kept (128 MiB). An epoch visits every interaction with
/// `n_negatives` drawn items once, in a fresh order; every module learns from every pair. `run` says from which seed, for how many epochs
/// (the paper: 50, the last one kept), measured by what and where to checkpoint; its validation gets the served cascade after an epoch.
/// The loss reported is the mean of a pair. Gradients are closed-form. The same seed gives the same bits on any number of threads, and
/// after a resume.
///
/// ```
/// use rectify_cascade::{HdnConfig, Interactions, Seed, TrainRun, hdn};
///
/// let train = Interactions::from_pairs(3, 4, &[(0, 0), (0, 1), (1, 1), (1, 2), (2, 3)])?;
/// // Scores from feedback, and no decisions: nothing is asked of a teacher.
/// let config = HdnConfig { embedding_dim: 4, ..HdnConfig::default() }.nr_nd();
/// let (index, report) = hdn::fit(&train, None, &config, TrainRun::new(Seed(1)).epochs(2))?;
/// assert_eq!((index.n_users(), index.n_modules(), report.history.len()), (3, 3, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::NoTeacher`], [`FitError::Items`], [`FitError::Teacher`],
/// [`FitError::Negatives`] (a user who has every item), [`FitError::Train`], [`FitError::Diverged`].
pub fn fit(
    train: &Interactions,
    teacher: Option<&dyn Scorer<Query = UserId>>,
    config: &HdnConfig,
    run: TrainRun<'_, CascadeIndex>,
) -> Result<(CascadeIndex, FitReport), FitError> {
    let mut training = Training::new(train, teacher, config, run.seed)?;
    let report = run.drive(&mut training, |training| training.served())?;
    Ok((training.served()?, report))
}

/// Where each parameter stands in the store.
#[derive(Debug)]
struct Keys {
    users: RowsKey,
    items: RowsKey,
    modules: Vec<ModuleKeys>,
    /// Weight of the score; without modules there is none.
    score: Option<DenseKey>,
    score_bias: Option<DenseKey>,
}

#[derive(Clone, Copy, Debug)]
struct ModuleKeys {
    decision: DenseKey,
    bias: Option<DenseKey>,
    weight: DenseKey,
}

/// Head, bias and layer of a module, or those of the score, which has no layer.
#[derive(Clone, Copy, Debug)]
struct StageKeys {
    /// Without it the value is the plain sum.
    head: Option<DenseKey>,
    bias: Option<DenseKey>,
    layer: Option<DenseKey>,
}

impl Keys {
    /// The stage behind `stage` modules.
    fn stage(&self, stage: usize) -> StageKeys {
        match self.modules.get(stage) {
            Some(module) => StageKeys { head: Some(module.decision), bias: module.bias, layer: Some(module.weight) },
            None => StageKeys { head: self.score, bias: self.score_bias, layer: None },
        }
    }
}

fn parameters(config: &HdnConfig, data: &Interactions, seed: Seed) -> (ParamStore, Keys) {
    let mut store = ParamStore::new(seed);
    let (d, init) = (config.embedding_dim, Init::Normal { std: config.init_std as f32 });
    let users = store.add_rows("users", data.n_users(), d, init, config.row_update);
    let items = store.add_rows("items", data.n_items(), d, init, config.row_update);
    let n_modules = config.n_modules();
    let bias = |store: &mut ParamStore, name: &str| config.bias.then(|| store.add_dense(name, 1, 1, Init::Zeros));
    let mut modules = Vec::new();
    for n in 0..n_modules {
        let input = input_dim(d, n);
        modules.push(ModuleKeys {
            decision: store.add_dense(&format!("module.{n}.decision"), input, 1, Init::GlorotUniform),
            weight: store.add_dense(&format!("module.{n}.weight"), input, d, Init::GlorotUniform),
            bias: bias(&mut store, &format!("module.{n}.bias")),
        });
    }
    let trained = n_modules > 0;
    let score = trained.then(|| store.add_dense("score.weight", 2 * d, 1, Init::GlorotUniform));
    let score_bias = if trained { bias(&mut store, "score.bias") } else { None };
    (store, Keys { users, items, modules, score, score_bias })
}

/// A cascade in training, and the walk over its data.
struct Training<'a> {
    config: &'a HdnConfig,
    params: ParamStore,
    keys: Keys,
    samples: Samples<'a>,
    pass: Pass,
}

impl<'a> Training<'a> {
    fn new(
        data: &'a Interactions,
        teacher: Option<&'a dyn Scorer<Query = UserId>>,
        config: &'a HdnConfig,
        seed: Seed,
    ) -> Result<Self, FitError> {
        config.validate()?;
        let samples = Samples::new(data, teacher, config, seed, remembered::MOST)?;
        let (params, keys) = parameters(config, data, seed);
        let pass = Pass::new(config, data.n_users(), data.n_items());
        Ok(Self { config, params, keys, samples, pass })
    }

    /// The cascade as it stands; tables are settled.
    fn served(&self) -> Result<CascadeIndex, CascadeError> {
        let dense = |key: DenseKey| self.params.dense(key).values().to_vec();
        let bias = |key: Option<DenseKey>| key.map_or(0.0, |key| self.params.dense(key).values()[0]);
        let module = |keys: &ModuleKeys| ModuleParts {
            decision: dense(keys.decision),
            bias: bias(keys.bias),
            weight: dense(keys.weight),
        };
        let parts = CascadeParts {
            embedding_dim: self.config.embedding_dim,
            users: self.params.rows(self.keys.users).values().to_vec().into(),
            items: self.params.rows(self.keys.items).values().to_vec().into(),
            modules: self.keys.modules.iter().map(module).collect(),
            score: self.keys.score.map_or_else(|| vec![1.0; self.config.embedding_dim], dense),
            score_bias: bias(self.keys.score_bias),
        };
        CascadeIndex::new(parts, self.config.rule())
    }

    /// The batches of an epoch, each filled in for `step`, which returns the sum of its losses.
    fn for_each_batch(
        &mut self,
        epoch: u32,
        mut step: impl FnMut(&mut Self) -> Result<f64, TrainError>,
    ) -> Result<EpochStats, TrainError> {
        let fail = |error: FitError| TrainError::Model { epoch, source: error.into() };
        self.samples.draw(epoch).map_err(fail)?;
        let mut loss = 0.0;
        let n = self.samples.len();
        for first in (0..n).step_by(self.config.batch_size) {
            self.samples.fill(first..(first + self.config.batch_size).min(n), &mut self.pass.batch);
            loss += step(self)?;
        }
        Ok(EpochStats { loss: loss / n as f64, samples: n as u64 })
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        self.for_each_batch(epoch, |Self { pass, params, keys, config, .. }| Ok(pass.step(params, keys, config)))
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod graph;
#[cfg(test)]
mod tests;
