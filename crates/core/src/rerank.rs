//! Two stages: a fast retriever proposes, an exact scorer decides.

use rayon::prelude::*;

use crate::{
    Catalogue, Hit, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, all_or_none, check_batch, check_len,
};

/// A retriever whose best `depth` items are scored again by a scorer, of which the best `k` are kept.
///
/// Both answer the same kind of query; wrap references to keep the parts. Asked for more than `depth` items it takes as
/// many candidates as were asked, so a list is never shorter than the retriever's. With `depth` at least the number of
/// items, over a retriever that returns all it is asked for, the answer is the scorer's exact top `k`.
///
/// ```
/// use rectify_core::{ExactConfig, ExactIndex, ItemFilter, Rerank, Retriever, TopK};
///
/// let coarse = ExactIndex::build(vec![1.0, 1.0, 0.0, 0.0], 1, &ExactConfig::default())?;
/// let fine = ExactIndex::build(vec![0.1, 0.2, 0.9, 0.3], 1, &ExactConfig::default())?;
/// let mut top = TopK::new();
/// Rerank::new(&coarse, &fine, 2)?.top_k(&[1.0], 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.hits()[0].item.0, 1); // item 2 is better, but was not proposed
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rerank<R, S> {
    retriever: R,
    scorer: S,
    depth: usize,
}

impl<R, S> Rerank<R, S>
where
    R: Retriever,
    S: Scorer<Query = R::Query>,
{
    /// Combines the two; `depth` is the number of candidates re-scored for a query.
    ///
    /// # Errors
    /// [`QueryError::Length`] if they know different numbers of items.
    pub fn new(retriever: R, scorer: S, depth: usize) -> Result<Self, QueryError> {
        check_len("the scorer's catalogue", retriever.n_items(), scorer.n_items())?;
        Ok(Self { retriever, scorer, depth })
    }

    /// Replaces the candidates in `top` by the best `k` of them, by the scorer.
    fn rescore(&self, query: &R::Query, k: usize, top: &mut TopK, scratch: &mut Scratch) -> Result<(), QueryError> {
        scratch.items.clear();
        scratch.items.extend(top.items());
        scratch.scores.clear();
        scratch.scores.resize(scratch.items.len(), 0.0);
        self.scorer.score_into(query, &scratch.items, &mut scratch.scores)?;
        if let Some(position) = scratch.scores.iter().position(|score| score.is_nan()) {
            return Err(QueryError::NotFinite { position: scratch.items[position].index(), value: f32::NAN });
        }
        top.assign(k, scratch.items.iter().zip(&scratch.scores).map(|(&item, &score)| Hit::new(item, score)));
        Ok(())
    }
}

/// Candidates of one query and their scores.
#[derive(Default)]
struct Scratch {
    items: Vec<ItemId>,
    scores: Vec<f32>,
}

impl<R: Catalogue, S: Send + Sync> Catalogue for Rerank<R, S> {
    fn n_items(&self) -> usize {
        self.retriever.n_items()
    }
}

impl<R, S> Retriever for Rerank<R, S>
where
    R: Retriever,
    S: Scorer<Query = R::Query>,
{
    type Query = R::Query;

    fn top_k(&self, query: &Self::Query, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.retriever.top_k(query, self.depth.max(k), filter, out)?;
        let rescored = self.rescore(query, k, out, &mut Scratch::default());
        if rescored.is_err() {
            out.clear();
        }
        rescored
    }

    fn top_k_batch(
        &self,
        queries: &[&Self::Query],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out)?;
        self.retriever.top_k_batch(queries, self.depth.max(k), filters, out)?;
        let results: Vec<Result<(), QueryError>> = queries
            .par_iter()
            .zip(out.par_iter_mut())
            .map_init(Scratch::default, |scratch, (query, top)| self.rescore(query, k, top, scratch))
            .collect();
        all_or_none(results, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use crate::{ExactConfig, ExactIndex, testing};

    fn index(seed: u64, n_items: usize) -> ExactIndex {
        let mut rng = Seed(seed).rng();
        let rows: Vec<f32> = (0..n_items * 8).map(|_| rng.normal() as f32).collect();
        ExactIndex::build(rows, 8, &ExactConfig::default()).unwrap()
    }

    fn queries() -> Vec<Vec<f32>> {
        let mut rng = Seed(9).rng();
        (0..5).map(|_| (0..8).map(|_| rng.normal() as f32).collect()).collect()
    }

    #[test]
    fn a_depth_of_the_whole_catalogue_gives_the_scorers_exact_top_k() {
        let (coarse, fine) = (index(1, 300), index(2, 300));
        let queries = queries();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        for depth in [300, usize::MAX] {
            let rerank = Rerank::new(&coarse, &fine, depth).unwrap();
            testing::retriever(&rerank, &queries, &testing::Oracle::scorer(&fine));
        }
    }

    #[test]
    fn the_own_scorer_changes_nothing_at_any_depth() {
        let index = index(1, 200);
        let queries = queries();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        for depth in [0, 1, 50] {
            let rerank = Rerank::new(&index, &index, depth).unwrap();
            testing::retriever(&rerank, &queries, &testing::Oracle::scorer(&index));
        }
    }

    #[test]
    fn a_small_depth_keeps_the_best_of_the_candidates_only() {
        let (coarse, fine) = (index(1, 300), index(2, 300));
        let rerank = Rerank::new(&coarse, &fine, 20).unwrap();
        let (mut proposed, mut got) = (TopK::new(), TopK::new());
        for query in queries() {
            coarse.top_k(&query, 20, &ItemFilter::all(), &mut proposed).unwrap();
            rerank.top_k(&query, 5, &ItemFilter::all(), &mut got).unwrap();
            let mut scores = vec![0.0; 300];
            fine.score_all_into(&query, &mut scores).unwrap();
            let mut expected: Vec<Hit> = proposed.items().map(|item| Hit::new(item, scores[item.index()])).collect();
            expected.sort();
            assert_eq!(got.hits(), &expected[..5]);
        }
    }

    #[test]
    fn a_score_that_is_nan_is_refused_by_item_and_not_sorted_in() {
        struct Nan;
        impl Catalogue for Nan {
            fn n_items(&self) -> usize {
                30
            }
        }
        impl Scorer for Nan {
            type Query = [f32];

            fn score_into(&self, _: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
                out.iter_mut().zip(items).for_each(|(score, item)| *score = if item.0 == 17 { f32::NAN } else { 1.0 });
                Ok(())
            }

            fn score_all_into(&self, query: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
                self.score_into(query, &(0..30).map(ItemId).collect::<Vec<_>>(), out)
            }
        }
        let rerank = Rerank::new(index(1, 30), Nan, 30).unwrap();
        let refused = rerank.top_k(&[0.0; 8], 5, &ItemFilter::all(), &mut TopK::new());
        assert!(matches!(refused, Err(QueryError::NotFinite { position: 17, .. })), "{refused:?}");
    }

    #[test]
    fn bad_queries_and_other_catalogues_are_refused() {
        let (coarse, fine) = (index(1, 30), index(2, 30));
        let rerank = Rerank::new(&coarse, &fine, 20).unwrap();
        testing::retriever_refuses(&rerank, &[0.0; 8][..], &[0.0; 7][..]);
        let refused = Rerank::new(&coarse, &index(2, 31), 20).err();
        assert_eq!(refused, Some(QueryError::Length { what: "the scorer's catalogue", expected: 30, got: 31 }));
    }
}
