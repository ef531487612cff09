//! Which items a query may be answered with.

use bitvec::slice::BitSlice;

use crate::{ItemId, QueryError};

/// A borrowed bit set over items: bit `i` speaks of item `i`.
pub type ItemBits = BitSlice<u64>;

/// Items that a query may return.
///
/// Three restrictions, each optional, all of which must hold: not in `seen` (the few items a user already has: a
/// sorted list), in `allow` (a campaign, a category: one bit an item), not in `deny` (out of stock: one bit an item).
///
/// ```
/// use rectify_core::{ItemFilter, ItemId};
///
/// let seen = [ItemId(2), ItemId(5)];
/// let filter = ItemFilter::seen(&seen)?;
/// assert!(filter.allows(ItemId(3)));
/// assert!(!filter.allows(ItemId(5)));
/// # Ok::<(), rectify_core::QueryError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ItemFilter<'a> {
    seen: &'a [ItemId],
    allow: Option<&'a ItemBits>,
    deny: Option<&'a ItemBits>,
}

impl<'a> ItemFilter<'a> {
    /// Lets every item through.
    #[must_use]
    pub const fn all() -> Self {
        Self { seen: &[], allow: None, deny: None }
    }

    /// Rejects the items of `seen`.
    ///
    /// # Errors
    /// [`QueryError::UnsortedSeen`] unless ids strictly ascend.
    pub fn seen(seen: &'a [ItemId]) -> Result<Self, QueryError> {
        Self::all().and_seen(seen)
    }

    /// Also rejects the items of `seen`, replacing an earlier list.
    ///
    /// # Errors
    /// [`QueryError::UnsortedSeen`] unless ids strictly ascend.
    pub fn and_seen(mut self, seen: &'a [ItemId]) -> Result<Self, QueryError> {
        if let Some(at) = seen.windows(2).position(|w| w[0] >= w[1]) {
            return Err(QueryError::UnsortedSeen { position: at + 1 });
        }
        self.seen = seen;
        Ok(self)
    }

    /// Also rejects items whose bit in `allow` is 0; items beyond its end are rejected.
    #[must_use]
    pub const fn and_allow(mut self, allow: &'a ItemBits) -> Self {
        self.allow = Some(allow);
        self
    }

    /// Also rejects items whose bit in `deny` is 1; items beyond its end are let through.
    #[must_use]
    pub const fn and_deny(mut self, deny: &'a ItemBits) -> Self {
        self.deny = Some(deny);
        self
    }

    /// Whether `item` may be returned.
    #[must_use]
    #[inline]
    pub fn allows(&self, item: ItemId) -> bool {
        self.allow.is_none_or(|bits| bits.get(item.index()).is_some_and(|bit| *bit))
            && !self.deny.is_some_and(|bits| bits.get(item.index()).is_some_and(|bit| *bit))
            && self.seen.binary_search(&item).is_err()
    }

    /// Whether every item passes.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.seen.is_empty() && self.allow.is_none() && self.deny.is_none()
    }

    /// Sets the bit of each rejected item: bit `i % 32` of word `i / 32` speaks of item `i`, for the first `32 · words.len()` items.
    pub fn mark_rejected(&self, words: &mut [u32]) {
        let n = 32 * words.len();
        let mut mark = |at: usize| words[at / 32] |= 1 << (at % 32);
        self.seen.iter().map(|item| item.index()).take_while(|at| *at < n).for_each(&mut mark);
        if self.allow.is_some() || self.deny.is_some() {
            (0..n).filter(|at| !self.allows(ItemId(*at as u32))).for_each(mark);
        }
    }

    /// The items rejected by list, ascending.
    #[must_use]
    pub const fn seen_items(&self) -> &'a [ItemId] {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use bitvec::prelude::*;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_item_passes_if_all_three_restrictions_let_it(
            seen in prop::collection::btree_set(0u32..40, 0..20),
            allow in prop::option::of(prop::collection::vec(any::<bool>(), 0..40)),
            deny in prop::option::of(prop::collection::vec(any::<bool>(), 0..40)),
        ) {
            let ids: Vec<ItemId> = seen.iter().copied().map(ItemId).collect();
            let allow_bits = allow.clone().map(|bits| bits.into_iter().collect::<BitVec<u64>>());
            let deny_bits = deny.clone().map(|bits| bits.into_iter().collect::<BitVec<u64>>());
            let mut filter = ItemFilter::seen(&ids).unwrap();
            if let Some(bits) = &allow_bits {
                filter = filter.and_allow(bits);
            }
            if let Some(bits) = &deny_bits {
                filter = filter.and_deny(bits);
            }
            prop_assert_eq!(filter.is_all(), seen.is_empty() && allow.is_none() && deny.is_none());
            prop_assert_eq!(filter.seen_items(), &ids[..]);
            let mut marked = [0u32; 2];
            filter.mark_rejected(&mut marked);
            for i in 0..50u32 {
                let at = i as usize;
                let allowed = allow.as_ref().is_none_or(|bits| bits.get(at) == Some(&true));
                let denied = deny.as_ref().is_some_and(|bits| bits.get(at) == Some(&true));
                prop_assert_eq!(filter.allows(ItemId(i)), !seen.contains(&i) && allowed && !denied, "item {}", i);
                prop_assert_eq!(filter.allows(ItemId(i)), marked[at / 32] >> (at % 32) & 1 == 0, "item {}", i);
            }
        }
    }

    #[test]
    fn seen_items_that_do_not_strictly_ascend_are_refused_at_the_first_fault() {
        let refused = |ids: &[u32]| ItemFilter::seen(crate::from_u32s(ids)).err();
        assert_eq!(refused(&[1, 3, 3]), Some(QueryError::UnsortedSeen { position: 2 }));
        assert_eq!(refused(&[5, 1, 0]), Some(QueryError::UnsortedSeen { position: 1 }));
        assert_eq!(refused(&[]), None);
    }
}
