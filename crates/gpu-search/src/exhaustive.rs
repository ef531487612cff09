//! Scores of every item, and then the best of them.

use rectify_core::{Catalogue, ItemFilter, QueryError, Retriever, TopK, all_or_none, check_batch};
use rectify_cuda::{Buffer, Gpu};

use crate::select::{device_error, select_top_k};

/// Scores that fit on a device beside the index.
const MOST_SCORES: usize = 1 << 28;
/// Queries that go through the kernels together.
const MOST_QUERIES: usize = 256;

/// What scores all items for some queries on a device.
pub trait DeviceScores: Send + Sync {
    /// What is asked.
    type Query: ?Sized + Sync;

    /// The device.
    fn gpu(&self) -> &Gpu;

    /// Number of items.
    fn n_items(&self) -> usize;

    /// Writes the scores of all items, (queries, n_items).
    ///
    /// # Errors
    /// A query that cannot be answered, or [`QueryError::Device`].
    fn score_all(&self, queries: &[&Self::Query], scores: &mut Buffer<f32>) -> Result<(), QueryError>;
}

/// Exhaustive search on a device: the answers of the index on the CPU, bit for bit.
#[derive(Clone, Debug)]
pub struct DeviceSearch<S>(S);

impl<S: DeviceScores> DeviceSearch<S> {
    /// Searches all items of `scores`.
    pub const fn over(scores: S) -> Self {
        Self(scores)
    }

    /// What scores the items.
    pub const fn scores(&self) -> &S {
        &self.0
    }
}

impl<S: DeviceScores> Catalogue for DeviceSearch<S> {
    fn n_items(&self) -> usize {
        self.0.n_items()
    }
}

impl<S: DeviceScores> Retriever for DeviceSearch<S> {
    type Query = S::Query;

    fn top_k(&self, query: &S::Query, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.top_k_batch(&[query], k, std::slice::from_ref(filter), std::slice::from_mut(out))
    }

    fn top_k_batch(
        &self,
        queries: &[&S::Query],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out)?;
        let n = self.n_items();
        let tile = (MOST_SCORES / n.max(1)).clamp(1, MOST_QUERIES);
        let gpu = self.0.gpu();
        let mut tiles = queries.chunks(tile).zip(out.chunks_mut(tile)).enumerate();
        let answered = tiles.try_for_each(|(t, (queries, out))| {
            let filters = if filters.len() == 1 { filters } else { &filters[t * tile..][..queries.len()] };
            let mut scores = gpu.zeros(queries.len() * n).map_err(device_error)?;
            self.0.score_all(queries, &mut scores)?;
            select_top_k(gpu, &scores, n, k, filters, out)
        });
        all_or_none(vec![answered], out)
    }
}
