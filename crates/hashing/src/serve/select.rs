//! The best `k` of a stream of small integer distances.

/// Keeps the `k` nearest of codes offered in ascending id order.
///
/// Since a later code has a higher id, it can only enter with a distance strictly below that of the `k`-th so far: `limit`.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    k: usize,
    limit: u32,
    /// Accepted codes by distance.
    counts: Vec<usize>,
    /// Accepted codes with a distance below `limit`.
    below: usize,
    kept: Vec<(u32, u32)>,
}

impl Selection {
    /// A selection of the best `k` among distances `0..=code_bits`.
    pub(super) fn new(k: usize, code_bits: usize) -> Self {
        let limit = if k == 0 { 0 } else { code_bits as u32 + 1 };
        Self { k, limit, counts: vec![0; code_bits + 1], below: 0, kept: Vec::new() }
    }

    /// Only distances below this can enter.
    #[inline(always)]
    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    /// Accepts a code whose distance is below [`limit`](Self::limit).
    #[inline]
    pub(super) fn push(&mut self, distance: u32, item: u32) {
        debug_assert!(distance < self.limit);
        self.kept.push((distance, item));
        self.counts[distance as usize] += 1;
        self.below += 1;
        while self.below >= self.k {
            self.limit -= 1;
            self.below -= self.counts[self.limit as usize];
        }
        // A falling stream of distances would otherwise keep everything.
        if self.kept.len() > 4096 && self.kept.len() > 4 * self.k {
            let limit = self.limit;
            self.kept.retain(|&(distance, _)| distance <= limit);
        }
    }

    /// The accepted `(distance, item)` that can be among the best `k`: a few more than `k`, unordered.
    pub(super) fn finish(mut self) -> Vec<(u32, u32)> {
        self.kept.retain(|&(distance, _)| distance <= self.limit);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn selection_equals_sorting(distances in prop::collection::vec(0u32..9, 0..300), k in 0usize..40) {
            let mut selection = Selection::new(k, 8);
            for (item, &distance) in distances.iter().enumerate() {
                if distance < selection.limit() {
                    selection.push(distance, item as u32);
                }
            }
            let mut kept = selection.finish();
            kept.sort_unstable();
            kept.truncate(k);
            let mut all: Vec<_> = distances.iter().copied().zip(0u32..).collect();
            all.sort_unstable();
            all.truncate(k);
            prop_assert_eq!(kept, all);
        }
    }
}
