//! Why codes could not be learned.

use std::fmt;

use rectify_core::{ConfigError, QueryError, UsersError};
use rectify_data::Interactions;
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
    #[error("no interactions to learn from ({n_users} users, {n_items} items); check the input and the split")]
    Empty {
        /// Users of the data.
        n_users: usize,
        /// Items of the data.
        n_items: usize,
    },
    /// Data that negatives cannot be drawn for.
    #[error(transparent)]
    Negatives(#[from] SamplerError),
    /// A teacher that cannot be learned from.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// A teacher that refused a question.
    #[error("the teacher: {0}")]
    Query(#[from] QueryError),
    /// Features that do not belong to the data.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// A regression that rounding made unsolvable.
    #[error("{model}: the Gram matrix of the features is not positive definite; raise `ridge`, or scale the features")]
    Singular {
        /// The method.
        model: &'static str,
    },
    /// Vectors that are no longer numbers.
    #[error("{model} diverged: {source}; lower the learning rate")]
    Diverged {
        /// The method.
        model: &'static str,
        /// Whose vector.
        source: CodesError,
    },
    /// Vectors that make no codes.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// Codes of users that the items' codes cannot be asked by.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// A failure of the training loop, of validation, or of a checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl FitError {
    /// Fails if there is nothing to learn from.
    pub(super) fn check_not_empty(train: &Interactions) -> Result<(), Self> {
        if train.n_interactions() > 0 {
            return Ok(());
        }
        Err(Self::Empty { n_users: train.n_users(), n_items: train.n_items() })
    }
}

/// A teacher that cannot be learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TeacherError {
    /// A teacher of other items.
    #[error("the teacher has {got} items, expected {expected}; train it on the same data")]
    Items {
        /// Items of the data.
        expected: usize,
        /// Items of the teacher.
        got: usize,
    },
    /// A black box, where codes start at the teacher's vectors.
    #[error("the teacher shows no hidden vectors; choose a teacher that does, or another start")]
    NoVectors,
    /// Hidden vectors, but not of both sides with one width.
    #[error(
        "the teacher has hidden vectors of width {users} for users and {items} for items, expected one width above 0; \
         choose another teacher, or another start"
    )]
    Widths {
        /// Width of a user's vector.
        users: usize,
        /// Width of an item's vector.
        items: usize,
    },
}

/// Features that do not belong to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// Features of other users or items.
    #[error("{side} features have {got} rows, expected {expected}")]
    Rows {
        /// Whose features.
        side: Side,
        /// Users or items of the data.
        expected: usize,
        /// Rows found.
        got: usize,
    },
    /// More features than a dense Gram matrix is made for.
    #[error("{side} features have {got} columns, expected at most {most}; keep the most frequent ones")]
    Columns {
        /// Whose features.
        side: Side,
        /// Columns at most.
        most: usize,
        /// Columns found.
        got: usize,
    },
}

/// One side of the interactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Users.
    Users,
    /// Items.
    Items,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Users => "user",
            Self::Items => "item",
        })
    }
}
