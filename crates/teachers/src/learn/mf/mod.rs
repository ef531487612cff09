//! Matrix factorisation trained on samples: BPR, or cross-entropy with sampled negatives.

mod config;
#[cfg(feature = "cuda")]
mod device;
mod epoch;
mod guidance;

use rectify_core::rng::Seed;
use rectify_core::{HiddenWidths, Scorer, UserId};
use rectify_data::Interactions;
use rectify_data::samplers::PositiveBatches;
use rectify_tensor::train::{BoxError, FitReport, Guides, TrainError, TrainRun};
use rectify_tensor::{Init, ParamStore, RowsKey};

use crate::learn::factors::trained;
use crate::{Factors, FitError};
pub use config::{MfConfig, MfLoss};
#[cfg(feature = "cuda")]
pub use device::fit_on;
use guidance::Guidance;

/// Fits user and item vectors without biases: `score(u, i) = p_u · q_i`.
///
/// An epoch visits every interaction once, in a fresh order; `run` says how many and where to checkpoint. Its `validate` gets the
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
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    fit_guided(train, config, Guides::new(), run)
}

/// As [`fit`], with second objectives: how a student learns from a teacher (`rectify-distill` makes the guides).
///
/// Guides see the batch's distinct users, positives and negatives, and the scores `p_u · q_i` they ask for; their losses,
/// weighed by themselves, are added to the batch's (under the same [`Reduction`](crate::Reduction)) and to the loss reported.
///
/// # Errors
/// As [`fit`], or [`FitError::Guide`].
pub fn fit_guided(
    train: &Interactions,
    config: &MfConfig,
    guides: Guides<'_>,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, run.seed, guides)?;
    let report = run.drive(&mut model, |model| model.factors())?;
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
        trained(model, self.config, users.values(), items.values(), dim)
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
