//! Any scorer as a retriever: score everything, keep the best.

use crate::{Catalogue, ItemFilter, QueryError, Retriever, Scorer, TopK, select_top_k};

/// Retrieves by scoring every item: exact, and as slow as the scorer.
///
/// ```
/// # use rectify_core::{Catalogue, Exhaustive, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK};
/// # struct Constant;
/// # impl Catalogue for Constant {
/// #     fn n_items(&self) -> usize { 3 }
/// # }
/// # impl Scorer for Constant {
/// #     type Query = f32;
/// #     fn score_into(&self, q: &f32, _: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> { out.fill(*q); Ok(()) }
/// #     fn score_all_into(&self, q: &f32, out: &mut [f32]) -> Result<(), QueryError> { out.fill(*q); Ok(()) }
/// # }
/// let retriever = Exhaustive::new(Constant);
/// let mut top = TopK::new();
/// retriever.top_k(&0.5, 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.items().collect::<Vec<_>>(), [ItemId(0), ItemId(1)]);
/// # Ok::<(), QueryError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Exhaustive<S> {
    scorer: S,
}

impl<S: Scorer> Exhaustive<S> {
    /// Wraps a scorer.
    #[must_use]
    pub const fn new(scorer: S) -> Self {
        Self { scorer }
    }

    /// The scorer inside.
    #[must_use]
    pub const fn scorer(&self) -> &S {
        &self.scorer
    }
}

impl<S: Scorer> Catalogue for Exhaustive<S> {
    fn n_items(&self) -> usize {
        self.scorer.n_items()
    }
}

impl<S: Scorer> Retriever for Exhaustive<S> {
    type Query = S::Query;

    fn top_k(&self, query: &S::Query, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        let mut scores = vec![0.0; self.n_items()];
        self.scorer.score_all_into(query, &mut scores)?;
        select_top_k(&scores, k, filter, out)
    }
}

impl<C: Catalogue + ?Sized> Catalogue for &C {
    fn n_items(&self) -> usize {
        (**self).n_items()
    }
}

/// A scorer behind a reference is a scorer, so that [`Exhaustive`] and other combinators can borrow one.
impl<S: Scorer + ?Sized> Scorer for &S {
    type Query = S::Query;

    fn score_into(&self, query: &Self::Query, items: &[crate::ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        (**self).score_into(query, items, out)
    }

    fn score_all_into(&self, query: &Self::Query, out: &mut [f32]) -> Result<(), QueryError> {
        (**self).score_all_into(query, out)
    }
}

/// A retriever behind a reference is a retriever, so that combinators can borrow one.
impl<R: Retriever + ?Sized> Retriever for &R {
    type Query = R::Query;

    fn top_k(&self, query: &Self::Query, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        (**self).top_k(query, k, filter, out)
    }

    fn top_k_batch(
        &self,
        queries: &[&Self::Query],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        (**self).top_k_batch(queries, k, filters, out)
    }
}
