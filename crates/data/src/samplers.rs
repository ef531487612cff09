//! Draws of items a user has not seen.

mod popularity;
mod positives;
mod uniform;
mod without_replacement;

pub(crate) use popularity::AliasTable;
pub use popularity::PopularNegatives;
pub use positives::{PositiveBatch, PositiveBatches};
pub use uniform::UniformNegatives;
pub use without_replacement::sample_unseen;

use rectify_core::UserId;

/// Why a sampler cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// Interactions with no item to draw.
    #[error("there is no item to draw: the data has 0 items")]
    NoItems,
    /// A user for whom no negative exists.
    #[error("user {user} has all {n_items} items, so no negative exists; remove the user or the sampler")]
    NoUnseen {
        /// The user.
        user: UserId,
        /// Number of items.
        n_items: usize,
    },
    /// An exponent that is not a finite number.
    #[error("popularity exponent is {got}, expected a finite number from 0 up")]
    Exponent {
        /// What was given.
        got: f64,
    },
}
