//! Neural collaborative filtering (He et al., "Neural Collaborative Filtering", WWW 2017): GMF (Eq. 9), MLP (Eq. 10) and
//! NeuMF (Eq. 12), trained with binary cross-entropy on sampled negatives (Eq. 7).
//!
//! Logit `w · [p_u ⊙ q_i ; h_L] + b` with `h_l = relu(W_l h_{l-1} + b_l)` and `h_0 = [p'_u ; q'_i]`; each branch has vectors of
//! its own. GMF is the product alone, MLP the tower alone; see [`NeuMfConfig::gmf`] and [`NeuMfConfig::mlp`].
//!
//! **Reading**: scores are logits, not probabilities (the order is the same). HDN (Eq. 3) feeds both branches the same
//! vectors; like NCF, whose recipe it cites, we keep two.

#[cfg(feature = "cuda")]
mod device;
mod kernels;
mod network;
mod params;
mod pass;
mod pretrained;
mod shares;
mod training;

#[cfg(feature = "cuda")]
pub use device::{fit_on, fit_pretrained_on};
pub use pretrained::{Pretraining, fit_pretrained};

use rectify_data::Interactions;
use rectify_tensor::train::{FitReport, Guides, TrainRun};

use crate::FitError;
pub use crate::serve::{NeuMf, NeuMfConfig};
use training::Training;

/// Fits a model from a random start.
///
/// An epoch visits every interaction with its negatives once, positives and negatives mixed in a fresh order; `run` says how
/// many epochs and where to checkpoint. Its `validate` gets the model after an epoch. The loss reported is the mean
/// cross-entropy of a sample. Gradients are closed-form. The same seed gives the same bits on any number of threads, and
/// after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    config: &NeuMfConfig,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    fit_guided(train, config, Guides::new(), run)
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
    guides: Guides<'_>,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    trained(Training::new(train, config, run.seed, guides)?, run)
}

/// Trains on from a model, with the settings of `config` (its optimiser starts with an empty memory).
///
/// # Errors
/// As [`fit`], or a model of other widths, users or items.
pub fn fit_from(
    train: &Interactions,
    start: &NeuMf,
    config: &NeuMfConfig,
    run: TrainRun<'_, NeuMf>,
) -> Result<(NeuMf, FitReport), FitError> {
    let mut training = Training::new(train, config, run.seed, Guides::new())?;
    training.start_from(start)?;
    trained(training, run)
}

fn trained(mut training: Training<'_, '_>, run: TrainRun<'_, NeuMf>) -> Result<(NeuMf, FitReport), FitError> {
    let report = run.drive(&mut training, |training| training.model())?;
    Ok((training.model()?, report))
}

#[cfg(test)]
mod tests;
