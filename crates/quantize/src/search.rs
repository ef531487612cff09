//! The scan behind every search: bytes decide who may enter the list, the f32 table decides who does.

use std::ops::Range;

use rectify_core::{Hit, ItemFilter, ItemId, Selector, TopK};

use crate::CodeIndex;
use crate::kernels::{self, Level, Visitor};
use crate::layout::{BLOCK, BlockedCodes};
use crate::quick::QuickTable;
use crate::ranks::{self, Ranks};

/// What is asked: the f32 table of each query, and the same in bytes.
pub(crate) struct Asked<'a> {
    tables: &'a [Vec<f32>],
    quick: Vec<QuickTable>,
    /// One for each query, or one for all.
    filters: &'a [ItemFilter<'a>],
}

impl<'a> Asked<'a> {
    pub(crate) fn new(index: &CodeIndex, tables: &'a [Vec<f32>], filters: &'a [ItemFilter<'a>]) -> Self {
        Self { tables, quick: tables.iter().map(|table| QuickTable::new(index.shape(), table)).collect(), filters }
    }
}

/// Queries on their way through the codes.
pub(crate) struct Search<'a> {
    index: &'a CodeIndex,
    asked: &'a Asked<'a>,
    states: Vec<State>,
    /// The item at each position, if they are not in their order.
    ids: Option<&'a [u32]>,
    /// Positions that count in the running scan.
    range: Range<usize>,
    /// Their code in the first codebook, if it is the same for all and has a plane of its own.
    first_code: Option<u8>,
}

/// One query on its way.
struct State {
    /// The best by their scores, of those that were scored.
    selector: Selector,
    /// Byte sums of all items that could have entered.
    ranks: Ranks,
    /// Items that may enter and are not scored yet: position and byte sum. Most leave as the limit rises, unscored.
    waiting: Vec<(u32, u16)>,
    /// Items with smaller byte sums cannot enter any more, if the guess holds.
    limit: u16,
    /// What the `k`-th largest byte sum was guessed to be at least.
    guess: u16,
}

/// Bytes of codes that may wait, for all queries together: few enough to be in the processor's caches when they are looked at again.
///
/// 1M codes of 16 bytes, the best 100: 534 µs with 128 items waiting, 925 with 1,024. 128,939 of 4 bytes: 35 and 28.
const WAITING_BYTES: usize = 4096;

impl State {
    fn new(k: usize, quick: &QuickTable) -> Self {
        Self {
            selector: Selector::new(k),
            ranks: Ranks::new(k, quick.largest),
            waiting: Vec::new(),
            limit: quick.limit(f32::NEG_INFINITY),
            guess: 0,
        }
    }

    /// Scores who waits and may still enter.
    fn score_waiting(&mut self, quick: &QuickTable, hit: impl Fn(u32) -> Hit) {
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
    pub(crate) fn new(index: &'a CodeIndex, asked: &'a Asked<'a>, k: usize, ids: Option<&'a [u32]>) -> Self {
        let states = asked.quick.iter().map(|quick| State::new(k, quick)).collect();
        Self { states, index, asked, ids, range: 0..0, first_code: None }
    }

    /// Looks at all items, in their order.
    pub(crate) fn scan_all(&mut self, level: Level, k: usize) {
        let (index, asked) = (self.index, self.asked);
        let guesses = ranks::guess(level, &index.codes, &asked.quick, asked.filters, k);
        for ((state, quick), guess) in self.states.iter_mut().zip(&asked.quick).zip(guesses) {
            state.guess = guess;
            state.limit = state.limit.max(quick.limit_after(guess));
        }
        self.scan(level, 0..index.codes.n_items);
        // Where fewer than k items have the byte sum that was guessed, the limit was too high: those queries begin again, without a guess.
        if self.states.iter().all(|state| state.ranks.floor >= state.guess) {
            return;
        }
        for q in 0..self.states.len() {
            if self.states[q].ranks.floor < self.states[q].guess {
                self.states[q] = State::new(k, &asked.quick[q]);
            } else {
                self.score_waiting(q);
                self.states[q].limit = asked.quick[q].largest + 1;
            }
        }
        self.scan(level, 0..index.codes.n_items);
    }

    /// Looks at the items of some positions, which have the same code in the first codebook.
    pub(crate) fn scan_list(&mut self, level: Level, range: Range<usize>, first_code: u8) {
        self.first_code = (!self.index.codes.four_bit).then_some(first_code);
        self.scan(level, range);
    }

    /// Looks at the items of some positions.
    fn scan(&mut self, level: Level, range: Range<usize>) {
        let BlockedCodes { planes, four_bit, n_items, .. } = self.index.codes;
        let (n_whole, block_bytes) = (n_items / BLOCK, BLOCK * planes);
        let (first, end) = (range.start / BLOCK, range.end.div_ceil(BLOCK).min(n_whole));
        let reaches_rest = range.end > n_whole * BLOCK;
        let (codes, quick) = (&self.index.codes, &self.asked.quick);
        self.range = range;
        if first < end {
            let blocks = &codes.bytes[first * block_bytes..end * block_bytes];
            kernels::scan(level, blocks, first * BLOCK, planes, four_bit, quick, self);
        }
        if let Some(rest) = codes.rest().filter(|_| reaches_rest) {
            kernels::scan(level, &rest, n_whole * BLOCK, planes, four_bit, quick, self);
        }
    }

    /// Scores below this one cannot enter the list of query `q` any more.
    pub(crate) fn threshold(&mut self, q: usize) -> f32 {
        self.score_waiting(q);
        self.states[q].selector.threshold()
    }

    /// Writes the lists.
    pub(crate) fn finish(mut self, out: &mut [TopK]) {
        for (q, out) in out.iter_mut().enumerate().take(self.states.len()) {
            self.score_waiting(q);
            self.states[q].selector.finish_into(out);
        }
    }

    fn score_waiting(&mut self, q: usize) {
        let (index, ids, table) = (self.index, self.ids, &self.asked.tables[q]);
        self.states[q].score_waiting(&self.asked.quick[q], |position| {
            Hit::new(item_at(ids, position), index.score(table, position as usize))
        });
    }
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
        self.first_code.map(|code| self.asked.quick[q].bytes[usize::from(code)])
    }

    #[inline]
    fn visit<S: Copy + Into<u16>>(&mut self, q: usize, first: usize, mut passed: u64, sums: &[S; BLOCK]) {
        let filter = &self.asked.filters[if self.asked.filters.len() == 1 { 0 } else { q }];
        let state = &mut self.states[q];
        // The first and the last block of a range may hold positions outside of it.
        let (before, beyond) = (self.range.start.saturating_sub(first), (first + BLOCK).saturating_sub(self.range.end));
        passed &= u64::MAX << before.min(BLOCK - 1) & u64::MAX >> beyond.min(BLOCK - 1);
        while passed != 0 {
            let lane = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            let position = (first + lane) as u32;
            if filter.allows(item_at(self.ids, position)) {
                let sum = sums[lane].into();
                state.ranks.add(sum);
                state.waiting.push((position, sum));
            }
        }
        state.limit = state.limit.max(self.asked.quick[q].limit_after(state.ranks.floor));
        if state.waiting.len() * self.index.codes.planes * self.asked.quick.len() >= WAITING_BYTES {
            self.score_waiting(q);
        }
    }
}
