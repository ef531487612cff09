//! What rectify's parts say to each other: score, retrieve, serve, teach.

use std::path::Path;

use rayon::prelude::*;

use crate::artifact::{ArtifactError, Overwrite};
use crate::{ItemFilter, ItemId, QueryError, TopK};

/// Exact scores of items for a query; higher is better.
///
/// The query is an associated type because techniques differ: a known [`UserId`](crate::UserId), a user vector
/// (`[f32]`), or a history of items. `dyn Scorer<Query = UserId>` works.
pub trait Scorer: Send + Sync {
    /// What is asked.
    type Query: ?Sized + Sync;

    /// Number of items `n`; item ids are `0..n`.
    fn n_items(&self) -> usize;

    /// Scores `items`, writing the score of `items[j]` to `out[j]`.
    ///
    /// # Errors
    /// An unknown query or item, or `out.len() != items.len()`.
    fn score_into(&self, query: &Self::Query, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError>;

    /// Scores all items, writing the score of item `i` to `out[i]`.
    ///
    /// # Errors
    /// An unknown query, or `out.len() != n_items()`.
    fn score_all_into(&self, query: &Self::Query, out: &mut [f32]) -> Result<(), QueryError>;
}

/// The best items for a query.
pub trait Retriever: Send + Sync {
    /// What is asked.
    type Query: ?Sized + Sync;

    /// Number of items that can be returned; item ids are `0..n_items()`.
    fn n_items(&self) -> usize;

    /// The best `k` items that pass `filter`, best first; `out` is cleared first.
    ///
    /// Fewer than `k` hits come back when fewer items pass; `k = 0` gives none.
    ///
    /// # Errors
    /// A query that this retriever cannot answer (unknown user, wrong width, not finite).
    fn top_k(&self, query: &Self::Query, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError>;

    /// [`top_k`](Self::top_k) for many queries: `out[j]` answers `queries[j]` under `filters[j]`.
    ///
    /// `filters` has one entry a query, or exactly one for all of them. The answers do not depend on the number of
    /// threads.
    ///
    /// # Errors
    /// Lengths that do not agree, or the error of the first query that fails.
    fn top_k_batch(
        &self,
        queries: &[&Self::Query],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out.len())?;
        let results: Vec<Result<(), QueryError>> = queries
            .par_iter()
            .zip(out.par_iter_mut())
            .enumerate()
            .map(|(j, (query, out))| self.top_k(query, k, &filters[if filters.len() == 1 { 0 } else { j }], out))
            .collect();
        results.into_iter().collect()
    }
}

/// Checks the lengths that [`Retriever::top_k_batch`] is called with.
///
/// # Errors
/// [`QueryError::BatchShape`] naming what disagrees.
pub fn check_batch(queries: usize, filters: usize, out: usize) -> Result<(), QueryError> {
    if out != queries {
        return Err(QueryError::BatchShape { what: "outputs", expected: queries, got: out });
    }
    if filters != queries && filters != 1 {
        return Err(QueryError::BatchShape { what: "filters", expected: queries, got: filters });
    }
    Ok(())
}

/// A served artifact: immutable, saved, mapped, searched.
pub trait Index: Retriever {
    /// Number of items held.
    fn len(&self) -> usize {
        self.n_items()
    }

    /// Whether it holds no item.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the arrays that a search reads. No default: memory must not be forgotten.
    fn size_bytes(&self) -> usize;

    /// Writes the index to one file, atomically and durably.
    ///
    /// # Errors
    /// A file that exists (unless told to replace it), or the operating system's reason.
    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError>;

    /// Maps an index that [`save`](Self::save) wrote, after checking it.
    ///
    /// # Errors
    /// A file that is not such an index, is damaged, or breaks a rule of [`validate`](Self::validate).
    fn open(path: &Path) -> Result<Self, ArtifactError>
    where
        Self: Sized;

    /// Walks the structure and names everything that is wrong with it; empty for a sound index.
    fn validate(&self) -> Vec<Violation>;
}

/// One broken rule of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where: the array or field.
    pub field: String,
    /// What was found, what was expected.
    pub problem: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// A trained, frozen, heavy model that students learn from.
///
/// Plain slices at the border: a frozen teacher needs no gradient, so whoever distils need not share its tensors.
pub trait Teacher: Scorer {
    /// Hidden vectors a student may imitate, if the teacher shows any; `None` for a black box.
    fn hidden(&self) -> Option<&dyn Hidden> {
        None
    }
}

/// The inner vectors of a teacher.
pub trait Hidden: Send + Sync {
    /// Widths of the vectors shown; a width of 0 means that the kind does not exist.
    fn widths(&self) -> HiddenWidths;

    /// The vector of a user, `out.len() == widths().user`.
    ///
    /// # Errors
    /// Unknown user, wrong width, or a kind that does not exist.
    fn user_into(&self, user: crate::UserId, out: &mut [f32]) -> Result<(), QueryError>;

    /// The vector of an item, `out.len() == widths().item`.
    ///
    /// # Errors
    /// Unknown item, wrong width, or a kind that does not exist.
    fn item_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError>;

    /// The joint vectors of pairs, row-major `[pairs.len(), widths().pair]`.
    ///
    /// # Errors
    /// Unknown ids, wrong length, or a kind that does not exist.
    fn pairs_into(&self, pairs: &[(crate::UserId, ItemId)], out: &mut [f32]) -> Result<(), QueryError>;
}

/// Widths of a teacher's hidden vectors; 0 where it has none of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HiddenWidths {
    /// Width of a user's vector.
    pub user: usize,
    /// Width of an item's vector.
    pub item: usize,
    /// Width of a pair's joint vector.
    pub pair: usize,
}
