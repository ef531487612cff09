//! What can stop a fit.

use rectify_core::{ConfigError, QueryError, UsersError};
use rectify_data::samplers::SamplerError;
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
    /// A table that is no whole number of rows.
    #[error("{what}: found {got} values, expected whole rows of {dim}, at least 1 wide")]
    Rows {
        /// Which table.
        what: &'static str,
        /// Width of a row.
        dim: usize,
        /// Values found.
        got: usize,
    },
    /// Tables that do not fit the data or each other.
    #[error("{what}: found {got}, expected {expected}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many would fit.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// A vector with NaN or infinity.
    #[error("the vector of {what} {at} is not finite; {hint}")]
    NotFinite {
        /// What has vectors, for instance `item`.
        what: &'static str,
        /// Which of them.
        at: usize,
        /// What may help.
        hint: &'static str,
    },
    /// Rows so large that no rotation can be found between them.
    #[error("the products of rows of width {dim} with those they shall reach are not finite; scale the rows down")]
    Rotation {
        /// Width of a row.
        dim: usize,
    },
    /// A teacher that is no inner product of its hidden vectors.
    #[error("{0}; codes need a teacher that scores by the inner product of one user and one item vector")]
    Teacher(#[from] TeacherError),
    /// A teacher that refuses a query.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Data that negatives cannot be drawn for.
    #[error(transparent)]
    Negatives(#[from] SamplerError),
    /// Codes that cannot be served.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// Users that cannot be served.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Why a teacher has no vectors that codes can be learned from.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TeacherError {
    /// A black box.
    #[error("the teacher shows no hidden vectors")]
    Hidden,
    /// Vectors of users and items that have no inner product.
    #[error("the teacher's vectors are {users} (users) and {items} wide (items)")]
    Widths {
        /// Components of a user's.
        users: usize,
        /// Components of an item's.
        items: usize,
    },
    /// A score that is something else.
    #[error("the teacher scores user {user} and item {item} {score}, the inner product of its vectors is {product}")]
    Score {
        /// The user probed.
        user: usize,
        /// The item probed.
        item: usize,
        /// What the teacher says.
        score: f32,
        /// What its vectors say.
        product: f64,
    },
}
