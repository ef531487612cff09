//! The certified first pass: int8 rows that decide which items may be among the best.
//!
//! A row `x` is stored as `x̂ = s·c`, bytes `c` in -127..=127 with one scale `s` a row, beside the exact length `r` of what is
//! lost, `x - x̂`. A query `q` becomes `q̂` with its own loss `e = q - q̂`. Then, by Cauchy-Schwarz twice,
//!
//! `|q·x - q̂·x̂| = |q·(x - x̂) + e·x̂| ≤ |q|·r + |e|·(|x| + r)`
//!
//! and the f32 score of the row differs from `q·x` by at most `γ·|q|·|x|` (Higham, "Accuracy and Stability of Numerical
//! Algorithms", section 3.1, with `γ = d·u / (1 - d·u)`, `u` = 2⁻²⁴). So each item's score lies in a known interval
//! around `q̂·x̂`, an integer product times two scales. An item whose upper end is below the `k`-th best lower end cannot be
//! among the best `k`; the few others are scored in f32. The ids are those of f32 brute force, always.
//!
//! What keeps the interval sound in f32 arithmetic: `r` and `|x|` are computed in f64 and rounded up; a slack of 64 `u` on
//! `|q|·|x|` pays for the roundings of the bound itself (fewer than 20 of them); the stored `|x|` is at least 2⁻³⁰ of the
//! largest, which pays for underflow; lengths outside 1e-10..=1e15 take the f32 path, which excludes overflow.

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::QUERIES;
use super::lines::{Line, Lines};
use super::scan::lanes_below;
use crate::simd::{LANES, Simd, Work, for_each_bit};
use crate::{ItemFilter, ItemId, Violation};

/// Widest rows that have a first pass: up to here the integer sums and the slack of the bound hold.
const MAX_DIM: usize = 4096;
/// Lengths (of the query, and of the longest row) that have a first pass.
const LENGTHS: std::ops::RangeInclusive<f64> = 1e-10..=1e15;
/// Share of the longest row's length that every row is taken to have at least.
const SHORTEST: f64 = 1.0 / (1u64 << 30) as f64;
const UNIT_ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;

/// The int8 copy of all rows, in blocks of sixteen; the last block is filled up with zero rows.
///
/// A block is `3 + words` cache lines, `words` = ⌈dim / 4⌉, so that a scan reads one stream: sixteen `s`, sixteen `r`
/// and sixteen `|x|` (f32, the latter two rounded up), then, for each four positions, four bytes of each of the sixteen
/// rows, plus 128.
#[derive(Clone, Debug)]
pub(super) struct FirstPass {
    /// `[blocks, 3 + words]`.
    pub(super) lines: Lines,
}

/// Lines of a block before its codes.
const HEAD: usize = 3;

/// Blocks that a wide kernel takes together.
const BLOCKS: usize = 3;

/// Lines of a block.
pub(super) const fn block_lines(dim: usize) -> usize {
    HEAD + dim.div_ceil(4)
}

fn round_up(x: f64) -> f32 {
    // Far more than the rounding error of a sum of 4096 squares.
    let x = x * (1.0 + 1e-9);
    let near = x as f32;
    if f64::from(near) < x { near.next_up() } else { near }
}

/// Length of a vector.
fn norm(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// Rounds to int8 multiples of the scale that just holds the largest value, calling `write` with each of them; returns
/// the scale and the length of what is lost.
fn quantise(x: &[f32], shortest: f64, mut write: impl FnMut(usize, i8)) -> (f32, f64) {
    // Adding and subtracting it rounds a small number to an integer.
    const ROUND: f32 = 1.5 * (1 << 23) as f32;
    let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    // Scales below this length lose precision; such a row is all loss.
    let scale = if f64::from(largest) < shortest / (MAX_DIM as f64) { 0.0 } else { largest / 127.0 };
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut lost = 0.0f64;
    for (j, &x) in x.iter().enumerate() {
        let code = ((x * inverse + ROUND) - ROUND).clamp(-127.0, 127.0);
        write(j, code as i8);
        let rest = f64::from(x) - f64::from(scale) * f64::from(code);
        lost += rest * rest;
    }
    (scale, lost.sqrt())
}

impl FirstPass {
    /// Length of the longest row, if these rows can have a first pass.
    pub(super) fn longest(rows: &[f32], dim: usize) -> Option<f64> {
        if dim > MAX_DIM {
            return None;
        }
        let longest = rows.par_chunks(dim * 1024).map(|rows| rows.chunks_exact(dim).map(norm).fold(0.0, f64::max));
        Some(longest.reduce(|| 0.0, f64::max)).filter(|longest| LENGTHS.contains(longest))
    }

    /// Quantises all rows; `longest` is the length of the longest.
    pub(super) fn build(rows: &[f32], dim: usize, longest: f64) -> Self {
        let n_lines = (rows.len() / dim).div_ceil(LANES) * block_lines(dim);
        let lines = Lines::new(n_lines, |lines| {
            lines
                .par_chunks_mut(block_lines(dim))
                .zip(rows.par_chunks(dim * LANES))
                .with_min_len(64)
                .for_each(|(block, rows)| quantise_block(rows, dim, longest, block));
        });
        Self { lines }
    }

    /// Compares with what the rows say: a pass that promises too much would lose items.
    pub(super) fn validate(&self, rows: &[f32], dim: usize, longest: f64) -> Vec<Violation> {
        let per_block = block_lines(dim);
        let violation = |problem| vec![Violation { field: "first_pass".into(), problem }];
        let (expected, got) = ((rows.len() / dim).div_ceil(LANES) * per_block, self.lines.len());
        if got != expected {
            return violation(format!("has {got} lines of 64 bytes, expected {expected}"));
        }
        let wrong = rows.par_chunks(dim * LANES).zip(self.lines.par_chunks(per_block)).with_min_len(64).position_first(
            |(rows, block)| {
                let mut expected = vec![Line::zeroed(); per_block];
                quantise_block(rows, dim, longest, &mut expected);
                expected != block
            },
        );
        wrong.map_or_else(Vec::new, |block| {
            let first = block * LANES;
            violation(format!("does not belong to the rows of items {first} to {}", first + LANES - 1))
        })
    }

    pub(super) fn size_bytes(&self) -> usize {
        size_of_val::<[Line]>(&self.lines)
    }
}

/// Writes the block of up to sixteen rows.
fn quantise_block(rows: &[f32], dim: usize, longest: f64, block: &mut [Line]) {
    let floor = longest * SHORTEST;
    let (head, codes) = block.split_at_mut(HEAD);
    codes.fill(Line([128; 64]));
    head[0].floats_mut().fill(0.0);
    head[1].floats_mut().fill(0.0);
    head[2].floats_mut().fill(round_up(floor));
    for (lane, row) in rows.chunks_exact(dim).enumerate() {
        let (scale, lost) = quantise(row, floor, |j, code| codes[j / 4].0[4 * lane + j % 4] = (code as u8) ^ 128);
        head[0].floats_mut()[lane] = scale;
        head[1].floats_mut()[lane] = round_up(lost);
        head[2].floats_mut()[lane] = round_up(norm(row).max(floor));
    }
}

/// A query as the first pass sees it.
#[derive(Clone, Debug)]
pub(super) struct CodedQuery {
    /// Four values a word, the lowest first.
    words: Vec<i32>,
    /// Sum of all values.
    sum: i32,
    /// `s` of the query.
    scale: f32,
    /// What `r` costs: `|q| + |e|`.
    per_residual: f32,
    /// What `|x|` costs: `|e| + (γ + 64 u)·|q|`.
    per_norm: f32,
}

impl CodedQuery {
    /// Codes a query, unless its length is outside of what the bound is good for.
    pub(super) fn new(query: &[f32]) -> Option<Self> {
        let length = norm(query);
        if !LENGTHS.contains(&length) {
            return None;
        }
        let mut bytes = vec![0u8; query.len().next_multiple_of(4)];
        let mut sum = 0;
        let (scale, lost) = quantise(query, 0.0, |j, code| {
            bytes[j] = code as u8;
            sum += i32::from(code);
        });
        let rounding = query.len() as f64 * UNIT_ROUNDOFF;
        let slack = rounding / (1.0 - rounding) + 64.0 * UNIT_ROUNDOFF;
        let (words, _) = bytes.as_chunks::<4>();
        Some(Self {
            words: words.iter().map(|&word| i32::from_le_bytes(word)).collect(),
            sum,
            scale,
            per_residual: round_up(length + lost),
            per_norm: round_up(lost + slack * length),
        })
    }
}

/// An item that may be among the best.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    item: ItemId,
    /// Its score is at most this.
    upper: f32,
    /// Its score is at least this.
    lower: f32,
}

/// The candidates of one query.
#[derive(Debug)]
pub(super) struct Candidates<'a> {
    k: usize,
    filter: &'a ItemFilter<'a>,
    kept: Vec<Candidate>,
    room: usize,
    limit: usize,
    /// `k` items seen so far score at least this; NaN while there are fewer.
    bar: f32,
    lowers: Vec<f32>,
}

impl<'a> Candidates<'a> {
    /// For the best `k` of `n` items.
    pub(super) fn new(k: usize, n: usize, filter: &'a ItemFilter<'a>) -> Self {
        // When more than this cannot be told apart, scoring everything costs no more.
        let limit = 4 * k + n / 32;
        Self { k, filter, kept: Vec::new(), room: k.max(64), limit, bar: f32::NAN, lowers: Vec::new() }
    }

    /// Keeps those lanes of `mask` that the filter allows; `interval` gives the upper and lower end of a lane's score.
    fn offer(&mut self, first: usize, mask: u16, interval: impl Fn(usize) -> (f32, f32)) {
        // Blocks that were tested together with the one that made it give up still come in.
        if self.gave_up() {
            return;
        }
        for_each_bit(mask, |lane| {
            let item = ItemId((first + lane) as u32);
            if self.filter.allows(item) {
                let (upper, lower) = interval(lane);
                self.kept.push(Candidate { item, upper, lower });
            }
        });
        if self.kept.len() >= self.room {
            self.prune();
            if self.kept.len() > self.limit {
                self.kept = Vec::new();
                self.room = 0;
                self.bar = f32::INFINITY;
            } else {
                self.room = (2 * self.kept.len()).max(4 * self.k).max(64);
            }
        }
    }

    fn gave_up(&self) -> bool {
        self.room == 0
    }

    /// Raises the bar to the `k`-th best lower end and drops what is below it.
    fn prune(&mut self) {
        if self.kept.len() < self.k {
            return;
        }
        self.lowers.clear();
        self.lowers.extend(self.kept.iter().map(|candidate| -candidate.lower));
        let (_, kth, _) = self.lowers.select_nth_unstable_by(self.k - 1, f32::total_cmp);
        self.bar = -*kth;
        let bar = self.bar;
        self.kept.retain(|candidate| candidate.upper >= bar);
    }

    /// Each kept item with the ends of its interval.
    #[cfg(test)]
    pub(super) fn intervals(&self) -> Vec<(ItemId, f32, f32)> {
        self.kept.iter().map(|candidate| (candidate.item, candidate.lower, candidate.upper)).collect()
    }

    /// The items that may be among the best, ascending; `None` if they are too many to be worth it.
    pub(super) fn finish(mut self) -> Option<Vec<ItemId>> {
        if self.gave_up() {
            return None;
        }
        self.prune();
        Some(self.kept.iter().map(|candidate| candidate.item).collect())
    }
}

/// Some queries against all codes.
pub(super) struct Prune<'a, 'b> {
    lines: &'a [Line],
    n: usize,
    queries: &'a [CodedQuery],
    candidates: &'a mut [Candidates<'b>],
    words: usize,
    /// The words of the queries in tiles of eight, `[tiles, words, 8]`.
    tiles: Vec<[i32; QUERIES]>,
    /// What the bound needs of the queries, by tile.
    terms: Vec<Terms>,
    /// Upper ends of the tile at work.
    uppers: [[[f32; LANES]; BLOCKS]; QUERIES],
}

/// Of eight queries: what turns sums into bounds, and the bars that those must pass.
#[derive(Clone)]
struct Terms {
    sum: [i32; QUERIES],
    scale: [f32; QUERIES],
    per_residual: [f32; QUERIES],
    per_norm: [f32; QUERIES],
    bar: [f32; QUERIES],
}

impl<'a, 'b> Prune<'a, 'b> {
    /// `candidates` has one entry a query.
    pub(super) fn new(
        pass: &'a FirstPass,
        n: usize,
        queries: &'a [CodedQuery],
        candidates: &'a mut [Candidates<'b>],
    ) -> Self {
        let words = queries.first().map_or(0, |query| query.words.len());
        let n_tiles = queries.len().div_ceil(QUERIES);
        let mut tiles = vec![[0; QUERIES]; n_tiles * words];
        // Where the last tile has no query, nothing passes the bar.
        let none = Terms {
            sum: [0; QUERIES],
            scale: [0.0; QUERIES],
            per_residual: [0.0; QUERIES],
            per_norm: [0.0; QUERIES],
            bar: [f32::INFINITY; QUERIES],
        };
        let mut terms = vec![none; n_tiles];
        for (at, query) in queries.iter().enumerate() {
            let (t, q) = (at / QUERIES, at % QUERIES);
            for (to, word) in tiles[t * words..][..words].iter_mut().zip(&query.words) {
                to[q] = *word;
            }
            terms[t].sum[q] = query.sum;
            terms[t].scale[q] = query.scale;
            terms[t].per_residual[q] = query.per_residual;
            terms[t].per_norm[q] = query.per_norm;
            terms[t].bar[q] = candidates[at].bar;
        }
        Self {
            lines: &pass.lines,
            n,
            queries,
            candidates,
            words,
            tiles,
            terms,
            uppers: [[[0.0; LANES]; BLOCKS]; QUERIES],
        }
    }

    #[inline(always)]
    fn scan<S: Simd, const B: usize>(&mut self, s: S) {
        let n_blocks = self.n.div_ceil(LANES);
        if self.queries.len() == 1 {
            // One query waits for memory: a single stream, read in order, comes in fastest.
            for block in 0..n_blocks {
                self.blocks::<S, 1>(s, block);
            }
            return;
        }
        let whole = n_blocks / B;
        for step in 0..whole {
            self.blocks::<S, B>(s, step * B);
        }
        for block in whole * B..n_blocks {
            self.blocks::<S, 1>(s, block);
        }
    }

    /// All queries against `B` blocks from `block` on.
    #[inline(always)]
    fn blocks<S: Simd, const B: usize>(&mut self, s: S, block: usize) {
        let per_block = HEAD + self.words;
        let mut codes: [&[Line]; B] = [&[]; B];
        let mut bounds = [[s.splat(0.0); HEAD]; B];
        for b in 0..B {
            let lines = &self.lines[(block + b) * per_block..][..per_block];
            let (head, rest) = lines.split_at(HEAD);
            codes[b] = rest;
            for i in 0..HEAD {
                bounds[b][i] = s.load(head[i].floats());
            }
        }
        for t in 0..self.terms.len() {
            let count = self.queries.len() - t * QUERIES;
            if count == 1 {
                self.tile::<S, 1, B>(s, block, codes, &bounds, t, 0);
            } else if S::WIDE {
                self.tile::<S, QUERIES, B>(s, block, codes, &bounds, t, 0);
            } else {
                for half in (0..count.min(QUERIES)).step_by(QUERIES / 2) {
                    self.tile::<S, { QUERIES / 2 }, B>(s, block, codes, &bounds, t, half);
                }
            }
        }
    }

    /// `Q` queries of tile `t`, from `half` on, against `B` blocks.
    #[inline(always)]
    fn tile<S: Simd, const Q: usize, const B: usize>(
        &mut self,
        s: S,
        block: usize,
        codes: [&[Line]; B],
        bounds: &[[S::F; HEAD]; B],
        t: usize,
        half: usize,
    ) {
        let tile = &self.tiles[t * self.words..][..self.words];
        let terms = &self.terms[t];
        assert!(half + Q <= QUERIES && codes.iter().all(|codes| codes.len() == tile.len()), "a tile");
        let mut sums = [[s.dot4_start(0); B]; Q];
        for (sums, sum) in sums.iter_mut().zip(&terms.sum[half..]) {
            *sums = [s.dot4_start(*sum); B];
        }
        for (j, words) in tile.iter().enumerate() {
            for q in 0..Q {
                for b in 0..B {
                    sums[q][b] = s.dot4(sums[q][b], &codes[b][j].0, words[half + q]);
                }
            }
        }
        // Only loops of constant length may touch the accumulators: anything else keeps them in memory, not in registers.
        let mut masks = [[0; B]; Q];
        let mut any = 0;
        for q in 0..Q {
            let (scale, per_norm, per_residual, bar) = (
                s.splat(terms.scale[half + q]),
                s.splat(terms.per_norm[half + q]),
                s.splat(terms.per_residual[half + q]),
                s.splat(terms.bar[half + q]),
            );
            for b in 0..B {
                let [scales, residuals, norms] = bounds[b];
                let error = s.fma(per_norm, norms, s.mul(per_residual, residuals));
                let upper = s.fma(s.mul(s.to_f32(sums[q][b]), scale), scales, error);
                s.store(upper, &mut self.uppers[q][b]);
                masks[q][b] = s.not_le(upper, bar);
                any |= masks[q][b];
            }
        }
        if any != 0 {
            for (q, masks) in masks.iter().enumerate() {
                for (b, mask) in masks.iter().enumerate() {
                    if *mask != 0 {
                        self.offer(t, half + q, block + b, *mask, self.uppers[q][b]);
                    }
                }
            }
        }
    }

    /// Keeps what passed the bar of query `q` of tile `t`, and raises the bar.
    #[cold]
    fn offer(&mut self, t: usize, q: usize, block: usize, mask: u16, uppers: [f32; LANES]) {
        let first = block * LANES;
        let head = &self.lines[block * (HEAD + self.words)..][..HEAD];
        let (residuals, norms) = (head[1].floats(), head[2].floats());
        let terms = &mut self.terms[t];
        let candidates = &mut self.candidates[t * QUERIES + q];
        candidates.offer(first, mask & lanes_below(self.n, first), |lane| {
            let error = terms.per_norm[q] * norms[lane] + terms.per_residual[q] * residuals[lane];
            (uppers[lane], uppers[lane] - 2.0 * error)
        });
        terms.bar[q] = candidates.bar;
    }
}

impl Work for Prune<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if self.queries.is_empty() {
            return;
        }
        if S::WIDE { self.scan::<S, BLOCKS>(s) } else { self.scan::<S, 1>(s) }
    }
}
