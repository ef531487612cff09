//! What a caller can get wrong in a loss or a draw.

use rectify_core::ConfigError;
use rectify_core::{QueryError, UserId};

/// A loss that was asked for with arguments that do not fit together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// A slice of another length.
    #[error("{what} has {got} values, expected {expected}")]
    Shape {
        /// Which slice.
        what: &'static str,
        /// Values needed.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A slice that is no whole number of rows.
    #[error("{what} has {got} values, which is no multiple of its row length {row}")]
    Rows {
        /// Which slice.
        what: &'static str,
        /// Values in a row.
        row: usize,
        /// Values given.
        got: usize,
    },
    /// List boundaries that do not ascend from 0 to the number of scores.
    #[error("list offsets must ascend from 0 to {n_scores}, but do not at position {position}")]
    Offsets {
        /// First offending position.
        position: usize,
        /// Number of scores.
        n_scores: usize,
    },
    /// A setting of the loss that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Checks the length of a slice.
pub(crate) fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), LossError> {
    if expected == got { Ok(()) } else { Err(LossError::Shape { what, expected, got }) }
}

/// Checks that a slice holds whole rows, and counts them; a row length of 0 holds no row.
pub(crate) fn check_rows(what: &'static str, row: usize, got: usize) -> Result<usize, LossError> {
    match got.checked_div(row) {
        Some(rows) if rows * row == got => Ok(rows),
        None if got == 0 => Ok(0),
        _ => Err(LossError::Rows { what, row, got }),
    }
}

/// A ranking or a draw that cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A setting that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A teacher of another catalogue.
    #[error("the teacher scores {got} items, the training set has {expected}; both must come from one id map")]
    ItemCount {
        /// Items of the training set.
        expected: usize,
        /// Items of the teacher.
        got: usize,
    },
    /// A teacher that refuses a user, or gives scores that are no numbers.
    #[error("the teacher cannot rank items for user {user}: {source}")]
    Teacher {
        /// The first user that fails.
        user: UserId,
        /// Its reason.
        source: QueryError,
    },
    /// Seen items beyond the catalogue.
    #[error("user {user} has seen item {got}, but there are {expected} items")]
    SeenItem {
        /// The user.
        user: UserId,
        /// Items of the training set.
        expected: usize,
        /// The item's id.
        got: u32,
    },
    /// A user with too few items left to draw from.
    #[error(
        "user {user} has {got} unseen items, but a list needs {expected}; draw fewer items or set `skip_short_users`"
    )]
    TooFewUnseen {
        /// The first such user.
        user: UserId,
        /// Items needed.
        expected: usize,
        /// Items there.
        got: usize,
    },
    /// A ranking that is not deep enough.
    #[error("the ranking holds the best {got} items of each user, but the sampler draws from the best {expected}")]
    Depth {
        /// Depth needed.
        expected: usize,
        /// Depth there.
        got: usize,
    },
}
