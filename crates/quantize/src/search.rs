//! The scan behind every search: bytes decide who may enter the list, the f32 table decides who does.

use std::ops::Range;

use rectify_core::{Hit, ItemFilter, ItemId, Selector, TopK};

use crate::CodeIndex;
use crate::kernels::{self, Level, Visitor};
use crate::layout::{BLOCK, BlockedCodes};
use crate::quick::QuickTable;

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
}

struct State {
    selector: Selector,
    limit: u16,
}

impl<'a> Search<'a> {
    /// Looks for the best `k` items of each query.
    pub(crate) fn new(index: &'a CodeIndex, asked: &'a Asked<'a>, k: usize, ids: Option<&'a [u32]>) -> Self {
        let state = |quick: &QuickTable| State { selector: Selector::new(k), limit: quick.limit(f32::NEG_INFINITY) };
        Self { states: asked.quick.iter().map(state).collect(), index, asked, ids, range: 0..0 }
    }

    /// Looks at the items of some positions.
    pub(crate) fn scan(&mut self, level: Level, range: Range<usize>) {
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
    pub(crate) fn threshold(&self, q: usize) -> f32 {
        self.states[q].selector.threshold()
    }

    /// Writes the lists.
    pub(crate) fn finish(self, out: &mut [TopK]) {
        for (mut state, out) in self.states.into_iter().zip(out) {
            state.selector.finish_into(out);
        }
    }
}

impl Visitor for Search<'_> {
    #[inline(always)]
    fn limit(&self, q: usize) -> u16 {
        self.states[q].limit
    }

    #[inline]
    fn visit(&mut self, q: usize, first: usize, mut passed: u64) {
        let filter = &self.asked.filters[if self.asked.filters.len() == 1 { 0 } else { q }];
        let state = &mut self.states[q];
        let before = state.selector.threshold();
        while passed != 0 {
            let position = first + passed.trailing_zeros() as usize;
            passed &= passed - 1;
            if !self.range.contains(&position) {
                continue;
            }
            let item = ItemId(self.ids.map_or(position as u32, |ids| ids[position]));
            if filter.allows(item) {
                state.selector.push(Hit::new(item, self.index.score(&self.asked.tables[q], position)));
            }
        }
        let after = state.selector.threshold();
        if after > before {
            state.limit = self.asked.quick[q].limit(after);
        }
    }
}
