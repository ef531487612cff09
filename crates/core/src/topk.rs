//! Selection of the best `k` out of many scores.

use crate::{Hit, ItemFilter, ItemId, QueryError};

/// An answer: hits, best first. Reused between queries, it allocates once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopK {
    hits: Vec<Hit>,
}

impl TopK {
    /// An empty answer.
    #[must_use]
    pub const fn new() -> Self {
        Self { hits: Vec::new() }
    }

    /// The hits, best first.
    #[must_use]
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// The items, best first.
    pub fn items(&self) -> impl ExactSizeIterator<Item = ItemId> + '_ {
        self.hits.iter().map(|hit| hit.item)
    }

    /// Forgets the hits and keeps the memory.
    pub fn clear(&mut self) {
        self.hits.clear();
    }

    /// Replaces the answer by the best `k` of `hits`, which may come in any order.
    pub fn assign(&mut self, k: usize, hits: impl IntoIterator<Item = Hit>) {
        let mut selector = Selector::new(k);
        for hit in hits {
            selector.push(hit);
        }
        selector.finish_into(self);
    }
}

/// Keeps the best `k` hits of a stream.
///
/// Hits above a threshold are appended to a reservoir of `2k`; when it is full the best `k` stay and the threshold rises
/// to the worst of them. A caller's hot loop is then one comparison with [`threshold`](Self::threshold). The result does
/// not depend on the order of the stream.
#[derive(Clone, Debug)]
pub struct Selector {
    k: usize,
    threshold: f32,
    reservoir: Vec<Hit>,
}

impl Selector {
    /// A selector of the best `k`.
    #[must_use]
    pub fn new(k: usize) -> Self {
        let mut selector = Self { k: 0, threshold: 0.0, reservoir: Vec::new() };
        selector.reset(k);
        selector
    }

    /// Starts again, keeping the memory.
    pub fn reset(&mut self, k: usize) {
        self.k = k;
        self.threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        self.reservoir.clear();
    }

    /// Scores below this one cannot enter; equal ones may, by their id.
    #[must_use]
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Offers a hit.
    #[inline]
    pub fn push(&mut self, hit: Hit) {
        if self.k > 0 && hit.score >= self.threshold {
            self.reservoir.push(hit);
            if self.reservoir.len() >= self.k.saturating_mul(2).max(64) {
                self.compact();
            }
        }
    }

    /// Cuts the reservoir to the best `k` and raises the threshold.
    pub fn compact(&mut self) {
        if self.reservoir.len() > self.k {
            self.reservoir.select_nth_unstable(self.k - 1);
            self.reservoir.truncate(self.k);
        }
        if self.reservoir.len() == self.k
            && let Some(worst) = self.reservoir.iter().max()
        {
            self.threshold = worst.score;
        }
    }

    /// Writes the best `k`, best first, and empties the selector.
    pub fn finish_into(&mut self, out: &mut TopK) {
        if self.k > 0 && self.reservoir.len() > self.k {
            self.compact();
        }
        self.reservoir.sort_unstable();
        out.hits.clear();
        out.hits.extend_from_slice(&self.reservoir);
        self.reservoir.clear();
    }
}

/// Selects the best `k` items of a full score vector: `scores[i]` is item `i`'s.
///
/// # Errors
/// [`QueryError::NotFinite`] if a score that could enter the list is NaN; infinities are scores like any other.
pub fn select_top_k(scores: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
    let mut selector = Selector::new(k);
    for (i, &score) in scores.iter().enumerate() {
        if score.is_nan() {
            return Err(QueryError::NotFinite { position: i, value: score });
        }
        if score >= selector.threshold() {
            let item = ItemId(i as u32);
            if filter.allows(item) {
                selector.push(Hit::new(item, score));
            }
        }
    }
    selector.finish_into(out);
    Ok(())
}
