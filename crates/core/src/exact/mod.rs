//! Exact maximum inner product search.

mod error;
mod file;
mod first_pass;
mod lines;
mod scan;
mod search;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use error::ExactError;

use self::first_pass::FirstPass;
use self::scan::ScoreRows;
use crate::artifact::Array;
use crate::simd::Level;
use crate::{Catalogue, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, TopK, check_batch, check_len};

/// Queries that a kernel takes together.
const QUERIES: usize = 8;
/// Queries whose codes stay in the first-level cache while the rows pass by.
const BATCH: usize = 256;

/// How an [`ExactIndex`] is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactConfig {
    /// Whether to keep int8 copies of the rows for a certified first pass: it reads a quarter of the bytes and proves for
    /// nearly all items that they are not among the best. The answers are the same, bit for bit. Costs about
    /// `n · (dim + 12)` bytes. Default: true.
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
    first_pass: Option<FirstPass>,
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
        let longest = config.first_pass.then(|| FirstPass::longest(&rows, dim)).flatten();
        let first_pass = longest.map(|longest| FirstPass::build(&rows, dim, longest));
        Ok(Self { dim, rows, first_pass, config: config.clone() })
    }

    /// Width of a row and of a query.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// How it was built.
    #[must_use]
    pub const fn config(&self) -> &ExactConfig {
        &self.config
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

    /// Whether the index has int8 rows. `false` although they were asked for if they cannot certify anything here: rows wider
    /// than 4096, or a longest row outside 1e-10..=1e15 (also: no rows, or only zeros).
    #[must_use]
    pub const fn has_first_pass(&self) -> bool {
        self.first_pass.is_some()
    }

    fn row_at(&self, at: usize) -> &[f32] {
        &self.rows[at * self.dim..][..self.dim]
    }

    fn check_query(&self, query: &[f32]) -> Result<(), QueryError> {
        check_len("query", self.dim, query.len())?;
        match query.iter().position(|x| !x.is_finite()) {
            Some(position) => Err(QueryError::NotFinite { position, value: query[position] }),
            None => Ok(()),
        }
    }
}

impl Catalogue for ExactIndex {
    fn n_items(&self) -> usize {
        self.rows.len() / self.dim
    }
}

impl ItemVectors for ExactIndex {
    fn dim(&self) -> usize {
        self.dim
    }

    fn item_vector_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.dim, out.len())?;
        let row = self.row(item).ok_or(QueryError::UnknownItem { item, n_items: self.n_items() })?;
        out.copy_from_slice(row);
        Ok(())
    }
}

impl Scorer for ExactIndex {
    type Query = [f32];

    fn score_into(&self, query: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("out", items.len(), out.len())?;
        let n_items = self.n_items();
        if let Some(&item) = items.iter().find(|item| item.index() >= n_items) {
            return Err(QueryError::UnknownItem { item, n_items });
        }
        self.score_at(Level::best(), query, items, out);
        Ok(())
    }

    fn score_all_into(&self, query: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("out", self.n_items(), out.len())?;
        Level::best().run(ScoreRows { query, row: |i| self.row_at(i), out });
        Ok(())
    }
}

impl Retriever for ExactIndex {
    type Query = [f32];

    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.check_query(query)?;
        self.search(Level::best(), self.pass_for(1, k), &[query], k, &[filter], std::slice::from_mut(out));
        Ok(())
    }

    fn top_k_batch(
        &self,
        queries: &[&[f32]],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out)?;
        queries.iter().try_for_each(|query| self.check_query(query))?;
        let filters: Vec<&ItemFilter<'_>> = match filters {
            [one] => vec![one; queries.len()],
            several => several.iter().collect(),
        };
        let share = queries.len().div_ceil(rayon::current_num_threads()).next_multiple_of(QUERIES).clamp(1, BATCH);
        queries.par_chunks(share).zip(filters.par_chunks(share)).zip(out.par_chunks_mut(share)).for_each(
            |((queries, filters), out)| {
                self.search(Level::best(), self.pass_for(queries.len(), k), queries, k, filters, out);
            },
        );
        Ok(())
    }
}
