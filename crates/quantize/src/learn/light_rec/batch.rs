//! The samples of a step, by the distinct rows they touch.

use rectify_data::samplers::PositiveBatch;
use rectify_tensor::DistinctRows;

/// Interactions with their negatives; reused from step to step.
///
/// Items come as positives (n), then negatives (n · L); users and items are numbered by their place among the distinct ones.
pub(super) struct Batch {
    pub(super) n: usize,
    /// Negatives of an interaction (`L`).
    pub(super) n_negatives: usize,
    pub(super) users: DistinctRows,
    pub(super) items: DistinctRows,
    /// Places of users (n), and the same for each pair of a positive and a negative (n · L).
    pub(super) user_slots: Vec<u32>,
    pub(super) pair_users: Vec<u32>,
    /// Places of items (n + n · L), and of positives for each pair (n · L).
    pub(super) item_slots: Vec<u32>,
    pub(super) pair_positives: Vec<u32>,
    /// The items themselves (n + n · L), and the users (n).
    pub(super) item_ids: Vec<u32>,
    pub(super) user_ids: Vec<u32>,
}

impl Batch {
    pub(super) fn new(n_users: usize, n_items: usize) -> Self {
        Self {
            n: 0,
            n_negatives: 0,
            users: DistinctRows::new(n_users),
            items: DistinctRows::new(n_items),
            user_slots: Vec::new(),
            pair_users: Vec::new(),
            item_slots: Vec::new(),
            pair_positives: Vec::new(),
            item_ids: Vec::new(),
            user_ids: Vec::new(),
        }
    }

    pub(super) fn fill(&mut self, drawn: PositiveBatch<'_>) {
        self.n = drawn.users.len();
        self.n_negatives = drawn.negatives.len() / self.n;
        self.user_ids.clear();
        self.user_ids.extend_from_slice(drawn.users);
        self.item_ids.clear();
        self.item_ids.extend_from_slice(drawn.positives);
        self.item_ids.extend_from_slice(drawn.negatives);
        self.users.index(drawn.users, &mut self.user_slots);
        self.items.index(&self.item_ids, &mut self.item_slots);
        let each = |slots: &[u32], out: &mut Vec<u32>| {
            out.clear();
            out.extend(slots.iter().flat_map(|&slot| std::iter::repeat_n(slot, self.n_negatives)));
        };
        each(&self.user_slots, &mut self.pair_users);
        each(&self.item_slots[..self.n], &mut self.pair_positives);
    }

    /// Places of the negatives (n · L).
    pub(super) fn negative_slots(&self) -> &[u32] {
        &self.item_slots[self.n..]
    }
}
