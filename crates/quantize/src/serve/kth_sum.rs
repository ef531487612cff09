//! The `k`-th largest byte sum of a query: of the items looked at so far, and estimated from a sample before any is.

use rectify_core::{ItemFilter, ItemId};

use crate::serve::byte_table::ByteTable;
use crate::serve::kernels::{self, Level, Visitor};
use crate::serve::layout::{BLOCK, BlockedCodes};

/// The `k`-th largest byte sum so far; `k` is at least 1 where anything is added.
pub(crate) struct KthSum {
    k: usize,
    /// Items by their byte sum.
    counts: Vec<u32>,
    /// The `k`-th largest sum, or 0 while there are fewer.
    pub(crate) floor: u16,
    /// Items with sums above it: fewer than `k`.
    above: usize,
}

impl KthSum {
    pub(crate) fn new(k: usize, largest: u16) -> Self {
        Self { k, counts: vec![0; usize::from(largest) + 1], floor: 0, above: 0 }
    }

    /// Whether there are `k` sums.
    pub(crate) fn is_full(&self) -> bool {
        self.floor > 0 || self.counts.iter().map(|n| *n as usize).sum::<usize>() >= self.k
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, sum: u16) {
        self.counts[usize::from(sum)] += 1;
        if sum > self.floor {
            self.above += 1;
            while self.above >= self.k {
                self.floor += 1;
                self.above -= self.counts[usize::from(self.floor)] as usize;
            }
        }
    }
}

/// Blocks side by side in a sample.
const RUN: usize = 8;
/// Items of a sample at most, and how many times as many there are at least.
const SAMPLED: usize = 1 << 14;
const SPARSE: usize = 16;

/// Looks at some blocks, far from each other, for the byte sums that a query's best `k` items will probably have at least: most items need
/// not be looked at twice then, though a limit that rises from nothing lets `k (1 + ln(n / k))` of them pass. Whoever uses a estimate
/// checks in the end that it was not too high. 0 where a estimate would not pay.
pub(crate) fn estimate_limits(
    level: Level,
    codes: &BlockedCodes,
    quick: &[ByteTable],
    filters: &[ItemFilter<'_>],
    k: usize,
) -> Vec<u16> {
    let whole = codes.whole();
    let n_runs = whole.len() / (RUN * BLOCK * codes.planes);
    let sampled = (n_runs / SPARSE).min(SAMPLED / (RUN * BLOCK));
    if sampled < 2 {
        return vec![0; quick.len()];
    }
    let expected = k as f64 * sampled as f64 / n_runs as f64;
    // Three standard deviations of a count, and some for small ones, so that a estimate is seldom too high.
    let rank = (expected + 3.0 * expected.sqrt() + 2.0).ceil() as usize;
    let kth = quick.iter().map(|quick| KthSum::new(rank, quick.largest)).collect();
    let mut sample = Sample { kth, filters };
    for s in 0..sampled {
        let run = s * n_runs / sampled;
        let blocks = &whole[run * RUN * BLOCK * codes.planes..][..RUN * BLOCK * codes.planes];
        kernels::scan(level, blocks, run * RUN * BLOCK, codes.planes, codes.four_bit, quick, &mut sample);
    }
    sample.kth.into_iter().map(|kth| kth.floor).collect()
}

struct Sample<'a> {
    kth: Vec<KthSum>,
    filters: &'a [ItemFilter<'a>],
}

impl Visitor for Sample<'_> {
    #[inline(always)]
    fn limit(&self, q: usize) -> u16 {
        self.kth[q].floor + 1
    }

    #[inline]
    fn visit<S: Copy + Into<u16>>(&mut self, q: usize, first: usize, mut passed: u64, sums: &[S; BLOCK]) {
        let filter = &self.filters[if self.filters.len() == 1 { 0 } else { q }];
        while passed != 0 {
            let lane = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            if filter.allows(ItemId((first + lane) as u32)) {
                self.kth[q].add(sums[lane].into());
            }
        }
    }
}
