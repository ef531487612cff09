//! The best items of some queries: the first pass where it applies, then f32.

use super::first_pass::{Candidates, CodedQuery, FirstPass, Prune};
use super::scan::{Scan, ScoreRows};
use super::{ExactIndex, QUERIES};
use crate::simd::{Level, prefetch};
use crate::{Catalogue, Hit, ItemFilter, ItemId, Selector, TopK};

/// Rows that are asked for before they are scored, since they are anywhere in memory.
const AHEAD: usize = 32;

impl ExactIndex {
    /// Scores of known items for a checked query.
    pub(super) fn score_at(&self, level: Level, query: &[f32], items: &[ItemId], out: &mut [f32]) {
        let ask = |item: &ItemId| prefetch(&self.rows, item.index() * self.dim, self.dim);
        items.iter().take(AHEAD).for_each(ask);
        let row = |i: usize| {
            items.get(i + AHEAD).into_iter().for_each(ask);
            self.row_at(items[i].index())
        };
        level.run(ScoreRows { query, row, out });
    }

    /// The first pass, if so many queries for the best `k` are answered sooner with it.
    pub(super) fn pass_for(&self, n_queries: usize, k: usize) -> Option<&FirstPass> {
        let n = self.n_items();
        // A long list leaves little to prune. And to sort out candidates costs a query about as much as some 16,384 · k
        // products in f32 in a large batch (dim 64: up to n = 256 · k), but far fewer in a small one, where f32 waits for
        // memory. Measured at k = 100, dim 32 and 64, n from 400 to 100,000.
        let products = n_queries.saturating_mul(64).clamp(1024, 16_384);
        self.first_pass.as_ref().filter(|_| k <= n / 16 && n * self.dim >= products.saturating_mul(k))
    }

    /// Answers checked queries, with the first pass if one is given; `filters` and `out` have one entry a query.
    pub(super) fn search(
        &self,
        level: Level,
        pass: Option<&FirstPass>,
        queries: &[&[f32]],
        k: usize,
        filters: &[&ItemFilter<'_>],
        out: &mut [TopK],
    ) {
        let n = self.n_items();
        let k = k.min(n);
        if k == 0 {
            out.iter_mut().for_each(TopK::clear);
            return;
        }
        let kept = match pass {
            Some(pass) => self.candidates(level, pass, queries, k, filters),
            None => vec![None; queries.len()],
        };
        let mut selector = Selector::new(k);
        let mut scores = Vec::new();
        let mut rest = Vec::new();
        for (q, kept) in kept.iter().enumerate() {
            let Some(items) = kept else {
                rest.push(q);
                continue;
            };
            scores.resize(items.len(), 0.0);
            self.score_at(level, queries[q], items, &mut scores);
            for (&item, &score) in items.iter().zip(&scores) {
                selector.push(Hit::new(item, score));
            }
            selector.finish_into(&mut out[q]);
        }
        if rest.is_empty() {
            return;
        }

        let mut tiles = vec![[0.0; QUERIES]; rest.len().div_ceil(QUERIES) * self.dim];
        for (at, &q) in rest.iter().enumerate() {
            let tile = &mut tiles[at / QUERIES * self.dim..][..self.dim];
            for (to, y) in tile.iter_mut().zip(queries[q]) {
                to[at % QUERIES] = *y;
            }
        }
        let filters: Vec<&ItemFilter<'_>> = rest.iter().map(|&q| filters[q]).collect();
        let mut selectors = vec![selector; rest.len()];
        level.run(Scan {
            rows: &self.rows,
            dim: self.dim,
            tiles: &tiles,
            filters: &filters,
            selectors: &mut selectors,
        });
        for (&q, mut selector) in rest.iter().zip(selectors) {
            selector.finish_into(&mut out[q]);
        }
    }

    /// For each query the items that may be among the best `k`, at most `n_items`, or `None` where that takes the f32 scan.
    pub(super) fn candidates(
        &self,
        level: Level,
        pass: &FirstPass,
        queries: &[&[f32]],
        k: usize,
        filters: &[&ItemFilter<'_>],
    ) -> Vec<Option<Vec<ItemId>>> {
        let n = self.n_items();
        let mut kept = vec![None; queries.len()];
        let (at, coded): (Vec<usize>, Vec<CodedQuery>) =
            queries.iter().enumerate().filter_map(|(q, query)| Some((q, CodedQuery::new(query)?))).unzip();
        let mut candidates: Vec<Candidates<'_>> = at.iter().map(|&q| Candidates::new(k, n, filters[q])).collect();
        level.run(Prune::new(pass, n, &coded, &mut candidates));
        for (q, candidates) in at.into_iter().zip(candidates) {
            kept[q] = candidates.finish();
        }
        kept
    }
}
