//! Some pairs of one user on their way through the modules.

use rectify_core::simd::Level;

use super::kernels::{self, LANES, ROWS};
use super::network::Network;

/// Which pairs go on; the rest are rejected.
pub(super) trait Rule {
    /// Sees the values of all pairs that entered `module` (from 0).
    fn see(&mut self, module: usize, slots: &[u32], values: &[f32]);
    /// Whether a pair with this value goes on.
    fn keeps(&self, module: usize, slot: u32, value: f32) -> bool;
}

/// Rejects what is above a threshold.
pub(super) struct Above<'a>(pub(super) &'a [f32]);

impl Rule for Above<'_> {
    #[inline]
    fn see(&mut self, _: usize, _: &[u32], _: &[f32]) {}

    #[inline]
    fn keeps(&self, module: usize, _: u32, value: f32) -> bool {
        // No value is NaN, and a threshold of infinity keeps everything.
        value <= self.0[module]
    }
}

/// What a search needs and leaves nothing in; one for each thread.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// Head of the first stage times the user's vector.
    folded: Vec<f32>,
    /// Places of the pairs at hand: items, or positions in a list of them.
    pub(super) slots: Vec<u32>,
    /// Decisions, in the end scores, of the pairs at hand.
    pub(super) values: Vec<f32>,
    /// `P[u] ⊙ Q[i]` and what the last module made of it, in rows of whole chunks and blocks of whole rows.
    z: Vec<f32>,
    h: Vec<f32>,
    next: Vec<f32>,
}

/// What a pass counts: pairs that entered each module, and at last the scorer.
pub(super) type Entered = [u64];

impl Workspace {
    /// Begins with a user.
    pub(super) fn begin(&mut self, network: &Network, user: &[f32]) {
        self.folded.clear();
        self.folded.extend(network.head(0).iter().zip(user).map(|(w, p)| w * p));
    }

    /// Values of the first stage for the items `first .. first + n`.
    pub(super) fn first(&mut self, network: &Network, level: Level, first: usize, n: usize) {
        let (from, to) = (first / LANES, (first + n).div_ceil(LANES));
        self.values.resize(((to - from) * LANES).max(self.values.len()), 0.0);
        let (lanes, _) = self.values.as_chunks_mut::<LANES>();
        let items = &network.groups()[from * network.dim..to * network.dim];
        kernels::first(level, &self.folded, network.bias(0), items, &mut lanes[..to - from]);
        self.values.copy_within(first % LANES..first % LANES + n, 0);
        self.slots.clear();
        self.slots.extend(first as u32..(first + n) as u32);
    }

    /// Values of the first stage for a list of items, whose places count from `first`.
    pub(super) fn first_of(&mut self, network: &Network, first: usize, items: impl ExactSizeIterator<Item = usize>) {
        self.slots.clear();
        self.slots.extend(first as u32..(first + items.len()) as u32);
        self.values.resize(items.len().max(self.values.len()), 0.0);
        for (value, item) in self.values.iter_mut().zip(items) {
            *value = kernels::first_of(&self.folded, network.bias(0), network.item(item));
        }
    }

    /// Fetches the vectors of the pairs at hand; `item` tells whose of a slot.
    pub(super) fn gather(&mut self, network: &Network, user: &[f32], item: impl Fn(u32) -> usize) {
        let stride = network.chunks * LANES;
        let size = self.slots.len().next_multiple_of(ROWS) * stride;
        for buffer in [&mut self.z, &mut self.h, &mut self.next] {
            // What is left of earlier pairs fills the last block; it is finite, and nobody reads what becomes of it.
            buffer.resize(size.max(buffer.len()), 0.0);
        }
        for (slot, row) in self.slots.iter().zip(self.z.chunks_exact_mut(stride)) {
            let products = user.iter().zip(network.item(item(*slot)));
            for (z, (p, q)) in row.iter_mut().zip(products) {
                *z = p * q;
            }
        }
    }

    /// Takes the pairs at hand through module `stage` (from 1), and computes the values of the next head.
    pub(super) fn advance(&mut self, network: &Network, level: Level, stage: usize) {
        let (n, chunks) = (self.slots.len(), network.chunks);
        let size = n.next_multiple_of(ROWS) * chunks * LANES;
        let (layer, next) = (network.packed_layer(stage - 1), &mut self.next[..size]);
        kernels::layer(level, &self.z[..size], &self.h[..size], layer, network.dim, chunks, next);
        std::mem::swap(&mut self.h, &mut self.next);
        self.values.resize(n.max(self.values.len()), 0.0);
        let (head, bias) = (network.packed_head(stage), network.bias(stage));
        kernels::heads(level, &self.z, &self.h, head, bias, chunks, &mut self.values[..n]);
    }

    /// Drops the pairs that module `module` (from 0) rejects, showing each to `rejected`.
    ///
    /// `rows` is the length of a row that has to move along; 0 if none was fetched yet.
    pub(super) fn compact<R: Rule>(
        &mut self,
        module: usize,
        rule: &R,
        rows: usize,
        mut rejected: impl FnMut(u32, f32),
    ) {
        let mut n = 0;
        for at in 0..self.slots.len() {
            let (slot, value) = (self.slots[at], self.values[at]);
            let keeps = rule.keeps(module, slot, value);
            // Written either way: a branch per item would be mispredicted too often in the first stage.
            self.slots[n] = slot;
            if rows > 0 && keeps && n < at {
                for buffer in [&mut self.z, &mut self.h] {
                    buffer.copy_within(at * rows..(at + 1) * rows, n * rows);
                }
            }
            if !keeps {
                rejected(slot, value);
            }
            n += usize::from(keeps);
        }
        self.slots.truncate(n);
    }

    /// Takes the pairs whose first values are at hand to the end.
    ///
    /// `emit` gets the place of each pair with its score, or, if it was rejected, with its [`marker`](super::rejection::marker).
    #[expect(clippy::too_many_arguments, reason = "a network, a user, a rule, and where results go")]
    pub(super) fn finish<R: Rule>(
        &mut self,
        network: &Network,
        level: Level,
        user: &[f32],
        rule: &mut R,
        item: impl Fn(u32) -> usize,
        entered: &mut Entered,
        mut emit: impl FnMut(u32, Outcome),
    ) {
        let n_modules = network.n_modules();
        let stride = network.chunks * LANES;
        entered[0] += self.slots.len() as u64;
        for module in 0..n_modules {
            rule.see(module, &self.slots, &self.values[..self.slots.len()]);
            let rows = if module == 0 { 0 } else { stride };
            self.compact(module, rule, rows, |slot, value| emit(slot, Outcome::Rejected { module, value }));
            if self.slots.is_empty() {
                return;
            }
            if module == 0 {
                self.gather(network, user, &item);
            }
            entered[module + 1] += self.slots.len() as u64;
            self.advance(network, level, module + 1);
        }
        for (slot, score) in self.slots.iter().zip(&self.values) {
            emit(*slot, Outcome::Scored(*score));
        }
    }
}

/// What became of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// It has this score.
    Scored(f32),
    /// This module (from 0) rejected it at this value.
    Rejected { module: usize, value: f32 },
}
