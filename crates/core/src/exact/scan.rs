//! The f32 kernels: inner products in their one order of summation.

use super::QUERIES;
use crate::simd::{LANES, Simd, Work};
use crate::{ItemFilter, Selector};

/// Sixteen rows, transposed: for each position, the values of all of them.
type Panel = [f32; LANES];

/// Inner products of `B` panels with `Q` queries of a tile from `first` on, written to `out`; returns a bit for each
/// product that is not at most its query's bar.
///
/// Each lane of each accumulator is one row's chain of fused multiply-adds over ascending positions: the score itself.
#[inline(always)]
fn products<S: Simd, const Q: usize, const B: usize>(
    s: S,
    panels: [&[Panel]; B],
    queries: &[[f32; QUERIES]],
    first: usize,
    bars: &[f32; QUERIES],
    out: &mut [[Panel; B]; QUERIES],
) -> [[u16; B]; Q] {
    assert!(first + Q <= QUERIES && panels.iter().all(|panel| panel.len() == queries.len()), "a tile");
    let mut sums = [[s.splat(0.0); B]; Q];
    for (j, queries) in queries.iter().enumerate() {
        let mut x = [s.splat(0.0); B];
        for b in 0..B {
            x[b] = s.load(&panels[b][j]);
        }
        for q in 0..Q {
            let y = s.splat(queries[first + q]);
            for b in 0..B {
                sums[q][b] = s.fma(y, x[b], sums[q][b]);
            }
        }
    }
    // Only loops of constant length may touch the accumulators: anything else keeps them in memory, not in registers.
    let mut masks = [[0; B]; Q];
    for q in 0..Q {
        let bar = s.splat(bars[first + q]);
        for b in 0..B {
            s.store(sums[q][b], &mut out[q][b]);
            masks[q][b] = s.not_le(sums[q][b], bar);
        }
    }
    masks
}

/// Sixteen rows of `row`, starting at `first`; beyond the last row `n - 1`, that one again.
#[inline(always)]
fn sixteen<'a>(first: usize, n: usize, row: &impl Fn(usize) -> &'a [f32]) -> [&'a [f32]; LANES] {
    let mut rows: [&[f32]; LANES] = [&[]; LANES];
    for (lane, at) in rows.iter_mut().zip(first..) {
        *lane = row(at.min(n - 1));
    }
    rows
}

/// One query against some rows.
pub(super) struct ScoreRows<'a, R> {
    /// The query.
    pub(super) query: &'a [f32],
    /// Row of each place of `out`.
    pub(super) row: R,
    /// Where the scores go.
    pub(super) out: &'a mut [f32],
}

impl<'a, R: Fn(usize) -> &'a [f32]> Work for ScoreRows<'a, R> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tile: Vec<[f32; QUERIES]> = self.query.iter().map(|&y| [y; QUERIES]).collect();
        let mut panel = vec![[0.0; LANES]; self.query.len()];
        let n = self.out.len();
        for (at, out) in self.out.chunks_mut(LANES).enumerate() {
            s.transpose(&sixteen(at * LANES, n, &self.row), &mut panel);
            let mut scores = [[[0.0; LANES]]; QUERIES];
            products::<S, 1, 1>(s, [&panel], &tile, 0, &[0.0; QUERIES], &mut scores);
            out.copy_from_slice(&scores[0][0][..out.len()]);
        }
    }
}

/// Some queries against all rows: what is above a selector's bar is offered to it, nothing else is written.
pub(super) struct Scan<'a> {
    /// Row-major `[n, dim]`.
    pub(super) rows: &'a [f32],
    /// Width of a row.
    pub(super) dim: usize,
    /// The queries in tiles of eight, `[tiles, dim, 8]`; the last tile is filled up with anything.
    pub(super) tiles: &'a [[f32; QUERIES]],
    /// One a query.
    pub(super) filters: &'a [&'a ItemFilter<'a>],
    /// One a query.
    pub(super) selectors: &'a mut [Selector],
}

impl Work for Scan<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if S::WIDE { self.scan::<S, 3>(s) } else { self.scan::<S, 1>(s) }
    }
}

impl Scan<'_> {
    #[inline(always)]
    fn scan<S: Simd, const B: usize>(mut self, s: S) {
        let dim = self.dim;
        let n = self.rows.len() / dim;
        let mut bars = vec![[f32::INFINITY; QUERIES]; self.selectors.len().div_ceil(QUERIES)];
        for (bar, selector) in bars.as_flattened_mut().iter_mut().zip(&*self.selectors) {
            *bar = selector.bar();
        }
        // Rows are read in the order of memory, which the CPU foresees, and transposed from the copy.
        let mut staged = vec![0.0; B * LANES * dim];
        let mut scratch = vec![[0.0; LANES]; B * dim];
        let mut scores = [[[0.0; LANES]; B]; QUERIES];
        for start in (0..n).step_by(B * LANES) {
            let rows = &self.rows[start * dim..n.min(start + B * LANES) * dim];
            staged[..rows.len()].copy_from_slice(rows);
            for (panel, rows) in scratch.chunks_exact_mut(dim).zip(staged.chunks_exact(LANES * dim)) {
                s.transpose(&sixteen(0, LANES, &|i| &rows[i * dim..(i + 1) * dim]), panel);
            }
            let mut panels: [&[Panel]; B] = [&[]; B];
            for (b, panel) in scratch.chunks_exact(dim).enumerate() {
                panels[b] = panel;
            }
            for (t, (tile, bars)) in self.tiles.chunks_exact(dim).zip(&mut bars).enumerate() {
                let first = t * QUERIES;
                let count = QUERIES.min(self.selectors.len() - first);
                if count == 1 {
                    let masks = products::<S, 1, B>(s, panels, tile, 0, bars, &mut scores);
                    self.offer(start, first, &masks, &scores, bars);
                } else if S::WIDE {
                    let masks = products::<S, QUERIES, B>(s, panels, tile, 0, bars, &mut scores);
                    self.offer(start, first, &masks, &scores, bars);
                } else {
                    for half in (0..count).step_by(QUERIES / 2) {
                        let masks = products::<S, { QUERIES / 2 }, B>(s, panels, tile, half, bars, &mut scores);
                        self.offer(start, first + half, &masks, &scores, &mut bars[half..]);
                    }
                }
            }
        }
    }

    /// Offers what passed its bar to the selectors from `first` on, and raises their bars.
    #[inline(always)]
    fn offer<const Q: usize, const B: usize>(
        &mut self,
        start: usize,
        first: usize,
        masks: &[[u16; B]; Q],
        scores: &[[Panel; B]; QUERIES],
        bars: &mut [f32],
    ) {
        if *masks == [[0; B]; Q] {
            return;
        }
        let n = self.rows.len() / self.dim;
        let queries = self.selectors[first..].iter_mut().zip(&self.filters[first..]).zip(bars);
        for ((masks, scores), ((selector, filter), bar)) in masks.iter().zip(scores).zip(queries) {
            for (b, (mask, scores)) in masks.iter().zip(scores).enumerate() {
                let at = start + b * LANES;
                let mask = mask & lanes_below(n, at);
                if mask != 0 {
                    let offered = selector.offer(at, scores, mask, filter);
                    debug_assert!(offered.is_ok(), "finite rows and queries have no NaN among their scores");
                    *bar = selector.bar();
                }
            }
        }
    }
}

/// The lanes of the block at `first` that are items, of `n` altogether.
pub(super) fn lanes_below(n: usize, first: usize) -> u16 {
    match n.saturating_sub(first) {
        left @ 0..LANES => (1 << left) - 1,
        LANES.. => u16::MAX,
    }
}
