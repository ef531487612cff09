//! The scan behind every search: bytes decide who may enter the list, the f32 table decides who does.

use std::ops::Range;

use rectify_core::simd::prefetch;
use rectify_core::{Hit, ItemFilter, ItemId, Selector, TopK};

use crate::CodeIndex;
use crate::serve::byte_table::ByteTable;
use crate::serve::kernels::{self, Level, Visitor};
use crate::serve::kth_sum::{self, KthSum};
use crate::serve::layout::{BLOCK, BlockedCodes};

/// What is queries: the f32 table of each query, and the same in bytes.
pub(crate) struct Queries<'a> {
    tables: &'a [Vec<f32>],
    quick: Vec<ByteTable>,
    /// One for each query, or one for all.
    filters: &'a [ItemFilter<'a>],
}

impl<'a> Queries<'a> {
    pub(crate) fn new(index: &CodeIndex, tables: &'a [Vec<f32>], filters: &'a [ItemFilter<'a>]) -> Self {
        Self { tables, quick: tables.iter().map(|table| ByteTable::new(index.shape(), table)).collect(), filters }
    }
}

/// Queries on their way through the codes.
pub(crate) struct Search<'a> {
    index: &'a CodeIndex,
    queries: &'a Queries<'a>,
    states: Vec<State>,
    /// The item at each position, if they are not in their order.
    ids: Option<&'a [u32]>,
    /// Positions that count in the running scan.
    range: Range<usize>,
    /// Their code in the first codebook, if it is the same for all and has a plane of its own.
    first_code: Option<u8>,
    /// Room for positions that are looked at one by one.
    few: Vec<u32>,
}

/// One query on its way.
struct State {
    /// The best by their scores, of those that were scored.
    selector: Selector,
    /// Byte sums of all items that could have entered.
    kth: KthSum,
    /// Items that may enter and are not scored yet: position and byte sum. Most leave as the limit rises, unscored.
    waiting: Vec<(u32, u16)>,
    /// Items with smaller byte sums cannot enter any more, if the estimate holds.
    limit: u16,
    /// What the `k`-th largest byte sum was estimated to be at least.
    estimate: u16,
}

/// Bytes of codes that may wait, for all queries together: few enough to be in the CPU's caches when they are looked at again.
///
/// 1M codes of 16 bytes, the best 100: 534 µs with 128 items waiting, 925 with 1,024. 128,939 of 4 bytes: 35 and 28.
const WAITING_BYTES: usize = 4096;

impl State {
    fn new(k: usize, quick: &ByteTable) -> Self {
        Self {
            selector: Selector::new(k),
            kth: KthSum::new(k, quick.largest),
            waiting: Vec::new(),
            limit: quick.limit(f32::NEG_INFINITY),
            estimate: 0,
        }
    }

    /// Scores who waits and may still enter.
    fn score_waiting(&mut self, quick: &ByteTable, hit: impl Fn(u32) -> Hit) {
        for (position, sum) in self.waiting.drain(..) {
            if sum >= self.limit {
                self.selector.push(hit(position));
            }
        }
        self.limit = self.limit.max(quick.limit(self.selector.threshold()));
    }
}

impl<'a> Search<'a> {
    /// Looks for the best `k` items of each query.
    pub(crate) fn new(index: &'a CodeIndex, queries: &'a Queries<'a>, k: usize, ids: Option<&'a [u32]>) -> Self {
        let states = queries.quick.iter().map(|quick| State::new(k, quick)).collect();
        Self { states, index, queries, ids, range: 0..0, first_code: None, few: Vec::new() }
    }

    /// Looks at all items, in their order.
    pub(crate) fn scan_all(&mut self, level: Level, k: usize) {
        let (index, queries) = (self.index, self.queries);
        let estimates = kth_sum::estimate_limits(level, &index.codes, &queries.quick, queries.filters, k);
        for ((state, quick), estimate) in self.states.iter_mut().zip(&queries.quick).zip(estimates) {
            state.estimate = estimate;
            state.limit = state.limit.max(quick.limit_after(estimate));
        }
        self.scan(level, 0..index.codes.n_items);
        // Where fewer than k items have the byte sum that was estimated, the limit was too high: those queries begin again, without a estimate.
        if self.states.iter().all(|state| state.kth.floor >= state.estimate) {
            return;
        }
        for q in 0..self.states.len() {
            if self.states[q].kth.floor < self.states[q].estimate {
                self.states[q] = State::new(k, &queries.quick[q]);
            } else {
                self.score_waiting(q);
                self.states[q].limit = queries.quick[q].largest + 1;
            }
        }
        self.scan(level, 0..index.codes.n_items);
    }

    /// Looks at the items of some positions, which have the same code in the first codebook.
    pub(crate) fn scan_list(&mut self, level: Level, range: Range<usize>, first_code: u8) {
        self.first_code = (!self.index.codes.four_bit).then_some(first_code);
        self.scan(level, range);
    }

    /// Looks at the items of some cells of a list, one by one: `starts[c]..starts[c + 1]` for each `c` of `worth`. All stand in whole blocks, codes
    /// have a plane each, and there is one query.
    pub(crate) fn scan_cells(&mut self, worth: &[u8], starts: &[u32], first_code: u8) {
        let mut few = std::mem::take(&mut self.few);
        let n = list_cells(worth, starts, &mut few);
        let (codes, quick) = (&self.index.codes, &self.queries.quick[0]);
        let (first, others) = (quick.bytes[usize::from(first_code)], &quick.bytes.as_chunks::<256>().0[1..]);
        for &position in &few[..n] {
            let (block, lane) = (position as usize / BLOCK, position as usize % BLOCK);
            let of_item = &codes.bytes[(block * codes.planes + 1) * BLOCK + lane..];
            let mut sum = u16::from(first);
            for (plane, table) in others.iter().enumerate() {
                sum += u16::from(table[usize::from(of_item[plane * BLOCK])]);
            }
            if sum >= self.states[0].limit {
                self.admit(0, position, sum);
            }
        }
        self.few = few;
        self.raise_limit(0);
    }

    /// Looks at the items of some positions.
    fn scan(&mut self, level: Level, range: Range<usize>) {
        let BlockedCodes { planes, four_bit, n_items, .. } = self.index.codes;
        let (n_whole, block_bytes) = (n_items / BLOCK, BLOCK * planes);
        let (first, end) = (range.start / BLOCK, range.end.div_ceil(BLOCK).min(n_whole));
        let reaches_rest = range.end > n_whole * BLOCK;
        let (codes, quick) = (&self.index.codes, &self.queries.quick);
        self.range = range;
        if first < end {
            let blocks = &codes.bytes[first * block_bytes..end * block_bytes];
            kernels::scan(level, blocks, first * BLOCK, planes, four_bit, quick, self);
        }
        if let Some(rest) = reaches_rest.then(|| codes.rest()).flatten() {
            kernels::scan(level, &rest, n_whole * BLOCK, planes, four_bit, quick, self);
        }
    }

    /// Byte sums below this one belong to items that cannot enter the list of query `q` any more.
    pub(crate) fn limit(&self, q: usize) -> u16 {
        self.states[q].limit
    }

    /// Whether query `q` has found as many items as it wants.
    pub(crate) fn is_full(&self, q: usize) -> bool {
        self.states[q].kth.is_full()
    }

    /// The bytes of query `q`.
    pub(crate) fn quick(&self, q: usize) -> &'a ByteTable {
        &self.queries.quick[q]
    }

    /// Lets an item wait whose byte sum reaches the limit, unless it may not be returned.
    #[inline(always)]
    fn admit(&mut self, q: usize, position: u32, sum: u16) {
        let filter = &self.queries.filters[if self.queries.filters.len() == 1 { 0 } else { q }];
        if filter.is_all() || filter.allows(item_at(self.ids, position)) {
            self.states[q].kth.add(sum);
            self.states[q].waiting.push((position, sum));
            // Whoever is scored needs it.
            self.ids.into_iter().for_each(|ids| prefetch(ids, position as usize, 1));
        }
    }

    /// Takes note of who was admitted.
    #[inline(always)]
    fn raise_limit(&mut self, q: usize) {
        let state = &mut self.states[q];
        state.limit = state.limit.max(self.queries.quick[q].limit_after(state.kth.floor));
        if state.waiting.len() * self.index.codes.planes * self.queries.quick.len() >= WAITING_BYTES {
            self.score_waiting(q);
        }
    }

    /// Writes the lists.
    pub(crate) fn finish(mut self, out: &mut [TopK]) {
        for (q, out) in out.iter_mut().enumerate().take(self.states.len()) {
            self.score_waiting(q);
            self.states[q].selector.finish_into(out);
        }
    }

    fn score_waiting(&mut self, q: usize) {
        let (index, ids, table) = (self.index, self.ids, &self.queries.tables[q]);
        self.states[q].score_waiting(&self.queries.quick[q], |position| {
            Hit::new(item_at(ids, position), index.score(table, position as usize))
        });
    }
}

/// Writes the positions of some cells to `out` and returns how many there are.
fn list_cells(worth: &[u8], starts: &[u32], out: &mut Vec<u32>) -> usize {
    /// Items that a cell seldom has more of. So many are written at once, since how many there are the CPU cannot foresee.
    const USUAL: usize = 4;
    let length = |c: u8| (starts[usize::from(c) + 1] - starts[usize::from(c)]) as usize;
    out.resize(worth.iter().map(|c| length(*c)).sum::<usize>() + USUAL, 0);
    let mut n = 0;
    for &c in worth {
        let first = starts[usize::from(c)];
        let write = |(i, to): (usize, &mut u32)| *to = first.wrapping_add(i as u32);
        out[n..n + USUAL].iter_mut().enumerate().for_each(write);
        if length(c) > USUAL {
            out[n..n + length(c)].iter_mut().enumerate().for_each(write);
        }
        n += length(c);
    }
    n
}

fn item_at(ids: Option<&[u32]>, position: u32) -> ItemId {
    ItemId(ids.map_or(position, |ids| ids[position as usize]))
}

impl Visitor for Search<'_> {
    #[inline(always)]
    fn limit(&self, q: usize) -> u16 {
        self.states[q].limit
    }

    #[inline(always)]
    fn known(&self, q: usize) -> Option<u8> {
        self.first_code.map(|code| self.queries.quick[q].bytes[usize::from(code)])
    }

    #[inline]
    fn visit<S: Copy + Into<u16>>(&mut self, q: usize, first: usize, mut passed: u64, sums: &[S; BLOCK]) {
        // The first and the last block of a range may hold positions outside of it.
        let (before, beyond) = (self.range.start.saturating_sub(first), (first + BLOCK).saturating_sub(self.range.end));
        passed &= u64::MAX << before.min(BLOCK - 1) & u64::MAX >> beyond.min(BLOCK - 1);
        while passed != 0 {
            let lane = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            self.admit(q, (first + lane) as u32, sums[lane].into());
        }
        self.raise_limit(q);
    }
}
