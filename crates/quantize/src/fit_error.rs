//! What can stop a fit.

use rectify_core::QueryError;
use rectify_data::samplers::SamplerError;
use rectify_tensor::ConfigError;
use rectify_tensor::train::TrainError;

use crate::CodesError;

/// Why codes could not be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// An impossible setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing to learn from.
    #[error("no {what} to learn from; check the input and the split")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// Vectors that do not fit the data or each other.
    #[error("{what}: found {got}, expected {expected}")]
    Shape {
        /// What does not fit.
        what: &'static str,
        /// What would.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A vector with NaN or infinity.
    #[error("the vector of {what} is not finite; {hint}")]
    NotFinite {
        /// Whose vector, for instance `item 17`.
        what: String,
        /// What may help.
        hint: &'static str,
    },
    /// A teacher that is no inner product of its hidden vectors.
    #[error("{problem}; codes need a teacher that scores by the inner product of one user and one item vector")]
    Teacher {
        /// What was found.
        problem: String,
    },
    /// A teacher that refuses a query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Data that negatives cannot be drawn for.
    #[error(transparent)]
    Negatives(#[from] SamplerError),
    /// Codes that cannot be served.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}
