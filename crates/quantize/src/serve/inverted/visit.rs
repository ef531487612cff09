//! Which lists a query visits, and how it looks at one.

use std::cmp::Reverse;

use super::InvertedIndex;
use crate::serve::codeword_order::CodewordOrder;
use crate::serve::kernels::Level;
use crate::serve::layout::BLOCK;
use crate::serve::search::Search;

/// What is known of a query before any list is visited.
struct Bounds<'a> {
    /// The bytes of the first codebook.
    first: &'a [u8],
    /// The codewords of the second, best first.
    second: CodewordOrder,
    /// The most that the codes after the second, and after the first, can add.
    after_second: u16,
    after_first: u16,
}

impl InvertedIndex {
    /// Visits the lists of a query until no other can hold one of the best.
    pub(super) fn visit_lists(&self, level: Level, search: &mut Search<'_>, table: &[f32]) {
        let mut rows = search.quick(0).rows(self.codes.shape());
        let first = rows.next().unwrap_or_default();
        let second = CodewordOrder::new(rows.next().unwrap_or_default());
        let after_second: u16 = rows.map(|row| u16::from(row.iter().copied().max().unwrap_or(0))).sum();
        let after_first = u16::from(second.largest()) + after_second;
        let bounds = Bounds { first, second, after_second, after_first };

        let (chosen, mut others) = self.choose(&table[..self.n_lists()]);
        for &w in CodewordOrder::new(first).reaching(0) {
            if !bounds.may_enter(w, search) {
                return;
            }
            if chosen[usize::from(w)] {
                self.visit(level, search, &bounds, w);
            }
        }
        // Where those lists were small, or few of their items pass the filter, the nearest others help out.
        if !search.is_full(0) {
            others.sort_unstable();
        }
        for (_, w) in others {
            if search.is_full(0) {
                return;
            }
            self.visit(level, search, &bounds, w);
        }
    }

    /// Looks at one list.
    fn visit(&self, level: Level, search: &mut Search<'_>, bounds: &Bounds<'_>, w: u8) {
        let (list, per_list) = (usize::from(w), self.per_list());
        let cells = &self.starts[list * per_list..=(list + 1) * per_list];
        let range = cells[0] as usize..cells[per_list] as usize;
        if range.is_empty() {
            return;
        }
        let in_whole_blocks = self.ids.len() / BLOCK * BLOCK;
        let known = u16::from(bounds.first[list]) + bounds.after_second;
        let worth = bounds.second.reaching(search.limit(0).saturating_sub(known));
        if per_list > 1 && range.end <= in_whole_blocks && worth.len() * few(level) <= per_list {
            search.scan_cells(worth, cells, w);
        } else {
            search.scan_list(level, range, w);
        }
    }

    /// The lists that a query visits: of those with items the `n_probes` whose codewords have the largest inner products, the first of
    /// equal ones. The others come with their ranks, not in order.
    fn choose(&self, first: &[f32]) -> (Vec<bool>, Vec<(Reverse<i32>, u8)>) {
        if self.n_probes >= self.n_lists() {
            return (vec![true; self.n_lists()], Vec::new());
        }
        let per_list = self.per_list();
        let filled = |w: &usize| self.starts[w * per_list] < self.starts[(w + 1) * per_list];
        let mut lists: Vec<_> =
            (0..self.n_lists()).filter(filled).map(|w| (Reverse(ascending(first[w])), w as u8)).collect();
        let n = self.n_probes.min(lists.len());
        if n < lists.len() {
            lists.select_nth_unstable(n);
        }
        let mut chosen = vec![false; self.n_lists()];
        lists.drain(..n).for_each(|(_, w)| chosen[usize::from(w)] = true);
        (chosen, lists)
    }
}

impl Bounds<'_> {
    /// Whether an item of this list, or of one whose codeword has a smaller byte, can enter.
    fn may_enter(&self, w: u8, search: &Search<'_>) -> bool {
        u16::from(self.first[usize::from(w)]) + self.after_first >= search.limit(0)
    }
}

/// A list is looked at cell by cell where at most one in so many of its cells is worth it.
///
/// The best 100 of 128,939 and of 1M learned codes with AVX2: 64 and 178 µs a query by whole lists; 52 and 164 µs with 4, 49 and 114 with 8, 49 and 111
/// with 16. AVX-512 looks up a list some ten times as quickly, which is why its number is so much larger; that one was counted, not measured.
fn few(level: Level) -> usize {
    if level >= Level::Avx512Vbmi { 64 } else { 8 }
}

/// Integers in the order of [`f32::total_cmp`].
const fn ascending(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}
