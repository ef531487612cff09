//! Neural collaborative filtering (He et al., "Neural Collaborative Filtering", WWW 2017): GMF (Eq. 9), MLP (Eq. 10) and
//! NeuMF (Eq. 12), trained with binary cross-entropy on sampled negatives (Eq. 7).
//!
//! Logit `w · [p_u ⊙ q_i ; h_L] + b` with `h_l = relu(W_l h_{l-1} + b_l)` and `h_0 = [p'_u ; q'_i]`; each branch has vectors of
//! its own. GMF is the product alone, MLP the tower alone; see [`NeuMfConfig::gmf`] and [`NeuMfConfig::mlp`].
//!
//! **Reading**: scores are logits, not probabilities (the order is the same). HDN (Eq. 3) feeds both branches the same
//! vectors; like NCF, whose recipe it cites, we keep two.

mod config;
#[cfg(feature = "cuda")]
mod device;
mod first_pass;
mod kernels;
mod model;
mod network;
mod pass;
mod shares;

pub use config::NeuMfConfig;
#[cfg(feature = "cuda")]
pub use device::{fit_on, fit_pretrained_on};
pub use model::NeuMf;

use rectify_core::rng::Seed;
use rectify_core::{HiddenWidths, Scorer, UserId};
use rectify_data::Interactions;
use rectify_data::samplers::UniformNegatives;
use rectify_tensor::train::{self, BoxError, EpochStats, FitConfig, FitReport, Guides, Observer, Step, TrainError};
use rectify_tensor::{Optimizer, ParamStore};

use crate::training::{Validate, validate_with};
use crate::{ConfigError, FitError};
use network::{Batch, Keys, Network};

/// Fits a model from a random start.
///
/// An epoch visits every interaction with its negatives once, positives and negatives mixed in a fresh order; `run` says how
/// many epochs and where to checkpoint. `validate` gets the model after an epoch. The loss reported is the mean
/// cross-entropy of a sample. Gradients are closed-form. The same seed gives the same bits on any number of threads, and
/// after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    config: &NeuMfConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_, NeuMf>,
    observer: &mut dyn Observer,
) -> Result<(NeuMf, FitReport), FitError> {
    fit_guided(train, config, run, seed, Guides::new(), validate, observer)
}

/// As [`fit`], with second objectives: how a student learns from a teacher (`rectify-distill` makes the guides).
///
/// Guides see the joint vectors of the batch's pairs, and the logits they ask for of the batch's distinct users; their
/// losses, weighed by themselves, are added to the batch's (under the same [`Reduction`](crate::Reduction)) and to the loss
/// reported.
///
/// # Errors
/// As [`fit`], or [`FitError::Guide`].
pub fn fit_guided(
    train: &Interactions,
    config: &NeuMfConfig,
    run: &FitConfig,
    seed: Seed,
    guides: Guides<'_>,
    validate: Validate<'_, NeuMf>,
    observer: &mut dyn Observer,
) -> Result<(NeuMf, FitReport), FitError> {
    Training::new(train, config, seed, guides)?.fit(run, validate, observer)
}

/// Trains on from a model, with the settings of `config` (its optimiser starts with an empty memory).
///
/// # Errors
/// As [`fit`], or a model of other widths, users or items.
pub fn fit_from(
    start: &NeuMf,
    train: &Interactions,
    config: &NeuMfConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_, NeuMf>,
    observer: &mut dyn Observer,
) -> Result<(NeuMf, FitReport), FitError> {
    let mut training = Training::new(train, config, seed, Guides::new())?;
    training.start_from(start)?;
    training.fit(run, validate, observer)
}

/// How long each stage of [`fit_pretrained`] trains.
#[derive(Clone, Debug, Default)]
pub struct PretrainRuns {
    /// GMF alone.
    pub gmf: FitConfig,
    /// MLP alone.
    pub mlp: FitConfig,
    /// NeuMF from both.
    pub joint: FitConfig,
}

/// Fits a NeuMF by the NCF recipe (Section 3.4.1): GMF and MLP each alone with the settings of `config`, then
/// [`NeuMf::merge`], then on with `fine_tuning` (plain gradient descent in the paper: the moments of Adam are not at hand).
///
/// # Errors
/// As [`fit`], or settings that lack one of the branches.
pub fn fit_pretrained(
    train: &Interactions,
    config: &NeuMfConfig,
    fine_tuning: &Optimizer,
    runs: &PretrainRuns,
    seed: Seed,
    validate: Validate<'_, NeuMf>,
    observer: &mut dyn Observer,
) -> Result<(NeuMf, FitReport), FitError> {
    by_stages(config, fine_tuning, runs, seed, |start, config, run, seed| match start {
        None => fit(train, config, run, seed, validate, observer),
        Some(start) => fit_from(start, train, config, run, seed, validate, observer),
    })
}

/// The NCF recipe over any way to train.
fn by_stages(
    config: &NeuMfConfig,
    fine_tuning: &Optimizer,
    runs: &PretrainRuns,
    seed: Seed,
    mut fit: impl FnMut(Option<&NeuMf>, &NeuMfConfig, &FitConfig, Seed) -> Result<(NeuMf, FitReport), FitError>,
) -> Result<(NeuMf, FitReport), FitError> {
    config.validate()?;
    ConfigError::check(config.model() == "neumf", config.model(), "gmf_dim", "both branches", config.gmf_dim)?;
    let (gmf, _) = fit(None, &config.gmf_part(), &runs.gmf, seed.stream("gmf"))?;
    let (mlp, _) = fit(None, &config.mlp_part(), &runs.mlp, seed.stream("mlp"))?;
    let start = NeuMf::merge(&gmf, &mlp).expect("both parts were made here");
    let config = NeuMfConfig { optimizer: *fine_tuning, ..config.clone() };
    fit(Some(&start), &config, &runs.joint, seed)
}

struct Training<'a, 'g> {
    data: &'a Interactions,
    config: &'a NeuMfConfig,
    params: ParamStore,
    keys: Keys,
    network: Network,
    /// User of each interaction, in the order of `data.all_items()`.
    user_of: Vec<u32>,
    negatives: UniformNegatives<'a>,
    shuffle: Seed,
    order: Vec<u32>,
    guides: Guides<'g>,
}

impl<'a, 'g> Training<'a, 'g> {
    fn new(
        data: &'a Interactions,
        config: &'a NeuMfConfig,
        seed: Seed,
        mut guides: Guides<'g>,
    ) -> Result<Self, FitError> {
        config.validate()?;
        FitError::check_not_empty(data)?;
        let samples = data.n_interactions().checked_mul(config.n_negatives + 1).filter(|n| u32::try_from(*n).is_ok());
        let expected = "fewer than 2^32 samples an epoch";
        ConfigError::check(samples.is_some(), config.model(), "n_negatives", expected, config.n_negatives)?;
        let (n_users, n_items) = (data.n_users(), data.n_items());
        let (mut params, keys) = network::parameters(config, n_users, n_items, seed);
        for guide in &mut guides {
            let widths = HiddenWidths { user: 0, item: 0, pair: config.joint_dim() };
            guide.prepare(widths, &mut params).map_err(FitError::Guide)?;
        }
        Ok(Self {
            data,
            config,
            params,
            keys,
            network: Network::new(config, n_users, n_items),
            user_of: data.users().flat_map(|u| std::iter::repeat_n(u.0, data.items_of(u).len())).collect(),
            negatives: UniformNegatives::new(data, seed.stream("negatives"))?,
            shuffle: seed.stream("order"),
            order: Vec::new(),
            guides,
        })
    }

    fn start_from(&mut self, start: &NeuMf) -> Result<(), FitError> {
        let (model, ours, theirs) = (self.config.model(), self.config, start.config());
        let widths = |c: &NeuMfConfig| format!("{}, {}, {:?}", c.gmf_dim, c.mlp_dim, c.hidden);
        let expected = "the widths (gmf_dim, mlp_dim, hidden) of the model to start from";
        ConfigError::check(widths(ours) == widths(theirs), model, "gmf_dim", expected, widths(ours))?;
        let (users, items, layers, output, bias) = start.parts();
        let [user_table, item_table] = self.params.rows_mut([self.keys.users, self.keys.items]);
        let dim = ours.embedding_dim();
        let shapes = [(user_table.n_rows(), users.len() / dim), (item_table.n_rows(), items.len() / dim)];
        for (expected, got) in shapes {
            let what = format!("a model of {got} rows where the data has {expected}");
            ConfigError::check(expected == got, model, "start", "users and items of the data", what)?;
        }
        user_table.values_mut().copy_from_slice(users);
        item_table.values_mut().copy_from_slice(items);
        for (keys, (weight, layer_bias)) in self.keys.layers.iter().zip(layers) {
            let [to_weight, to_bias] = self.params.dense_mut([keys.0, keys.1]);
            to_weight.values_mut().copy_from_slice(weight);
            to_bias.values_mut().copy_from_slice(layer_bias);
        }
        let [to_output, to_bias] = self.params.dense_mut([self.keys.output, self.keys.bias]);
        to_output.values_mut().copy_from_slice(output);
        to_bias.values_mut()[0] = bias;
        Ok(())
    }

    fn fit(
        mut self,
        run: &FitConfig,
        validate: Validate<'_, NeuMf>,
        observer: &mut dyn Observer,
    ) -> Result<(NeuMf, FitReport), FitError> {
        let report =
            train::fit(&mut self, run, &mut validate_with(validate, |training: &Self| training.model()), observer)?;
        Ok((self.model()?, report))
    }

    fn model(&self) -> Result<NeuMf, FitError> {
        let (model, dim) = (self.config.model(), self.config.embedding_dim());
        for (side, key) in [("user", self.keys.users), ("item", self.keys.items)] {
            if let Some(at) = self.params.rows(key).values().iter().position(|x| !x.is_finite()) {
                return Err(FitError::NotFinite { model, what: format!("{side} {}", at / dim) });
            }
        }
        Ok(NeuMf::from_store(self.config, &self.params, &self.keys))
    }

    /// The batches of an epoch; `step` returns the sum of a batch's losses.
    fn for_each_batch(
        &mut self,
        epoch: u32,
        mut step: impl FnMut(&mut Self, &Batch) -> Result<f64, TrainError>,
    ) -> Result<EpochStats, TrainError> {
        let per_positive = self.config.n_negatives + 1;
        let n = self.data.n_interactions() * per_positive;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..n as u32);
        self.shuffle.at(epoch, 0).shuffle(&mut order);
        let (mut batch, mut loss) = (Batch::default(), 0.0);
        for samples in order.chunks(self.config.batch_size) {
            batch.clear();
            for sample in samples {
                let (at, draw) = (*sample as usize / per_positive, *sample as usize % per_positive);
                let user = self.user_of[at];
                if draw == 0 {
                    batch.push(user, self.data.all_items()[at].0, 1.0);
                } else {
                    batch.push(user, self.negatives.draw(epoch, u64::from(*sample), user.into()).0, 0.0);
                }
            }
            loss += step(self, &batch)?;
        }
        self.order = order;
        Ok(EpochStats { loss: loss / n as f64, samples: n as u64 })
    }

    fn begin_epoch(&mut self, epoch: u32) -> Result<(), BoxError> {
        let mut guides = std::mem::take(&mut self.guides);
        let mut student = || -> Result<Box<dyn Scorer<Query = UserId>>, BoxError> { Ok(Box::new(self.model()?)) };
        let begun = guides.iter_mut().try_for_each(|guide| guide.begin_epoch(epoch, &mut student));
        self.guides = guides;
        begun
    }
}

impl Step for Training<'_, '_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let failed = |source| TrainError::Model { epoch, source };
        self.begin_epoch(epoch).map_err(failed)?;
        self.for_each_batch(epoch, |training, batch| {
            let Self { network, params, keys, config, guides, .. } = training;
            network.step(params, keys, batch, config, guides).map_err(failed)
        })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod tests;
