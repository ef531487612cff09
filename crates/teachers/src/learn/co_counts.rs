//! How many users two items share: the sparse product XᵀX, a row at a time.

use rectify_core::ItemId;
use rectify_data::Interactions;

/// One row of XᵀX while it is counted; reused from item to item.
#[derive(Debug)]
pub(crate) struct CoCounts {
    counts: Vec<u32>,
    touched: Vec<ItemId>,
}

impl CoCounts {
    pub(crate) fn new(n_items: usize) -> Self {
        Self { counts: vec![0; n_items], touched: Vec::new() }
    }

    /// Counts the row of `item`; takes the sum of n_u over its users.
    pub(crate) fn count(&mut self, train: &Interactions, item: ItemId) {
        for other in self.touched.drain(..) {
            self.counts[other.index()] = 0;
        }
        for &user in train.users_of(item) {
            for &other in train.items_of(user) {
                let count = &mut self.counts[other.index()];
                if *count == 0 {
                    self.touched.push(other);
                }
                *count += 1;
            }
        }
    }

    /// Items that share a user with the counted one (itself included), in a fixed order, and how many users.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ItemId, u32)> + '_ {
        self.touched.iter().map(|&item| (item, self.counts[item.index()]))
    }
}
