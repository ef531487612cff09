//! What can stop a fit.

use rectify_core::ConfigError;
use rectify_core::QueryError;
use rectify_data::samplers::SamplerError;
use rectify_tensor::train::TrainError;

use crate::CascadeError;

/// Why a cascade could not be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// An impossible setting.
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
    /// Settings that need a teacher, and none given.
    #[error("{field} asks for a teacher's word, but no teacher was given; give one, or learn from feedback")]
    NoTeacher {
        /// The setting.
        field: &'static str,
    },
    /// A teacher of another catalogue.
    #[error("the teacher scores {got} items, the data has {expected}; both must come from one id map")]
    Items {
        /// Items of the data.
        expected: usize,
        /// Items of the teacher.
        got: usize,
    },
    /// A teacher that refuses a user, or gives a score that is not finite.
    #[error("the teacher cannot teach: {0}")]
    Teacher(#[from] QueryError),
    /// Data that negatives cannot be drawn for.
    #[error(transparent)]
    Negatives(#[from] SamplerError),
    /// Weights that cannot be served: training diverged.
    #[error("training diverged: {0}")]
    Diverged(#[from] CascadeError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}
