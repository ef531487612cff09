//! One epoch: draw, and step by step follow the gradient.

use rectify_tensor::kernels::{Labelled, Pairs, bce, bpr};
use rectify_tensor::train::{BoxError, EpochStats, Step, TrainError};
use rectify_tensor::{DistinctRows, ParamStore, RowsKey};

use super::guidance::{Guidance, Leaves, Samples};
use super::{MfConfig, MfLoss, Training};

impl Step for Training<'_, '_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        self.begin_epoch(epoch)?;
        let Self { config, params, users, items, batches, batch, guidance } = self;
        let tables = [*users, *items];
        let (mut loss, mut samples) = (0.0, 0);
        batches.for_each(epoch, config.batch_size, config.n_negatives, |drawn| {
            batch.fill(config.loss, drawn.users, drawn.positives, drawn.negatives);
            let step = batch.step(config, params, tables, guidance);
            loss += step.map_err(|source| TrainError::Model { epoch, source })?;
            samples += batch.users.len() as u64;
            Ok::<(), TrainError>(())
        })?;
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

/// The samples of one step, and its gradient; reused from step to step.
///
/// A BPR sample is a user with `items` (chosen) and `others` (not chosen); a labelled one has `items` alone.
pub(super) struct Batch {
    users: Vec<u32>,
    items: Vec<u32>,
    others: Vec<u32>,
    labels: Vec<f32>,
    user_slots: Vec<u32>,
    item_slots: Vec<u32>,
    distinct_users: DistinctRows,
    distinct_items: DistinctRows,
    d_users: Vec<f32>,
    d_items: Vec<f32>,
}

/// What a sample has beside a user and an item.
#[cfg(feature = "cuda")]
pub(super) enum Contrast<'a> {
    /// BPR: where its negative is among the distinct items.
    Negatives(&'a [u32]),
    /// Cross-entropy: its label.
    Labels(&'a [f32]),
}

impl Batch {
    pub(super) fn new(n_users: usize, n_items: usize) -> Self {
        Self {
            users: Vec::new(),
            items: Vec::new(),
            others: Vec::new(),
            labels: Vec::new(),
            user_slots: Vec::new(),
            item_slots: Vec::new(),
            distinct_users: DistinctRows::new(n_users),
            distinct_items: DistinctRows::new(n_items),
            d_users: Vec::new(),
            d_items: Vec::new(),
        }
    }

    /// Lays interactions and their negatives out as samples.
    pub(super) fn fill(&mut self, loss: MfLoss, users: &[u32], positives: &[u32], negatives: &[u32]) {
        let per_positive = negatives.len() / positives.len();
        self.users.clear();
        self.items.clear();
        self.others.clear();
        self.labels.clear();
        match loss {
            MfLoss::Bpr => {
                let each = |ids: &[u32], out: &mut Vec<u32>| {
                    out.extend(ids.iter().flat_map(|&id| std::iter::repeat_n(id, per_positive)));
                };
                each(users, &mut self.users);
                each(positives, &mut self.items);
                self.others.extend_from_slice(negatives);
            }
            MfLoss::Bce => {
                for ((&user, &positive), negatives) in
                    users.iter().zip(positives).zip(negatives.chunks_exact(per_positive))
                {
                    self.users.extend(std::iter::repeat_n(user, per_positive + 1));
                    self.items.push(positive);
                    self.items.extend_from_slice(negatives);
                    self.labels.push(1.0);
                    self.labels.extend(std::iter::repeat_n(0.0, per_positive));
                }
            }
        }
        self.distinct_users.index(&self.users, &mut self.user_slots);
        self.distinct_items.index(&self.items, &mut self.item_slots);
        self.distinct_items.add(&self.others, &mut self.item_slots);
    }

    /// Distinct users and items.
    #[cfg(feature = "cuda")]
    pub(super) fn rows(&self) -> (&[u32], &[u32]) {
        (self.distinct_users.rows(), self.distinct_items.rows())
    }

    /// For each sample where its user and item are among the distinct ones, and what stands beside them.
    #[cfg(feature = "cuda")]
    pub(super) fn samples(&self) -> (&[u32], &[u32], Contrast<'_>) {
        let (i, j) = self.item_slots.split_at(self.users.len());
        let contrast = if self.labels.is_empty() { Contrast::Negatives(j) } else { Contrast::Labels(&self.labels) };
        (&self.user_slots, i, contrast)
    }

    #[cfg(feature = "cuda")]
    pub(super) fn n_samples(&self) -> u64 {
        self.users.len() as u64
    }

    /// One step; returns the sum of the samples' losses before it, and of what guides add.
    fn step(
        &mut self,
        config: &MfConfig,
        params: &mut ParamStore,
        tables: [RowsKey; 2],
        guidance: &mut Guidance<'_>,
    ) -> Result<f64, BoxError> {
        guidance.ask(self.distinct_users.rows(), &mut self.distinct_items);
        let dim = config.embedding_dim;
        let clear = |gradient: &mut Vec<f32>, n_rows: usize| {
            gradient.clear();
            gradient.resize(n_rows * dim, 0.0);
        };
        clear(&mut self.d_users, self.distinct_users.rows().len());
        clear(&mut self.d_items, self.distinct_items.rows().len());
        let n = self.users.len();
        let scale = config.reduction.scale(n);
        let l2 = config.l2 as f32 * scale;
        let (d_users, d_items) = (&mut self.d_users[..], &mut self.d_items[..]);
        let [users, items] = params.rows_mut(tables);
        let (p, q) = (users.refresh(self.distinct_users.rows()), items.refresh(self.distinct_items.rows()));
        let mut loss = match config.loss {
            MfLoss::Bpr => {
                let pairs = Pairs {
                    users: &self.users,
                    positives: &self.items,
                    negatives: &self.others,
                    user_slots: &self.user_slots,
                    positive_slots: &self.item_slots[..n],
                    negative_slots: &self.item_slots[n..],
                };
                bpr(p, q, dim, &pairs, scale, l2, d_users, d_items)
            }
            MfLoss::Bce => {
                let samples = Labelled {
                    users: &self.users,
                    items: &self.items,
                    labels: &self.labels,
                    user_slots: &self.user_slots,
                    item_slots: &self.item_slots,
                };
                bce(p, q, dim, &samples, scale, l2, d_users, d_items)
            }
        };
        if !guidance.guides.is_empty() {
            let samples = Samples {
                items: &self.items,
                // Of labelled samples, those with label 0 are the negatives.
                others: &self.others,
                labels: &self.labels,
                users: self.distinct_users.rows(),
            };
            let leaves = Leaves::gather(users, items, self.distinct_users.rows(), self.distinct_items.rows());
            loss += guidance.guide(&samples, &leaves, &mut self.distinct_items, scale, params, d_users, d_items)?;
            guidance.guides.iter_mut().for_each(|guide| guide.step(params, &config.optimizer));
        }
        let [users, items] = params.rows_mut(tables);
        users.apply(self.distinct_users.rows(), &self.d_users, &config.optimizer);
        items.apply(self.distinct_items.rows(), &self.d_items, &config.optimizer);
        Ok(loss)
    }
}
