//! A vector per user, codes per item in lists.

use rectify_core::{ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId};

use crate::{CodedFactors, CodesError, InvertedIndex};

/// [`CodedFactors`] whose items stand in lists too, of which a query visits some: searched by [`InvertedIndex`], scored as before.
///
/// Made from factors whenever they are served; nothing of it is saved. It holds the codes twice.
///
/// ```
/// use rectify_core::{ItemFilter, Retriever, TopK, UserId};
/// use rectify_quantize::{CodeIndex, CodeShape, CodedFactors, Composition, InvertedFactors};
///
/// let shape = CodeShape { embedding_dim: 2, n_codebooks: 1, n_codewords: 2, composition: Composition::Sum };
/// let items = CodeIndex::from_codes(shape, &[1., 0., 0., 1.], &[0, 1])?;
/// let lists = InvertedFactors::new(CodedFactors::new(vec![2., -1., -1., 3.], items)?, 1)?;
/// let mut top = TopK::new();
/// lists.top_k(&UserId(1), 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits().len(), top.hits()[0].item.0), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct InvertedFactors {
    factors: CodedFactors,
    items: InvertedIndex,
}

impl InvertedFactors {
    /// Puts the items into lists, of which a query visits `n_probes` at most.
    ///
    /// # Errors
    /// [`CodesError::Zero`] for no probes.
    pub fn new(factors: CodedFactors, n_probes: usize) -> Result<Self, CodesError> {
        Ok(Self { items: InvertedIndex::new(factors.items(), n_probes)?, factors })
    }

    /// The items in lists.
    #[must_use]
    pub const fn items(&self) -> &InvertedIndex {
        &self.items
    }
}

impl Scorer for InvertedFactors {
    type Query = UserId;

    fn n_items(&self) -> usize {
        Scorer::n_items(&self.factors)
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.factors.score_into(user, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.factors.score_all_into(user, out)
    }
}

impl Retriever for InvertedFactors {
    type Query = UserId;

    fn n_items(&self) -> usize {
        Retriever::n_items(&self.items)
    }

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.items.top_k(self.factors.user(*user)?, k, filter, out)
    }
}
