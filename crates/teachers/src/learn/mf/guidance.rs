//! What guides see of a step of matrix factorisation, and where their gradients go.

use rectify_tensor::kernels::{gather_rows, list_dots, list_dots_backward, scatter_add_rows};
use rectify_tensor::train::{BoxError, Entities, Guides, Lists};
use rectify_tensor::{DistinctRows, ParamStore, RowTable};

/// The guides of a training, and what each asked for in this step.
pub(super) struct Guidance<'g> {
    pub(super) guides: Guides<'g>,
    /// Lists of each guide, and the slot of each of their items.
    asked: Vec<(Lists, Vec<u32>)>,
    distinct: DistinctRows,
    slots: Vec<u32>,
    chosen: Vec<u32>,
    vectors: Vec<f32>,
    d_vectors: Vec<f32>,
    scores: Vec<f32>,
    d_scores: Vec<f32>,
}

/// The samples of a step, as a guide may want to see them.
pub(super) struct Samples<'a> {
    /// Distinct users.
    pub(super) users: &'a [u32],
    /// Items of the samples: all chosen if `labels` is empty.
    pub(super) items: &'a [u32],
    /// Items not chosen, where they stand apart.
    pub(super) others: &'a [u32],
    pub(super) labels: &'a [f32],
}

/// Copies of the step's distinct vectors (rows, dim), as they are before it.
pub(super) struct Leaves {
    dim: usize,
    users: Vec<f32>,
    items: Vec<f32>,
}

impl Leaves {
    pub(super) fn gather(users: &mut RowTable, items: &mut RowTable, user_rows: &[u32], item_rows: &[u32]) -> Self {
        let dim = users.dim();
        let mut leaves = Self { dim, users: vec![0.0; user_rows.len() * dim], items: vec![0.0; item_rows.len() * dim] };
        users.gather(user_rows, &mut leaves.users);
        items.gather(item_rows, &mut leaves.items);
        leaves
    }
}

fn zeros(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

impl<'g> Guidance<'g> {
    pub(super) fn new(guides: Guides<'g>, n_items: usize) -> Self {
        Self {
            asked: guides.iter().map(|_| Default::default()).collect(),
            // Only guided trainings need the room.
            distinct: DistinctRows::new(if guides.is_empty() { 0 } else { n_items }),
            guides,
            slots: Vec::new(),
            chosen: Vec::new(),
            vectors: Vec::new(),
            d_vectors: Vec::new(),
            scores: Vec::new(),
            d_scores: Vec::new(),
        }
    }

    /// Lets guides ask for scores; adds their items to those of the step.
    pub(super) fn ask(&mut self, users: &[u32], items: &mut DistinctRows) {
        for (guide, (lists, slots)) in self.guides.iter_mut().zip(&mut self.asked) {
            lists.clear(0);
            slots.clear();
            guide.lists(users, lists);
            items.add(&lists.items, slots);
        }
    }

    /// Adds the guides' gradients; returns the sum of their losses.
    #[expect(clippy::too_many_arguments, reason = "what a step reads, and what it writes")]
    pub(super) fn guide(
        &mut self,
        samples: &Samples<'_>,
        leaves: &Leaves,
        items: &mut DistinctRows,
        scale: f32,
        params: &ParamStore,
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) -> Result<f64, BoxError> {
        let mut total = 0.0;
        for (guide, (lists, slots)) in self.guides.iter_mut().zip(&self.asked) {
            if !lists.items.is_empty() {
                zeros(&mut self.scores, lists.items.len());
                zeros(&mut self.d_scores, lists.items.len());
                let (p, q, dim) = (&leaves.users[..], &leaves.items[..], leaves.dim);
                list_dots(p, q, dim, &lists.places, slots, &mut self.scores);
                total += guide.score_loss(samples.users, lists, &self.scores, scale, &mut self.d_scores)?;
                list_dots_backward(p, q, dim, &lists.places, slots, &self.d_scores, d_users, d_items);
            }
            if guide.wants_hidden() {
                let users = Entities::Users(samples.users);
                total += guide.hidden_loss(users, &leaves.users, scale, params, d_users)?;
            }
        }
        if self.guides.iter().any(|guide| guide.wants_hidden()) {
            let labelled = !samples.labels.is_empty();
            for positive in [true, false] {
                self.chosen.clear();
                match (labelled, positive) {
                    (false, true) => self.chosen.extend_from_slice(samples.items),
                    (false, false) => self.chosen.extend_from_slice(samples.others),
                    (true, _) => {
                        let of_kind = samples.items.iter().zip(samples.labels).filter(|(_, y)| (**y > 0.5) == positive);
                        self.chosen.extend(of_kind.map(|(item, _)| *item));
                    }
                }
                self.distinct.index(&self.chosen, &mut self.slots);
                self.slots.clear();
                items.add(self.distinct.rows(), &mut self.slots);
                let dim = leaves.dim;
                zeros(&mut self.vectors, self.slots.len() * dim);
                gather_rows(&leaves.items, dim, &self.slots, &mut self.vectors);
                zeros(&mut self.d_vectors, self.slots.len() * dim);
                for guide in self.guides.iter_mut().filter(|guide| guide.wants_hidden()) {
                    let rows = self.distinct.rows();
                    let of = if positive { Entities::Positives(rows) } else { Entities::Negatives(rows) };
                    total += guide.hidden_loss(of, &self.vectors, scale, params, &mut self.d_vectors)?;
                }
                scatter_add_rows(&self.d_vectors, dim, &self.slots, d_items);
            }
        }
        Ok(total)
    }
}
