//! What a list may hold, in the user's own ids.

use bitvec::vec::BitVec;
use rectify_core::{ItemFilter, ItemId};

use crate::{RecommendError, Recommender};

/// Which items a list may hold. Made once by [`Recommender::filter`], used for many lists; the index looks at it while it
/// searches, so a list is as long as was asked whenever as many items pass.
#[derive(Clone, Debug)]
pub struct Filter<'a> {
    model: &'a Recommender,
    allow: Option<BitVec<u64>>,
    deny: Option<BitVec<u64>>,
    include_seen: bool,
}

impl<'a> Filter<'a> {
    pub(crate) const fn new(model: &'a Recommender) -> Self {
        Self { model, allow: None, deny: None, include_seen: false }
    }

    /// Only these items (and those of other calls of `allow`).
    ///
    /// # Errors
    /// [`RecommendError::UnknownItem`].
    pub fn allow<S: AsRef<str>>(mut self, items: impl IntoIterator<Item = S>) -> Result<Self, RecommendError> {
        let mut bits = self.allow.take().unwrap_or_else(|| self.none());
        for id in items {
            bits.set(self.model.items().item(id.as_ref())?.index(), true);
        }
        self.allow = Some(bits);
        Ok(self)
    }

    /// None of these items.
    ///
    /// # Errors
    /// [`RecommendError::UnknownItem`].
    pub fn deny<S: AsRef<str>>(mut self, items: impl IntoIterator<Item = S>) -> Result<Self, RecommendError> {
        let mut bits = self.deny.take().unwrap_or_else(|| self.none());
        for id in items {
            bits.set(self.model.items().item(id.as_ref())?.index(), true);
        }
        self.deny = Some(bits);
        Ok(self)
    }

    /// Only items of this category; with an earlier [`allow`](Self::allow) or category, those that are in both.
    ///
    /// # Errors
    /// [`RecommendError::UnknownCategory`], with the nearest name.
    pub fn category(mut self, name: &str) -> Result<Self, RecommendError> {
        let mut bits = self.none();
        self.model.items().of_category(name)?.for_each(|item| bits.set(item.index(), true));
        self.allow = Some(match self.allow.take() {
            Some(earlier) => earlier & bits,
            None => bits,
        });
        Ok(self)
    }

    /// Items that the person has already, too: for what is bought again and again.
    #[must_use]
    pub const fn include_seen(mut self) -> Self {
        self.include_seen = true;
        self
    }

    fn none(&self) -> BitVec<u64> {
        BitVec::repeat(false, self.model.items().len())
    }

    /// As the index takes it; `seen` ascends.
    pub(crate) fn of<'s>(&'s self, seen: &'s [ItemId]) -> Result<ItemFilter<'s>, RecommendError> {
        let mut filter = ItemFilter::all();
        if let Some(allow) = &self.allow {
            filter = filter.and_allow(allow);
        }
        if let Some(deny) = &self.deny {
            filter = filter.and_deny(deny);
        }
        Ok(if self.include_seen { filter } else { filter.and_seen(seen)? })
    }
}
