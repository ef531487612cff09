//! An index that known users ask.

use crate::artifact::{Artifact, ArtifactError, ArtifactWriter};
use crate::{
    Catalogue, Format, Hidden, HiddenWidths, Index, ItemFilter, ItemId, Provenance, QueryError, Retriever, Scorer,
    Teacher, TopK, UserId, Violation, check_batch, check_len,
};

use super::UserSide;

/// Users before an index: asked by [`UserId`], it asks the index with the user's query.
///
/// Scorer, retriever, teacher and index at once, as far as the index is. It teaches hidden vectors if both sides are vectors, and is a
/// black box otherwise.
#[derive(Clone, Debug)]
pub struct ForUsers<U, I> {
    users: U,
    index: I,
    provenance: Provenance,
}

/// Users that an index cannot be asked by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsersError {
    /// Queries of another width than the index takes.
    #[error("queries of users have {users} components, the index takes {items}; both must have one width")]
    Width {
        /// Of a user's query.
        users: usize,
        /// Of the index's.
        items: usize,
    },
    /// Queries that are unsound.
    #[error(transparent)]
    Invalid(#[from] Violation),
}

/// An index that is saved with its users in one file.
pub trait WithUsers: Index {
    /// Kind and version of that file.
    const FORMAT_WITH_USERS: Format;

    /// Components of a query, if all have the same number.
    fn query_width(&self) -> Option<usize> {
        None
    }

    /// The items as vectors, row-major, with their width, if their inner products with users are the scores.
    fn vectors(&self) -> Option<(&[f32], usize)> {
        None
    }

    /// As [`Index::write`], for a file that holds users too.
    fn write_with_users<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        self.write(writer, prefix);
    }

    /// As [`Index::read`], of what [`write_with_users`](Self::write_with_users) added.
    ///
    /// # Errors
    /// As [`Index::read`].
    fn read_with_users(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError>
    where
        Self: Sized,
    {
        Self::read(artifact, prefix)
    }

    /// A file of an older version as if it were of the newest.
    ///
    /// # Errors
    /// A field that is missing or of another form.
    fn upgraded(artifact: Artifact) -> Result<Artifact, ArtifactError>
    where
        Self: Sized,
    {
        Ok(artifact)
    }
}

impl<U: UserSide, I: WithUsers> ForUsers<U, I> {
    /// Puts users before an index.
    ///
    /// # Errors
    /// [`UsersError`]: queries that the index does not take.
    pub fn new(users: U, index: I, provenance: Provenance) -> Result<Self, UsersError> {
        if let (Some(users), Some(items)) = (users.width(), index.query_width())
            && users != items
        {
            return Err(UsersError::Width { users, items });
        }
        match users.validate(index.n_items()).into_iter().next() {
            Some(violation) => Err(violation.into()),
            None => Ok(Self { users, index, provenance }),
        }
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.users.n_users()
    }

    /// The users' queries.
    #[must_use]
    pub const fn users(&self) -> &U {
        &self.users
    }

    /// The index; ask it with any query.
    #[must_use]
    pub const fn index(&self) -> &I {
        &self.index
    }

    /// Where it comes from.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Users, index and provenance, back.
    #[must_use]
    pub fn into_parts(self) -> (U, I, Provenance) {
        (self.users, self.index, self.provenance)
    }

    /// The query of a user.
    ///
    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub fn user(&self, user: UserId) -> Result<&U::Query, QueryError> {
        self.users.query(user).ok_or(QueryError::UnknownUser { user, n_users: self.n_users() })
    }
}

impl<U: UserSide, I: Catalogue> Catalogue for ForUsers<U, I> {
    fn n_items(&self) -> usize {
        self.index.n_items()
    }
}

impl<U: UserSide, I: WithUsers + Scorer<Query = U::Query>> Scorer for ForUsers<U, I> {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.index.score_into(self.user(*user)?, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.index.score_all_into(self.user(*user)?, out)
    }
}

impl<U: UserSide, I: WithUsers + Retriever<Query = U::Query>> Retriever for ForUsers<U, I> {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.index.top_k(self.user(*user)?, k, filter, out)
    }

    fn top_k_batch(
        &self,
        users: &[&UserId],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(users.len(), filters.len(), out)?;
        let queries = users.iter().map(|user| self.user(**user)).collect::<Result<Vec<_>, _>>()?;
        self.index.top_k_batch(&queries, k, filters, out)
    }
}

impl<U: UserSide, I: WithUsers + Scorer<Query = U::Query>> Teacher for ForUsers<U, I> {
    fn hidden(&self) -> Option<&dyn Hidden> {
        (self.users.width().is_some() && self.index.vectors().is_some()).then_some(self as &dyn Hidden)
    }
}

impl<U: UserSide, I: WithUsers> Hidden for ForUsers<U, I> {
    fn widths(&self) -> HiddenWidths {
        let item = self.index.vectors().map_or(0, |(_, dim)| dim);
        HiddenWidths { user: item, item, pair: 0 }
    }

    fn user_into(&self, user: UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.widths().user, out.len())?;
        let unknown = QueryError::UnknownUser { user, n_users: self.n_users() };
        out.copy_from_slice(self.users.vector(user).ok_or(unknown)?);
        Ok(())
    }

    fn item_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.widths().item, out.len())?;
        let unknown = QueryError::UnknownItem { item, n_items: self.n_items() };
        let (rows, dim) = self.index.vectors().unwrap_or_default();
        let row = rows.get(item.index().saturating_mul(dim)..).and_then(|rows| rows.get(..dim));
        out.copy_from_slice(row.filter(|_| dim > 0).ok_or(unknown)?);
        Ok(())
    }

    fn pairs_into(&self, _: &[(UserId, ItemId)], _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("factors have no joint vector of a pair; ask for the user's and the item's".into()))
    }
}

impl<U: UserSide, I: WithUsers + Retriever<Query = U::Query>> Index for ForUsers<U, I> {
    fn format() -> Format {
        I::FORMAT_WITH_USERS
    }

    fn size_bytes(&self) -> usize {
        self.users.size_bytes() + self.index.size_bytes()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        self.provenance.write(writer);
        self.users.write(writer, prefix);
        self.index.write_with_users(writer, prefix);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let newest = I::FORMAT_WITH_USERS;
        let upgraded;
        let artifact = if artifact.kind() == newest.kind && artifact.version() < newest.version {
            upgraded = I::upgraded(artifact.clone())?;
            &upgraded
        } else {
            artifact
        };
        let index = I::read_with_users(artifact, prefix)?;
        let users = U::read(artifact, prefix, index.query_width())?;
        Ok(Self { users, index, provenance: Provenance::read(artifact)? })
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.index.validate();
        violations.extend(self.users.validate(self.n_items()));
        violations
    }
}
