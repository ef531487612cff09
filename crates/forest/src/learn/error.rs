//! What can stop learning.

use rectify_core::{ConfigError, HistoryError, UserId};
use rectify_tensor::train::TrainError;

use crate::{ForestError, NetworkError, TreeError};

/// Why a tree or a model could not be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// An impossible setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Histories too short to learn from.
    #[error(
        "no user of {n_users} has more than {min_history} interactions, so there is no sample; lower min_history, or check the split"
    )]
    NoSamples {
        /// Users looked at.
        n_users: usize,
        /// Earlier items a sample needs.
        min_history: usize,
    },
    /// A user to learn from who has no history.
    #[error("user {user} is to be learned from, but there are histories of {n_users} users")]
    UnknownUser {
        /// The id.
        user: UserId,
        /// Users that have a row.
        n_users: usize,
    },
    /// Histories with items that the tree does not have.
    #[error(transparent)]
    Histories(#[from] HistoryError),
    /// A model that diverged or does not fit its tree.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A tree that cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Trees that make no forest.
    #[error(transparent)]
    Forest(#[from] ForestError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}
