//! What rectify's parts say to each other: score, retrieve, serve, teach.

use std::path::Path;

use rayon::prelude::*;

use crate::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use crate::{ItemFilter, ItemId, QueryError, TopK};

/// A fixed set of items, numbered `0..n_items()`: what scorers and retrievers speak of.
pub trait Catalogue: Send + Sync {
    /// Number of items `n`; item ids are `0..n`.
    fn n_items(&self) -> usize;
}

/// Exact scores of items for a query; higher is better.
///
/// The query is an associated type because techniques differ: a known [`UserId`](crate::UserId), a user vector
/// (`[f32]`), or a history of items. `dyn Scorer<Query = UserId>` works.
pub trait Scorer: Catalogue {
    /// What is asked.
    type Query: ?Sized + Sync;

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
pub trait Retriever: Catalogue {
    /// What is asked.
    type Query: ?Sized + Sync;

    /// The best `k` items that pass `filter`, best first; `out` is cleared first, and stays empty when the query is refused.
    ///
    /// Fewer than `k` hits come back when fewer items pass; `k = 0` gives none.
    ///
    /// # Errors
    /// A query that this retriever cannot answer (unknown user, wrong width, not finite).
    fn top_k(&self, query: &Self::Query, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError>;

    /// [`top_k`](Self::top_k) for many queries: `out[j]` answers `queries[j]` under `filters[j]`.
    ///
    /// `filters` has one entry a query, or exactly one for all of them. The answers do not depend on the number of
    /// threads. When the batch is refused, all of `out` is empty.
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
        check_batch(queries.len(), filters.len(), out)?;
        let results: Vec<Result<(), QueryError>> = queries
            .par_iter()
            .zip(out.par_iter_mut())
            .enumerate()
            .map(|(j, (query, out))| self.top_k(query, k, &filters[if filters.len() == 1 { 0 } else { j }], out))
            .collect();
        all_or_none(results, out)
    }
}

/// Items as vectors, decoded from whatever is stored of them.
///
/// Inner products with a query are its scores (of a cascade: what its scores begin with). Similar items and people who were not
/// trained on are found by them.
pub trait ItemVectors: Catalogue {
    /// Width of a vector.
    fn dim(&self) -> usize;

    /// The vector of an item, `out.len() == dim()`.
    ///
    /// # Errors
    /// An unknown item, or a buffer of another length.
    fn item_vector_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError>;
}

/// Clears `out` and checks the lengths that [`Retriever::top_k_batch`] is called with.
///
/// # Errors
/// [`QueryError::BatchShape`] naming what disagrees.
pub fn check_batch(queries: usize, filters: usize, out: &mut [TopK]) -> Result<(), QueryError> {
    out.iter_mut().for_each(TopK::clear);
    if out.len() != queries {
        return Err(QueryError::BatchShape { what: "outputs", expected: queries, got: out.len() });
    }
    if filters != queries && filters != 1 {
        return Err(QueryError::BatchShape { what: "filters", expected: queries, got: filters });
    }
    Ok(())
}

/// Leaves nothing in `out` unless every query of a batch was answered; the error is that of the first that was not.
///
/// # Errors
/// The first error of `results`.
pub fn all_or_none(results: Vec<Result<(), QueryError>>, out: &mut [TopK]) -> Result<(), QueryError> {
    let whole = results.into_iter().collect();
    if Result::is_err(&whole) {
        out.iter_mut().for_each(TopK::clear);
    }
    whole
}

/// What a file says that it holds: the kind, and the version of its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Kind of artifact, for instance `exact-index`.
    pub kind: &'static str,
    /// Newest version of the layout, which is written; older ones are read, too.
    pub version: u32,
}

/// A served artifact: immutable, saved, mapped, searched.
///
/// [`write`](Self::write) and [`read`](Self::read) put an index into any artifact, under a prefix;
/// [`save`](Self::save) and [`open`](Self::open) make a file of its own.
pub trait Index: Retriever {
    /// Kind and version of a file that holds such an index alone.
    fn format() -> Format
    where
        Self: Sized;

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

    /// Adds arrays, each name after `prefix`, and the configuration of that prefix to an artifact.
    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str);

    /// Maps what [`write`](Self::write) added under `prefix`. Shapes are checked here, content by [`validate`](Self::validate).
    ///
    /// # Errors
    /// [`ArtifactError::Field`]: an array or field that is missing or of another form.
    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError>
    where
        Self: Sized;

    /// Writes the index to one file, atomically and durably.
    ///
    /// # Errors
    /// A file that exists (unless told to replace it), or the operating system's reason.
    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError>
    where
        Self: Sized,
    {
        let Format { kind, version } = Self::format();
        let mut writer = ArtifactWriter::new(kind, version);
        self.write(&mut writer, "");
        writer.save(path, overwrite)
    }

    /// Maps an index that [`save`](Self::save) wrote, after checking it.
    ///
    /// # Errors
    /// A file that is not such an index, is damaged, or breaks a rule of [`validate`](Self::validate).
    fn open(path: &Path) -> Result<Self, ArtifactError>
    where
        Self: Sized,
    {
        let Format { kind, version } = Self::format();
        Self::read_checked(&Artifact::open(path, kind, version)?, "")
    }

    /// [`read`](Self::read), and every rule of [`validate`](Self::validate) checked.
    ///
    /// # Errors
    /// As [`read`](Self::read), or [`ArtifactError::Invalid`].
    fn read_checked(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError>
    where
        Self: Sized,
    {
        let index = Self::read(artifact, prefix)?;
        artifact.reject(index.validate())?;
        Ok(index)
    }

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

impl std::error::Error for Violation {}

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
