//! Matrix factorisation trained on samples: BPR, or cross-entropy with sampled negatives.

#[cfg(feature = "cuda")]
mod device;
mod epoch;
mod guidance;

use rectify_core::rng::Seed;
use rectify_core::{HiddenWidths, Scorer, UserId};
use rectify_data::Interactions;
use rectify_data::samplers::PositiveBatches;
use rectify_tensor::train::{self, BoxError, FitConfig, FitReport, Guides, Observer, TrainError};
use rectify_tensor::{Init, Optimizer, ParamStore, RowUpdate, RowsKey};
use serde::{Deserialize, Serialize};

use crate::training::{Validate, validate_with};
use crate::{ConfigError, Factors, FitError, Reduction};
#[cfg(feature = "cuda")]
pub use device::fit_on;
use guidance::Guidance;

/// Settings of matrix factorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MfConfig {
    /// Width of a vector, at least 1. Default 64.
    pub embedding_dim: usize,
    /// What a sample costs. Default BPR.
    pub loss: MfLoss,
    /// Uniform unobserved items drawn afresh for each interaction in each epoch, at least 1. Default 1; NCF takes 4,
    /// LightRec 5.
    pub n_negatives: usize,
    /// Interactions a step, at least 1, each with its negatives. Default 1024.
    pub batch_size: usize,
    /// Whether a step follows the sum or the mean over the batch's samples. Default mean.
    pub reduction: Reduction,
    /// Adds `l2/2 · |v|²` for each vector v of a sample to its loss, at least 0. Default 0. This acts on what a batch
    /// touches; the optimiser's `weight_decay` acts on every vector at every step (if updates are exact).
    pub l2: f64,
    /// Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// What happens to the vectors that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
    /// Standard deviation of the initial values, above 0. Default 0.01.
    pub init_std: f64,
}

/// What a sample costs; x is an inner product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MfLoss {
    /// `−ln σ(x_ui − x_uj)` of an interaction and one of its negatives (Rendle et al., UAI 2009); a sample is such a pair.
    #[default]
    Bpr,
    /// `−ln σ(x_ui)` of an interaction, `−ln σ(−x_uj)` of a negative (He et al., WWW 2017, Eq. 7); each is a sample.
    Bce,
}

impl MfLoss {
    fn model(self) -> &'static str {
        match self {
            Self::Bpr => "mf-bpr",
            Self::Bce => "mf-bce",
        }
    }
}

impl Default for MfConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            loss: MfLoss::Bpr,
            n_negatives: 1,
            batch_size: 1024,
            reduction: Reduction::Mean,
            l2: 0.0,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
            init_std: 0.01,
        }
    }
}

impl MfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let model = self.loss.model();
        let at_least_1 = |field, got: usize| ConfigError::check(got >= 1, model, field, "at least 1", got);
        at_least_1("embedding_dim", self.embedding_dim)?;
        at_least_1("n_negatives", self.n_negatives)?;
        at_least_1("batch_size", self.batch_size)?;
        let samples = self.batch_size.checked_mul(self.n_negatives + 1).and_then(|n| u32::try_from(n).ok());
        let expected = "fewer than 2^32 samples with its negatives";
        ConfigError::check(samples.is_some(), model, "batch_size", expected, self.batch_size)?;
        let l2 = self.l2;
        ConfigError::check(l2 >= 0.0 && l2.is_finite(), model, "l2", "a finite number of at least 0", l2)?;
        let std = self.init_std;
        ConfigError::check(std > 0.0 && std.is_finite(), model, "init_std", "a finite number above 0", std)?;
        self.optimizer.validate().map_err(|error| ConfigError::of(model, error))
    }
}

/// Fits user and item vectors without biases: `score(u, i) = p_u · q_i`.
///
/// An epoch visits every interaction once, in a fresh order; `run` says how many and where to checkpoint. `validate` gets the
/// factors after an epoch. The loss reported is the mean over samples, regularisation left out. Gradients are closed-form;
/// a user without interactions keeps the initial vector (but for weight decay). The same seed gives the same bits on any
/// number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    config: &MfConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_, Factors>,
    observer: &mut dyn Observer,
) -> Result<(Factors, FitReport), FitError> {
    fit_guided(train, config, run, seed, Guides::new(), validate, observer)
}

/// As [`fit`], with second objectives: how a student learns from a teacher (`rectify-distill` makes the guides).
///
/// Guides see the batch's distinct users, positives and negatives, and the scores `p_u · q_i` they ask for; their losses,
/// weighed by themselves, are added to the batch's (under the same [`Reduction`]) and to the loss reported.
///
/// # Errors
/// As [`fit`], or [`FitError::Guide`].
pub fn fit_guided(
    train: &Interactions,
    config: &MfConfig,
    run: &FitConfig,
    seed: Seed,
    guides: Guides<'_>,
    validate: Validate<'_, Factors>,
    observer: &mut dyn Observer,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, seed, guides)?;
    let report = train::fit(
        &mut model,
        run,
        &mut validate_with(validate, |model: &Training<'_, '_>| model.factors()),
        observer,
    )?;
    Ok((model.factors()?, report))
}

struct Training<'a, 'g> {
    config: &'a MfConfig,
    params: ParamStore,
    users: RowsKey,
    items: RowsKey,
    batches: PositiveBatches<'a>,
    batch: epoch::Batch,
    guidance: Guidance<'g>,
}

impl<'a, 'g> Training<'a, 'g> {
    fn new(data: &'a Interactions, config: &'a MfConfig, seed: Seed, mut guides: Guides<'g>) -> Result<Self, FitError> {
        let mut params = ParamStore::new(seed);
        let (dim, init) = (config.embedding_dim, Init::Normal { std: config.init_std as f32 });
        let users = params.add_rows("users", data.n_users(), dim, init, config.row_update);
        let items = params.add_rows("items", data.n_items(), dim, init, config.row_update);
        for guide in &mut guides {
            let widths = HiddenWidths { user: dim, item: dim, pair: 0 };
            guide.prepare(widths, &mut params).map_err(FitError::Guide)?;
        }
        Ok(Self {
            config,
            params,
            users,
            items,
            batches: PositiveBatches::new(data, seed)?,
            batch: epoch::Batch::new(data.n_users(), data.n_items()),
            guidance: Guidance::new(guides, data.n_items()),
        })
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let (users, items) = (self.params.rows(self.users), self.params.rows(self.items));
        let (model, dim) = (self.config.loss.model(), self.config.embedding_dim);
        Factors::trained(model, self.config, users.values(), items.values(), dim)
    }

    fn begin_epoch(&mut self, epoch: u32) -> Result<(), TrainError> {
        let mut guides = std::mem::take(&mut self.guidance.guides);
        let mut student = || -> Result<Box<dyn Scorer<Query = UserId>>, BoxError> { Ok(Box::new(self.factors()?)) };
        let begun = guides.iter_mut().try_for_each(|guide| guide.begin_epoch(epoch, &mut student));
        self.guidance.guides = guides;
        begun.map_err(|source| TrainError::Model { epoch, source })
    }
}

#[cfg(test)]
mod tests;
