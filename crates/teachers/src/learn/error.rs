//! What can stop a fit.

use rectify_core::{ConfigError, UserId};
use rectify_data::Interactions;
use rectify_data::samplers::SamplerError;
use rectify_tensor::train::{BoxError, TrainError};

/// Why a model could not be fitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// An impossible hyper-parameter.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing to learn from.
    #[error("no interactions to learn from ({n_users} users, {n_items} items); check the input and the split")]
    Empty {
        /// Users of the data.
        n_users: usize,
        /// Items of the data.
        n_items: usize,
    },
    /// Words that are not those of the data's items.
    #[error("the text has {text_items} items and {n_words} words, expected words of the data's {n_items} items")]
    Text {
        /// Items of the data.
        n_items: usize,
        /// Items of the text.
        text_items: usize,
        /// Size of the vocabulary.
        n_words: usize,
    },
    /// Data without times, for a model that learns what comes next.
    #[error(
        "what comes next is learned from times, but the data has no times; give data with times (a time column, or order in the file \
         as the manifests allow)"
    )]
    NoTimes,
    /// A user to learn from that the data do not have.
    #[error("user {user} is to be learned from, but the data has {n_users} users")]
    UnknownUser {
        /// The user.
        user: UserId,
        /// Users of the data.
        n_users: usize,
    },
    /// Nobody did enough to learn what comes next.
    #[error(
        "no user of {n_users} has more than {min_history} interactions, so there is nothing to learn from; lower min_history or \
         give longer histories"
    )]
    NoSamples {
        /// Users that were looked at.
        n_users: usize,
        /// Earlier items that a sample needs.
        min_history: usize,
    },
    /// More memory than the configuration allows.
    #[error(
        "{model} on {n_items} items needs {needed_bytes} bytes, but memory_limit_bytes is {limit_bytes}; raise the limit \
         if the machine has that much, keep fewer items (a k-core), or use a model whose memory grows with the \
         interactions (iALS, Item-CF)"
    )]
    Memory {
        /// The model.
        model: &'static str,
        /// Size of the catalogue.
        n_items: usize,
        /// Bytes the fit would hold at its peak.
        needed_bytes: u64,
        /// Bytes allowed.
        limit_bytes: u64,
    },
    /// A linear system that rounding made unsolvable.
    #[error("{model}: the system of {what} is not positive definite in {precision}; raise the regularisation")]
    Singular {
        /// The model.
        model: &'static str,
        /// Whose system, for instance `user 17`.
        what: String,
        /// Number format of the solver.
        precision: &'static str,
    },
    /// Data that negatives cannot be drawn for.
    #[error(transparent)]
    Negatives(#[from] SamplerError),
    /// Vectors that are no longer numbers.
    #[error(
        "{model} diverged: the vector of {what} is not finite; lower the learning rate or raise the regularisation"
    )]
    NotFinite {
        /// The model.
        model: &'static str,
        /// Whose vector, for instance `item 17`.
        what: String,
    },
    /// A second objective that does not fit the model or the data.
    #[error("cannot guide the training: {0}")]
    Guide(BoxError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl FitError {
    /// Fails if there is nothing to learn from.
    pub(crate) fn check_not_empty(train: &Interactions) -> Result<(), Self> {
        if train.n_interactions() > 0 {
            return Ok(());
        }
        Err(Self::Empty { n_users: train.n_users(), n_items: train.n_items() })
    }
}
