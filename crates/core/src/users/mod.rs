//! Known users before an index: their queries, and one adapter for all kinds of index.

mod factors;
mod for_users;
mod histories;
mod vectors;

pub use factors::{Factors, FactorsError};
pub use for_users::{ForUsers, UsersError, WithUsers};
pub use histories::{Histories, HistoryError};
pub use vectors::UserVectors;

use crate::artifact::{Artifact, ArtifactError, ArtifactWriter};
use crate::{ItemId, QueryError, UserId, Violation};

/// The queries of known users: their vectors, their codes, their histories.
///
/// With an index that answers such queries it makes [`ForUsers`].
pub trait UserSide: Clone + std::fmt::Debug + Send + Sync + Sized {
    /// What an index is asked for a user.
    type Query: ?Sized + Sync;

    /// Number of users; user ids are `0..n_users()`.
    fn n_users(&self) -> usize;

    /// The query of a user, or `None` if there is no such user.
    fn query(&self, user: UserId) -> Option<&Self::Query>;

    /// Components of a query (values of a vector, bits of a code), if all have the same number.
    fn width(&self) -> Option<usize> {
        None
    }

    /// The query as a vector that students may imitate, if it is one.
    fn vector(&self, user: UserId) -> Option<&[f32]> {
        let _ = user;
        None
    }

    /// Bytes of the arrays.
    fn size_bytes(&self) -> usize;

    /// Adds arrays, each name after `prefix`, to an artifact.
    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str);

    /// Maps what [`write`](Self::write) added; `width` is that of the index's queries.
    ///
    /// # Errors
    /// [`ArtifactError::Field`]: an array that is missing or of another form.
    fn read(artifact: &Artifact, prefix: &str, width: Option<usize>) -> Result<Self, ArtifactError>;

    /// Everything that is wrong with the queries for an index of `n_items`; empty if they are sound.
    fn validate(&self, n_items: usize) -> Vec<Violation>;
}

/// Answers for people who were not trained on: from what they liked to the query of an index.
pub trait FoldIn: Send + Sync {
    /// What the index is asked.
    type Query: ?Sized + ToOwned;

    /// The query of somebody with this history, newest first. An empty history gives the query of somebody of whom nothing
    /// is known, if there is one.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`], or a history that nothing can be made of.
    fn fold_in(&self, history: &[ItemId]) -> Result<<Self::Query as ToOwned>::Owned, QueryError>;
}
