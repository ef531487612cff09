//! Rejection of a given share of one user's items.

use super::stages::Rule;

/// Keeps the pairs with the smallest values, so many after each module; equal values go by place.
pub(super) struct Share {
    kept: Vec<usize>,
    /// The last pair that the current module keeps.
    last: (f32, u32),
    order: Vec<(f32, u32)>,
}

impl Share {
    pub(super) fn new(kept: Vec<usize>) -> Self {
        Self { kept, last: (f32::INFINITY, u32::MAX), order: Vec::new() }
    }
}

impl Rule for Share {
    fn see(&mut self, module: usize, slots: &[u32], values: &[f32]) {
        let kept = self.kept[module];
        if kept == 0 || kept >= slots.len() {
            self.last = (f32::INFINITY, u32::MAX);
            return;
        }
        self.order.clear();
        self.order.extend(values.iter().map(|value| value + 0.0).zip(slots.iter().copied()));
        let by = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        self.last = *self.order.select_nth_unstable_by(kept - 1, by).1;
    }

    fn keeps(&self, _: usize, slot: u32, value: f32) -> bool {
        value < self.last.0 || value == self.last.0 && slot <= self.last.1
    }
}
