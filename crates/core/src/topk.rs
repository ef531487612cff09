//! Selection of the best `k` out of many scores.

use crate::simd::{LANES, Level, Simd, Work, for_each_bit};
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
/// not depend on the order of the stream. A score of `-0.0` comes back as `0.0`, which is the same score.
#[derive(Clone, Debug)]
pub struct Selector {
    k: usize,
    threshold: f32,
    /// Hits as numbers whose ascending order is that of the hits.
    reservoir: Vec<u64>,
    /// Whether `threshold` is the score of the `k`-th best so far.
    full: bool,
}

impl Selector {
    /// A selector of the best `k`.
    #[must_use]
    pub fn new(k: usize) -> Self {
        let mut selector = Self { k: 0, threshold: 0.0, reservoir: Vec::new(), full: false };
        selector.reset(k);
        selector
    }

    /// Starts again, keeping the memory.
    pub fn reset(&mut self, k: usize) {
        self.k = k;
        self.threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        self.reservoir.clear();
        self.full = k == 0;
    }

    /// Scores below this one cannot enter; equal ones may, by their id.
    #[must_use]
    #[inline]
    pub fn threshold(&self) -> f32 {
        self.threshold
    }

    /// For a stream of ascending ids: scores that are not above this one cannot enter. NaN, which everything is "not
    /// below or equal to", while there are not yet `k` hits.
    #[inline]
    pub(crate) fn bar(&self) -> f32 {
        if self.full { self.threshold } else { f32::NAN }
    }

    /// Offers a hit.
    #[inline]
    pub fn push(&mut self, hit: Hit) {
        if self.k > 0 && hit.score >= self.threshold {
            self.reservoir.push(key(hit));
            // The threshold is worth having as soon as there is one; from then on compaction pays only now and then.
            let room = if self.full { self.k.saturating_mul(2).max(64) } else { self.k };
            if self.reservoir.len() >= room {
                self.compact();
            }
        }
    }

    /// Cuts the reservoir to the best `k` and raises the threshold.
    pub fn compact(&mut self) {
        if self.k > 0 && self.reservoir.len() >= self.k {
            let (_, worst, _) = self.reservoir.select_nth_unstable(self.k - 1);
            self.threshold = hit(*worst).score;
            self.reservoir.truncate(self.k);
            self.full = true;
        }
    }

    /// Writes the best `k`, best first, and empties the selector.
    pub fn finish_into(&mut self, out: &mut TopK) {
        self.compact();
        self.reservoir.sort_unstable();
        out.hits.clear();
        out.hits.extend(self.reservoir.iter().map(|&key| hit(key)));
        self.reset(self.k);
    }
}

/// A hit as a number: smaller is better. The bits of a float order like an integer once negative ones are reversed.
#[inline]
fn key(hit: Hit) -> u64 {
    // `+ 0.0` turns -0.0 into 0.0.
    let bits = (hit.score + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(!ascending) << 32 | u64::from(hit.item.0)
}

/// The hit of a [`key`].
#[inline]
fn hit(key: u64) -> Hit {
    let ascending = !((key >> 32) as u32);
    let bits = if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending };
    Hit { item: ItemId(key as u32), score: f32::from_bits(bits) }
}

/// Selects the best `k` items of a full score vector: `scores[i]` is item `i`'s.
///
/// # Errors
/// [`QueryError::NotFinite`] if a score is NaN, whatever `k` and `filter`; infinities are scores like any other.
pub fn select_top_k(scores: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
    select_top_k_at(Level::best(), scores, k, filter, out)
}

fn select_top_k_at(
    level: Level,
    scores: &[f32],
    k: usize,
    filter: &ItemFilter<'_>,
    out: &mut TopK,
) -> Result<(), QueryError> {
    let mut selector = Selector::new(k);
    level.run(Select { scores, filter, selector: &mut selector })?;
    selector.finish_into(out);
    Ok(())
}

/// The scan of a score vector.
struct Select<'a> {
    scores: &'a [f32],
    filter: &'a ItemFilter<'a>,
    selector: &'a mut Selector,
}

impl Work for Select<'_> {
    type Out = Result<(), QueryError>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        const STEP: usize = 4;
        let (vectors, rest) = self.scores.as_chunks::<LANES>();
        let mut bar = s.splat(self.selector.bar());
        let (steps, single) = vectors.as_chunks::<STEP>();
        for (at, step) in steps.iter().enumerate() {
            let mut masks = [0; STEP];
            for i in 0..STEP {
                masks[i] = s.not_le(s.load(&step[i]), bar);
            }
            if masks != [0; STEP] {
                for i in 0..STEP {
                    self.selector.offer((at * STEP + i) * LANES, &step[i], masks[i], self.filter)?;
                }
                bar = s.splat(self.selector.bar());
            }
        }
        for (i, vector) in single.iter().enumerate() {
            self.selector.offer((steps.len() * STEP + i) * LANES, vector, u16::MAX, self.filter)?;
        }
        let mut last = [0.0; LANES];
        last[..rest.len()].copy_from_slice(rest);
        self.selector.offer(vectors.len() * LANES, &last, (1 << rest.len()) - 1, self.filter)
    }
}

impl Selector {
    /// Offers those lanes of `scores` whose bit is set; lane `i` is item `first + i`.
    ///
    /// # Errors
    /// [`QueryError::NotFinite`] for NaN, at its item.
    pub(crate) fn offer(
        &mut self,
        first: usize,
        scores: &[f32; LANES],
        mask: u16,
        filter: &ItemFilter<'_>,
    ) -> Result<(), QueryError> {
        let mut nan = None;
        for_each_bit(mask, |lane| {
            let (score, item) = (scores[lane], ItemId((first + lane) as u32));
            if score.is_nan() {
                nan = nan.or(Some((first + lane, score)));
            } else if score >= self.threshold && filter.allows(item) {
                self.push(Hit { item, score });
            }
        });
        match nan {
            Some((position, value)) => Err(QueryError::NotFinite { position, value }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(scores: &[f32], k: usize, filter: &ItemFilter<'_>) -> Vec<(u32, u32)> {
        let mut hits: Vec<Hit> = scores.iter().enumerate().map(|(i, &s)| Hit::new(ItemId(i as u32), s)).collect();
        hits.retain(|hit| filter.allows(hit.item));
        hits.sort();
        hits.truncate(k);
        as_bits(&hits)
    }

    fn as_bits(hits: &[Hit]) -> Vec<(u32, u32)> {
        hits.iter().map(|hit| (hit.item.0, (hit.score + 0.0).to_bits())).collect()
    }

    /// Few distinct values, so that ties, zeros of both signs and infinities are common.
    fn scores() -> impl Strategy<Value = Vec<f32>> {
        let tied = prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MIN_POSITIVE / 2.0,
            f32::MAX,
            f32::MIN,
        ]);
        prop::collection::vec(prop_oneof![3 => tied, 2 => -2.0f32..2.0], 0..400)
    }

    proptest! {
        #[test]
        fn selection_equals_sorting_at_every_level(scores in scores(), k in 0usize..60, seen in prop::collection::btree_set(0u32..400, 0..50)) {
            let seen: Vec<ItemId> = seen.into_iter().map(ItemId).collect();
            for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                for k in [k, scores.len(), scores.len() + 1] {
                    for level in Level::available() {
                        let mut top = TopK::new();
                        select_top_k_at(level, &scores, k, &filter, &mut top).unwrap();
                        prop_assert_eq!(as_bits(top.hits()), naive(&scores, k, &filter));
                    }
                }
            }
        }

        #[test]
        fn the_order_of_a_stream_does_not_matter(scores in scores(), k in 0usize..60, seed in any::<u64>()) {
            let mut hits: Vec<Hit> = scores.iter().enumerate().map(|(i, &s)| Hit::new(ItemId(i as u32), s)).collect();
            crate::rng::Seed(seed).rng().shuffle(&mut hits);
            let mut top = TopK::new();
            top.assign(k, hits);
            prop_assert_eq!(as_bits(top.hits()), naive(&scores, k, &ItemFilter::all()));
        }

        #[test]
        fn a_nan_is_refused_wherever_it_stands(len in 1usize..200, at in any::<prop::sample::Index>(), k in 0usize..10) {
            let at = at.index(len);
            let mut scores = vec![1.0f32; len];
            scores[at] = f32::NAN;
            let all: bitvec::vec::BitVec<u64> = bitvec::vec::BitVec::repeat(true, len);
            for level in Level::available() {
                for filter in [ItemFilter::all(), ItemFilter::all().and_deny(&all)] {
                    let refused = select_top_k_at(level, &scores, k, &filter, &mut TopK::new());
                    let found = matches!(refused, Err(QueryError::NotFinite { position, .. }) if position == at);
                    prop_assert!(found, "{:?}: {:?}", level, refused);
                }
            }
        }
    }

    #[test]
    fn a_reused_selector_remembers_nothing() {
        let mut selector = Selector::new(1);
        let mut top = TopK::new();
        selector.push(Hit::new(ItemId(1), 9.0));
        selector.finish_into(&mut top);
        selector.push(Hit::new(ItemId(2), 1.0));
        selector.finish_into(&mut top);
        assert_eq!(top.hits(), [Hit::new(ItemId(2), 1.0)]);
        selector.reset(0);
        selector.push(Hit::new(ItemId(3), 1.0));
        selector.finish_into(&mut top);
        assert_eq!(top.hits(), []);
    }

    #[test]
    fn a_selector_larger_than_memory_costs_only_what_it_holds() {
        let mut top = TopK::new();
        top.assign(usize::MAX, [Hit::new(ItemId(4), 1.0), Hit::new(ItemId(2), 1.0)]);
        assert_eq!(top.items().collect::<Vec<_>>(), [ItemId(2), ItemId(4)]);
    }
}
