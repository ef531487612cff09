//! A preference model, trained on one tree.

mod group;
mod kernels;
mod loss;
mod params;
mod piece;
mod step;

use rectify_core::rng::Seed;
use rectify_tensor::ParamStore;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};

use self::params::Params;
use self::step::Workspace;
use super::samples::{Learners, Samples};
use crate::{FitError, PreferenceConfig, Tree, TreeModel};

/// Trains a preference model on one tree.
///
/// A sample is an item of a user with the items before it; it is trained on every level below the root by the loss of
/// [`Objective`](crate::Objective). All nodes of a batch, of all levels and samples, share the statistics of its batch norms; the model
/// served has their running averages. An epoch visits every sample (or as many as `samples_per_epoch`) once, in a fresh order. The run's
/// validation gets the tree with the served model. The loss reported is the mean over samples. The same seed gives the same bits on any
/// number of threads, and after a resume.
///
/// A tree of one item has no level to train on: its model stays as it began.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Histories`] (items that the tree does not have), [`FitError::UnknownUser`],
/// [`FitError::NoSamples`], [`FitError::Train`], [`FitError::Network`] (a model that diverged).
pub fn fit(
    learners: Learners<'_>,
    tree: &Tree,
    config: &PreferenceConfig,
    run: TrainRun<'_, TreeModel>,
) -> Result<(TreeModel, FitReport), FitError> {
    config.validate()?;
    let samples = Samples::new(learners, tree.n_items(), config.min_history)?;
    let mut training = Training::new(&samples, tree, config, run.seed);
    let report = training.run(run)?;
    Ok((training.served()?, report))
}

/// A model in training, and the walk over its samples.
#[derive(Debug)]
pub(crate) struct Training<'a> {
    samples: &'a Samples<'a>,
    tree: &'a Tree,
    config: &'a PreferenceConfig,
    seed: Seed,
    params: Params,
    work: Workspace,
}

impl<'a> Training<'a> {
    /// The start; the settings are valid.
    pub(crate) fn new(samples: &'a Samples<'a>, tree: &'a Tree, config: &'a PreferenceConfig, seed: Seed) -> Self {
        let n_nodes = tree.layout().n_nodes();
        let params = Params::new(config, n_nodes, seed.stream("forest/model"));
        Self { samples, tree, config, seed, params, work: Workspace::new(n_nodes) }
    }

    /// The parameters, to go on from on another tree.
    pub(crate) fn into_params(self) -> Params {
        self.params
    }

    /// Goes on from the parameters learned on `old`.
    pub(crate) fn inherit(&mut self, mut from: Params, old: &Tree) {
        self.params.inherit(&mut from, old, self.tree);
    }

    /// Trains as [`fit`] says.
    pub(crate) fn run(&mut self, run: TrainRun<'_, TreeModel>) -> Result<FitReport, FitError> {
        Ok(run.drive(self, |training| training.served())?)
    }

    /// The tree with the model as it is served.
    pub(crate) fn served(&self) -> Result<TreeModel, FitError> {
        self.params.served(self.tree, &self.config.shape)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let order = self.samples.order(self.seed, epoch, self.config.samples_per_epoch);
        let seed = self.seed.stream("forest/negatives");
        let (mut total, size) = (0.0, self.config.batch_size);
        if self.tree.layout().leaf_level() > 0 {
            for (b, chosen) in order.chunks(size).enumerate() {
                self.work.draw((self.samples, chosen), (epoch, b * size), self.tree, self.config, seed);
                let loss = self.work.gradients(&mut self.params, self.config, chosen.len());
                if !loss.is_finite() {
                    return Err(TrainError::NonFiniteLoss { epoch, loss });
                }
                total += loss * chosen.len() as f64;
                self.work.apply(&mut self.params, &self.config.optimizer);
            }
        }
        Ok(EpochStats { loss: total / order.len() as f64, samples: order.len() as u64 })
    }

    fn params(&self) -> &ParamStore {
        &self.params.store
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params.store
    }
}

#[cfg(test)]
pub(crate) mod tests;
