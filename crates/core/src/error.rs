//! What a caller of a scorer or retriever can get wrong.

use crate::{ItemId, UserId};

/// Where an error has its cause, for programs whose exit codes tell. An error without one is a failure of the work itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller named something that does not exist.
    Usage,
    /// A file or a setting is wrong.
    Input,
    /// An output is in the way, or cannot be written.
    Output,
}

/// A query that cannot be answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A user id at or beyond the number of users.
    #[error("user {user} is unknown: the model has {n_users} users")]
    UnknownUser {
        /// The id asked for.
        user: UserId,
        /// Users known.
        n_users: usize,
    },
    /// An item id at or beyond the number of items.
    #[error("item {item} is unknown: the model has {n_items} items")]
    UnknownItem {
        /// The id asked for.
        item: ItemId,
        /// Items known.
        n_items: usize,
    },
    /// A buffer or vector of another length.
    #[error("{what} has length {got}, expected {expected}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Length needed.
        expected: usize,
        /// Length given.
        got: usize,
    },
    /// Slices of a batch whose lengths disagree.
    #[error("batch of {expected} queries came with {got} {what}")]
    BatchShape {
        /// Which slice.
        what: &'static str,
        /// Number of queries.
        expected: usize,
        /// Length given.
        got: usize,
    },
    /// A query vector with NaN or infinity, or a score that is NaN (its position is the item).
    #[error("query or score vector is not finite at position {position}: {value}")]
    NotFinite {
        /// Where.
        position: usize,
        /// What stands there.
        value: f32,
    },
    /// A list of seen items that does not strictly ascend.
    #[error("seen items must strictly ascend, but do not at position {position}; sort and deduplicate them")]
    UnsortedSeen {
        /// First offending position.
        position: usize,
    },
    /// A device that searches refused or failed.
    #[error("device: {0}")]
    Device(String),
    /// Something this model cannot do, said in words.
    #[error("{0}")]
    Unsupported(String),
}

/// Checks the length of a buffer.
///
/// # Errors
/// [`QueryError::Length`] when it differs.
pub fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), QueryError> {
    if expected == got { Ok(()) } else { Err(QueryError::Length { what, expected, got }) }
}
