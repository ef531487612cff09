//! What can be wrong with settings, and what can stop learning.

use rectify_tensor::OptimizerError;
use rectify_tensor::train::TrainError;

use crate::{ForestError, HistoryError, NetworkError, TreeError};

/// Settings that nothing can be learned with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting outside its range.
    #[error("{field} is {got}, expected {expected}")]
    Range {
        /// The setting.
        field: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value found.
        got: String,
    },
    /// A size of the model.
    #[error(transparent)]
    Shape(#[from] NetworkError),
    /// A setting of the optimiser.
    #[error(transparent)]
    Optimizer(#[from] OptimizerError),
}

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
    /// Histories that do not fit.
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
