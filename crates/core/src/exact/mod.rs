//! Exact maximum inner product search.

mod error;
mod file;
mod kernel;

use serde::{Deserialize, Serialize};

pub use error::ExactError;

use crate::artifact::Array;
use crate::{ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, check_len, select_top_k};

/// How an [`ExactIndex`] is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactConfig {
    /// Whether to keep int8 copies of the rows for a certified first pass. Costs `n · (dim + 12)` bytes; answers are the
    /// same bit for bit.
    pub first_pass: bool,
}

impl Default for ExactConfig {
    fn default() -> Self {
        Self { first_pass: true }
    }
}

/// Brute-force maximum inner product over `[n, dim]` rows: the exact answer, and the measure of every approximate index.
///
/// # The score
/// The score of row `x` for query `q` is one fixed f32 number, whichever way it is computed:
/// `s₀ = 0`, `sⱼ = fma(qⱼ, xⱼ, sⱼ₋₁)` for ascending `j`, each step rounded once; the score is `s_dim`. Every dispatch level,
/// batch size and number of threads gives these bits. Finite input never gives NaN: a sum that overflows stays at ±∞, which
/// is a score like any other. The answer is the best `k` in the order of [`Hit`](crate::Hit): score descending, id ascending.
///
/// ```
/// use rectify_core::{ExactConfig, ExactIndex, ItemFilter, ItemId, Retriever, TopK};
///
/// let rows = vec![1.0, 0.0, /* item 1 */ 0.0, 1.0, /* item 2 */ 0.6, 0.6];
/// let index = ExactIndex::build(rows, 2, &ExactConfig::default())?;
/// let mut top = TopK::new();
/// index.top_k(&[1.0, 0.5], 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.items().collect::<Vec<_>>(), [ItemId(0), ItemId(2)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExactIndex {
    dim: usize,
    rows: Array<f32>,
    config: ExactConfig,
}

impl ExactIndex {
    /// Builds an index of `rows.len() / dim` items from row-major rows; item `i` is `rows[i * dim..][..dim]`.
    ///
    /// # Errors
    /// [`ExactError`]: `dim` 0, a partial row, more than 2³² - 1 rows, or a value that is not finite (named by row).
    pub fn build(rows: impl Into<Array<f32>>, dim: usize, config: &ExactConfig) -> Result<Self, ExactError> {
        let rows = rows.into();
        if dim == 0 {
            return Err(ExactError::ZeroDim);
        }
        if !rows.len().is_multiple_of(dim) {
            return Err(ExactError::Shape { expected: dim, got: rows.len() });
        }
        let n = rows.len() / dim;
        if u32::try_from(n).is_err() {
            return Err(ExactError::TooManyItems { expected: u32::MAX as usize, got: n });
        }
        if let Some(at) = rows.iter().position(|x| !x.is_finite()) {
            return Err(ExactError::NotFinite { item: ItemId((at / dim) as u32), position: at % dim, value: rows[at] });
        }
        Ok(Self { dim, rows, config: config.clone() })
    }

    /// Width of a row and of a query.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// All rows, row-major `[n, dim]`.
    #[must_use]
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// The row of an item, or `None` if there is no such item.
    #[must_use]
    pub fn row(&self, item: ItemId) -> Option<&[f32]> {
        self.rows.chunks_exact(self.dim).nth(item.index())
    }

    fn check_query(&self, query: &[f32]) -> Result<(), QueryError> {
        check_len("query", self.dim, query.len())?;
        match query.iter().position(|x| !x.is_finite()) {
            Some(position) => Err(QueryError::NotFinite { position, value: query[position] }),
            None => Ok(()),
        }
    }
}

impl Scorer for ExactIndex {
    type Query = [f32];

    fn n_items(&self) -> usize {
        self.rows.len() / self.dim
    }

    fn score_into(&self, query: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("out", items.len(), out.len())?;
        for (&item, score) in items.iter().zip(out) {
            let row = self.row(item).ok_or(QueryError::UnknownItem { item, n_items: Scorer::n_items(self) })?;
            *score = kernel::dot(query, row);
        }
        Ok(())
    }

    fn score_all_into(&self, query: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("out", Scorer::n_items(self), out.len())?;
        for (row, score) in self.rows.chunks_exact(self.dim).zip(out) {
            *score = kernel::dot(query, row);
        }
        Ok(())
    }
}

impl Retriever for ExactIndex {
    type Query = [f32];

    fn n_items(&self) -> usize {
        self.rows.len() / self.dim
    }

    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        let mut scores = vec![0.0; Retriever::n_items(self)];
        self.score_all_into(query, &mut scores)?;
        select_top_k(&scores, k, filter, out)
    }
}
