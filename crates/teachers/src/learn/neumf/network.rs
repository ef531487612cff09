//! One step of training, written out: forward, backward, optimiser.

use rectify_tensor::kernels::bce_with_logits;
use rectify_tensor::train::{BoxError, Entities, Guide, Guides, Lists};
use rectify_tensor::{DistinctRows, Optimizer, ParamStore};

use super::params::Keys;
use super::pass::{Gradients, Pass};
use super::shares::{Shares, Widths};
use crate::NeuMfConfig;

/// Samples of a step: (user, item, label) in three columns.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) users: Vec<u32>,
    pub(super) items: Vec<u32>,
    pub(super) labels: Vec<f32>,
}

impl Batch {
    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.items.clear();
        self.labels.clear();
    }

    pub(super) fn push(&mut self, user: u32, item: u32, label: f32) {
        self.users.push(user);
        self.items.push(item);
        self.labels.push(label);
    }
}

/// Buffers of a step; nothing in them outlives it.
#[derive(Debug)]
pub(super) struct Network {
    widths: Widths,
    users: Rows,
    items: Rows,
    pass: Pass,
    gradients: Gradients,
    /// What a guide asked for, and the columns of its pairs.
    lists: Lists,
    list_user_slots: Vec<u32>,
    list_item_slots: Vec<u32>,
}

/// The distinct rows of one side.
#[derive(Debug)]
struct Rows {
    distinct: DistinctRows,
    shares: Shares,
    /// Row of each sample of the batch.
    slots: Vec<u32>,
}

impl Rows {
    fn new(n_rows: usize, widths: Widths) -> Self {
        Self { distinct: DistinctRows::new(n_rows), shares: Shares::new(widths), slots: Vec::new() }
    }

    /// A new batch of these.
    fn index(&mut self, ids: &[u32]) {
        self.distinct.index(ids, &mut self.slots);
        self.shares.clear();
    }
}

/// Pairs of lists that go through the network at a time: their inner values stay in the cache.
const LIST_PAIRS: usize = 1024;

impl Network {
    pub(super) fn new(config: &NeuMfConfig, n_users: usize, n_items: usize) -> Self {
        let first = config.hidden.first().copied().unwrap_or(0);
        let widths = Widths { gmf: config.gmf_dim, mlp: config.mlp_dim, first };
        Self {
            widths,
            users: Rows::new(n_users, widths),
            items: Rows::new(n_items, widths),
            pass: Pass::new(config),
            gradients: Gradients::new(config),
            lists: Lists::default(),
            list_user_slots: Vec::new(),
            list_item_slots: Vec::new(),
        }
    }

    /// One step on the binary cross-entropy of a batch and what `guides` add to it; returns the sum of the samples' losses, and
    /// of the guides'.
    pub(super) fn step(
        &mut self,
        store: &mut ParamStore,
        keys: &Keys,
        batch: &Batch,
        config: &NeuMfConfig,
        guides: &mut Guides<'_>,
    ) -> Result<f64, BoxError> {
        let (n, optimizer) = (batch.users.len(), &config.optimizer);
        self.users.index(&batch.users);
        self.items.index(&batch.items);
        self.gradients.clear();
        let scale = config.reduction.scale(n);

        self.read(store, keys);
        let (users, d_users) = self.users.shares.reads(&self.users.slots);
        let (items, d_items) = self.items.shares.reads(&self.items.slots);
        self.pass.forward(store, keys, users, items);
        let mut loss = bce_with_logits(&self.pass.logits, &batch.labels, scale, &mut self.pass.d_logits);
        for guide in guides.iter_mut().filter(|guide| guide.wants_hidden()) {
            let of = Entities::Pairs { users: &batch.users, items: &batch.items };
            let (joint, d_joint) = self.pass.joint();
            loss += guide.hidden_loss(of, joint, scale, store, d_joint)?;
        }
        self.pass.backward(store, keys, (users, d_users), (items, d_items), &mut self.gradients);
        for guide in guides.iter_mut() {
            self.lists.clear(0);
            guide.lists(self.users.distinct.rows(), &mut self.lists);
            let lists = std::mem::take(&mut self.lists);
            loss += self.score_lists(store, keys, &lists, scale, &mut **guide)?;
            self.lists = lists;
        }
        guides.iter_mut().for_each(|guide| guide.step(store, optimizer));
        self.apply(store, keys, optimizer);
        Ok(loss)
    }

    /// Reads the rows that are not read yet.
    fn read(&mut self, store: &mut ParamStore, keys: &Keys) {
        let first = keys
            .layers
            .first()
            .map(|(weight, bias)| (store.dense(*weight).values().to_vec(), store.dense(*bias).values().to_vec()));
        let (weight, bias) = first.unwrap_or_default();
        let (user_half, item_half) = weight.split_at(self.widths.mlp * self.widths.first);
        let [users, items] = store.rows_mut([keys.users, keys.items]);
        self.users.shares.read(users, self.users.distinct.rows(), user_half, &bias);
        self.items.shares.read(items, self.items.distinct.rows(), item_half, &[]);
    }

    /// Follows the gradients.
    fn apply(&mut self, store: &mut ParamStore, keys: &Keys, optimizer: &Optimizer) {
        let half = self.widths.mlp * self.widths.first;
        let weight = keys.layers.first().map_or_else(Vec::new, |(weight, _)| store.dense(*weight).values().to_vec());
        let (user_half, item_half) = weight.split_at(half);
        let mut none = (Vec::new(), Vec::new());
        let (d_weight, d_bias) = self.gradients.layers.first_mut().unwrap_or(&mut none);
        let (d_user_half, d_item_half) = d_weight.split_at_mut(half);
        let [users, items] = store.rows_mut([keys.users, keys.items]);
        let d_users = self.users.shares.gradients(user_half, d_user_half, d_bias);
        users.apply(self.users.distinct.rows(), d_users, optimizer);
        let d_items = self.items.shares.gradients(item_half, d_item_half, &mut []);
        items.apply(self.items.distinct.rows(), d_items, optimizer);
        for ((weight, bias), (d_weight, d_bias)) in keys.layers.iter().zip(&self.gradients.layers) {
            let [weight, bias] = store.dense_mut([*weight, *bias]);
            weight.apply(d_weight, optimizer);
            bias.apply(d_bias, optimizer);
        }
        let [output, bias] = store.dense_mut([keys.output, keys.bias]);
        output.apply(&self.gradients.output, optimizer);
        bias.apply(&[self.gradients.bias], optimizer);
    }

    /// Loss of a guide's lists; their gradients join those of the batch.
    fn score_lists(
        &mut self,
        store: &mut ParamStore,
        keys: &Keys,
        lists: &Lists,
        scale: f32,
        guide: &mut dyn Guide,
    ) -> Result<f64, BoxError> {
        let mut total = 0.0;
        if lists.items.is_empty() {
            return Ok(total);
        }
        self.list_item_slots.clear();
        self.items.distinct.add(&lists.items, &mut self.list_item_slots);
        self.read(store, keys);
        let at_a_time = (LIST_PAIRS / lists.len).max(1);
        let pieces = lists.places.chunks(at_a_time).zip(lists.items.chunks(at_a_time * lists.len));
        for ((places, ids), item_slots) in pieces.zip(self.list_item_slots.chunks(at_a_time * lists.len)) {
            self.list_user_slots.clear();
            self.list_user_slots.extend(places.iter().flat_map(|place| std::iter::repeat_n(*place, lists.len)));
            let (users, d_users) = self.users.shares.reads(&self.list_user_slots);
            let (items, d_items) = self.items.shares.reads(item_slots);
            self.pass.forward(store, keys, users, items);
            let piece = Lists { len: lists.len, places: places.to_vec(), items: ids.to_vec() };
            let (scores, d_scores) = (&self.pass.logits, &mut self.pass.d_logits);
            total += guide.score_loss(self.users.distinct.rows(), &piece, scores, scale, d_scores)?;
            self.pass.backward(store, keys, (users, d_users), (items, d_items), &mut self.gradients);
        }
        Ok(total)
    }
}
