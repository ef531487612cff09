//! Batches of BPR triples on a graph: which rows of the node table they touch, and their loss on these rows.

use rectify_data::samplers::PositiveBatch;
use rectify_tensor::DistinctRows;
use rectify_tensor::kernels::{Pairs, bpr, squared_norm};

use crate::learn::graph::Graph;

/// Triples (user, positive item, negative item), as rows of the node table.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) users: Vec<u32>,
    pub(crate) positives: Vec<u32>,
    pub(crate) negatives: Vec<u32>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.users.clear();
        self.positives.clear();
        self.negatives.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Interactions with a negative each, by their nodes.
    pub(crate) fn set(&mut self, drawn: PositiveBatch<'_>, graph: &Graph) {
        self.clear();
        self.users.extend(drawn.users.iter().map(|user| graph.users()[*user as usize]));
        self.positives.extend(drawn.positives.iter().map(|item| graph.items()[*item as usize]));
        self.negatives.extend(drawn.negatives.iter().map(|item| graph.items()[*item as usize]));
    }
}

/// The distinct rows of a batch, users first, and the slot of each occurrence among them.
#[derive(Debug)]
pub(crate) struct BatchRows {
    users: DistinctRows,
    items: DistinctRows,
    slots: [Vec<u32>; 3],
    rows: Vec<u32>,
}

impl BatchRows {
    pub(crate) fn new(n_nodes: usize) -> Self {
        let (users, items) = (DistinctRows::new(n_nodes), DistinctRows::new(n_nodes));
        Self { users, items, slots: Default::default(), rows: Vec::new() }
    }

    pub(crate) fn index(&mut self, batch: &Batch) {
        let [users, positives, negatives] = &mut self.slots;
        self.users.index(&batch.users, users);
        self.items.index(&batch.positives, positives);
        negatives.clear();
        self.items.add(&batch.negatives, negatives);
        self.rows.clear();
        self.rows.extend_from_slice(self.users.rows());
        self.rows.extend_from_slice(self.items.rows());
    }

    /// Distinct rows of the node table.
    pub(crate) fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The rows of each triple among [`rows`](Self::rows), where users stand before items.
    #[cfg(feature = "cuda")]
    pub(crate) fn leaf_slots(&self) -> [Vec<u32>; 3] {
        let behind = self.users.rows().len() as u32;
        let [users, positives, negatives] = &self.slots;
        [users.clone(), positives.iter().map(|i| i + behind).collect(), negatives.iter().map(|j| j + behind).collect()]
    }

    /// Triples of the batch.
    pub(crate) fn n_triples(&self) -> usize {
        self.slots[0].len()
    }

    /// Mean BPR of the batch whose vectors stand in `leaf`; `d_leaf` becomes the gradient of
    /// `mean BPR + l2/2 · Σ over occurrences |vector|² / n`.
    ///
    /// **Shapes**: leaf and d_leaf (rows, dim).
    pub(crate) fn bpr(&self, leaf: &[f32], dim: usize, l2: f32, d_leaf: &mut Vec<f32>) -> f64 {
        let [u, i, j] = &self.slots;
        d_leaf.clear();
        d_leaf.resize(leaf.len(), 0.0);
        let n_user_values = self.users.rows().len() * dim;
        let (users, items) = leaf.split_at(n_user_values);
        let (d_users, d_items) = d_leaf.split_at_mut(n_user_values);
        let scale = 1.0 / u.len() as f32;
        let pairs = Pairs { users: u, positives: i, negatives: j, user_slots: u, positive_slots: i, negative_slots: j };
        bpr(users, items, dim, &pairs, scale, l2 * scale, d_users, d_items) / u.len() as f64
    }

    /// `Σ |vector|²` over the occurrences of a batch.
    pub(crate) fn squares(&self, leaf: &[f32], dim: usize) -> f64 {
        let norms: Vec<f64> = leaf.chunks_exact(dim).map(|row| f64::from(squared_norm(row))).collect();
        let (users, items) = norms.split_at(self.users.rows().len());
        let [u, i, j] = &self.slots;
        let sum = |norms: &[f64], slots: &[u32]| slots.iter().map(|slot| norms[*slot as usize]).sum::<f64>();
        sum(users, u) + sum(items, i) + sum(items, j)
    }
}
