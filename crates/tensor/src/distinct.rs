//! The distinct rows of a batch, and where each occurrence finds its own.

/// Numbers the distinct rows of a batch from 0, in order of first appearance.
///
/// ```
/// use rectify_tensor::DistinctRows;
///
/// let mut distinct = DistinctRows::new(10);
/// let mut slots = Vec::new();
/// distinct.index(&[7, 2, 7, 9], &mut slots);
/// assert_eq!((distinct.rows(), &slots[..]), (&[7, 2, 9][..], &[0, 1, 0, 2][..]));
/// ```
#[derive(Clone, Debug)]
pub struct DistinctRows {
    slot_of: Vec<u32>,
    rows: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl DistinctRows {
    /// For a table of `n_rows`; holds one number a row, reused from batch to batch.
    #[must_use]
    pub fn new(n_rows: usize) -> Self {
        Self { slot_of: vec![NONE; n_rows], rows: Vec::new() }
    }

    /// Starts a new batch.
    pub fn clear(&mut self) {
        for row in self.rows.drain(..) {
            self.slot_of[row as usize] = NONE;
        }
    }

    /// Adds occurrences to the batch, appending the slot of each to `slots`.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn add(&mut self, ids: &[u32], slots: &mut Vec<u32>) {
        slots.reserve(ids.len());
        for &id in ids {
            let slot = &mut self.slot_of[id as usize];
            if *slot == NONE {
                *slot = self.rows.len() as u32;
                self.rows.push(id);
            }
            slots.push(*slot);
        }
    }

    /// A batch of these occurrences alone: `slots[j]` becomes the place of `ids[j]` in [`rows`](Self::rows).
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn index(&mut self, ids: &[u32], slots: &mut Vec<u32>) {
        self.clear();
        slots.clear();
        self.add(ids, slots);
    }

    /// The distinct rows of the batch.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_do_not_see_each_other() {
        let mut distinct = DistinctRows::new(4);
        let mut slots = vec![];
        distinct.index(&[3, 3, 0], &mut slots);
        distinct.index(&[0, 1], &mut slots);
        assert_eq!((distinct.rows(), &slots[..]), (&[0, 1][..], &[0, 1][..]));
        distinct.add(&[1, 2], &mut slots);
        assert_eq!((distinct.rows(), &slots[..]), (&[0, 1, 2][..], &[0, 1, 1, 2][..]));
    }
}
