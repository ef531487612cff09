//! One recommended item and the order of recommendations.

use std::cmp::Ordering;

use crate::ItemId;

/// An item with its score; higher scores are better.
///
/// The order is total and the same everywhere in the workspace: **score descending, then item id ascending**. A hit that
/// compares as `Less` comes first, so sorting ascending gives a list ready to show. `-0.0` and `0.0` are the same score.
///
/// Scores must not be NaN: [`Hit::new`] refuses them, since no order of theirs is right.
///
/// ```
/// use rectify_core::{Hit, ItemId};
///
/// let mut hits = vec![Hit::new(ItemId(7), 0.5), Hit::new(ItemId(3), 0.5), Hit::new(ItemId(9), 0.9)];
/// hits.sort();
/// assert_eq!(hits.iter().map(|h| h.item.0).collect::<Vec<_>>(), [9, 3, 7]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// The item.
    pub item: ItemId,
    /// Its score, never NaN.
    pub score: f32,
}

impl Hit {
    /// Pairs an item with its score.
    ///
    /// # Panics
    /// If `score` is NaN: a scorer that can produce NaN must check its input at the door.
    #[must_use]
    #[inline]
    pub fn new(item: ItemId, score: f32) -> Self {
        assert!(!score.is_nan(), "score of item {item} is NaN");
        Self { item, score }
    }
}

impl Ord for Hit {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        // `+ 0.0` turns -0.0 into 0.0, so that equal scores compare equal and the id decides.
        (other.score + 0.0).total_cmp(&(self.score + 0.0)).then(self.item.cmp(&other.item))
    }
}

impl PartialOrd for Hit {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Hit {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit() -> impl Strategy<Value = Hit> {
        let special = prop::sample::select(vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 4.0]);
        (0u32..4, prop_oneof![special, -2.0f32..2.0]).prop_map(|(item, score)| Hit::new(ItemId(item), score))
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_agrees_with_numbers(a in hit(), b in hit(), c in hit()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a == b, a.cmp(&b) == Ordering::Equal);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            if a.score > b.score {
                prop_assert!(a < b);
            }
            if a.score == b.score {
                prop_assert_eq!(a.cmp(&b), a.item.cmp(&b.item));
            }
        }
    }

    #[test]
    fn zeros_of_both_signs_tie_and_the_id_decides() {
        assert!(Hit::new(ItemId(1), -0.0) < Hit::new(ItemId(2), 0.0));
        assert!(Hit::new(ItemId(1), 0.0) < Hit::new(ItemId(2), -0.0));
        assert_eq!(Hit::new(ItemId(1), 0.0), Hit::new(ItemId(1), -0.0));
    }

    #[test]
    #[should_panic(expected = "score of item 3 is NaN")]
    fn a_nan_score_is_refused() {
        let _ = Hit::new(ItemId(3), f32::NAN);
    }
}
