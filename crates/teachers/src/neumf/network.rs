//! One step of training, written out: forward, backward, optimiser.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::bce_with_logits;
use rectify_tensor::train::{BoxError, Entities, Guide, Guides, Lists};
use rectify_tensor::{DenseKey, DistinctRows, Init, ParamStore, RowsKey};

use super::NeuMfConfig;
use super::kernels::{Rows, Widths};
use super::pass::{Gradients, Pass};
use crate::Reduction;

/// Where each parameter stands in the store.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) users: RowsKey,
    pub(super) items: RowsKey,
    /// (weight, bias) of each layer of the tower.
    pub(super) layers: Vec<(DenseKey, DenseKey)>,
    pub(super) output: DenseKey,
    pub(super) bias: DenseKey,
}

/// A store of fresh parameters.
pub(super) fn parameters(config: &NeuMfConfig, n_users: usize, n_items: usize, seed: Seed) -> (ParamStore, Keys) {
    let mut store = ParamStore::new(seed);
    let (dim, init) = (config.embedding_dim(), Init::Normal { std: config.init_std as f32 });
    let users = store.add_rows("users", n_users, dim, init, config.row_update);
    let items = store.add_rows("items", n_items, dim, init, config.row_update);
    let mut layers = Vec::new();
    for (l, (inputs, outputs)) in config.layers().into_iter().enumerate() {
        let weight = store.add_dense(&format!("layer.{l}.weight"), inputs, outputs, Init::GlorotUniform);
        layers.push((weight, store.add_dense(&format!("layer.{l}.bias"), 1, outputs, Init::Zeros)));
    }
    let output = store.add_dense("output.weight", config.joint_dim(), 1, Init::GlorotUniform);
    let bias = store.add_dense("output.bias", 1, 1, Init::Zeros);
    (store, Keys { users, items, layers, output, bias })
}

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
    users: DistinctRows,
    items: DistinctRows,
    user_slots: Vec<u32>,
    item_slots: Vec<u32>,
    pass: Pass,
    gradients: Gradients,
    /// What a guide asked for, and the columns of its pairs.
    lists: Lists,
    list_users: Vec<u32>,
    list_user_slots: Vec<u32>,
    list_item_slots: Vec<u32>,
}

/// Pairs of lists that go through the network at a time: their inner values stay in the cache.
const LIST_PAIRS: usize = 4096;

impl Network {
    pub(super) fn new(config: &NeuMfConfig, n_users: usize, n_items: usize) -> Self {
        let widths = Widths { gmf: config.gmf_dim, mlp: config.mlp_dim, joint: config.joint_dim() };
        Self {
            widths,
            users: DistinctRows::new(n_users),
            items: DistinctRows::new(n_items),
            user_slots: Vec::new(),
            item_slots: Vec::new(),
            pass: Pass::new(widths, config.hidden.len()),
            gradients: Gradients::new(config),
            lists: Lists::default(),
            list_users: Vec::new(),
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
        let (n, w, optimizer) = (batch.users.len(), self.widths, &config.optimizer);
        self.users.index(&batch.users, &mut self.user_slots);
        self.items.index(&batch.items, &mut self.item_slots);
        self.gradients.clear(w, self.users.rows().len(), self.items.rows().len());
        let scale = match config.reduction {
            Reduction::Mean => 1.0 / n as f32,
            Reduction::Sum => 1.0,
        };

        self.pass.forward(store, keys, (&batch.users, self.users.rows()), (&batch.items, self.items.rows()));
        self.pass.d_logits.resize(n, 0.0);
        let mut loss = bce_with_logits(&self.pass.logits, &batch.labels, scale, &mut self.pass.d_logits);
        self.pass.d_joint.clear();
        for guide in guides.iter_mut().filter(|guide| guide.wants_hidden()) {
            self.pass.d_joint.resize(n * w.joint, 0.0);
            let of = Entities::Pairs { users: &batch.users, items: &batch.items };
            loss += guide.hidden_loss(of, &self.pass.joint, scale, store, &mut self.pass.d_joint)?;
        }
        let user_rows = Rows { ids: &batch.users, slots: &self.user_slots };
        let item_rows = Rows { ids: &batch.items, slots: &self.item_slots };
        self.pass.backward(
            store,
            keys,
            (user_rows, self.users.rows()),
            (item_rows, self.items.rows()),
            &mut self.gradients,
        );
        for guide in guides.iter_mut() {
            self.lists.clear(0);
            guide.lists(self.users.rows(), &mut self.lists);
            let lists = std::mem::take(&mut self.lists);
            loss += self.score_lists(store, keys, &lists, scale, &mut **guide)?;
            self.lists = lists;
        }
        guides.iter_mut().for_each(|guide| guide.step(store, optimizer));

        let [users, items] = store.rows_mut([keys.users, keys.items]);
        users.apply(self.users.rows(), &self.gradients.users, optimizer);
        items.apply(self.items.rows(), &self.gradients.items, optimizer);
        for ((weight, bias), (d_weight, d_bias)) in keys.layers.iter().zip(&self.gradients.layers) {
            let [weight, bias] = store.dense_mut([*weight, *bias]);
            weight.apply(d_weight, optimizer);
            bias.apply(d_bias, optimizer);
        }
        let [output, bias] = store.dense_mut([keys.output, keys.bias]);
        output.apply(&self.gradients.output, optimizer);
        bias.apply(&[self.gradients.bias], optimizer);
        Ok(loss)
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
        self.items.add(&lists.items, &mut self.list_item_slots);
        self.gradients.items.resize(self.items.rows().len() * (self.widths.gmf + self.widths.mlp), 0.0);
        let at_a_time = (LIST_PAIRS / lists.len).max(1);
        let pieces = lists.places.chunks(at_a_time).zip(lists.items.chunks(at_a_time * lists.len));
        let slots = std::mem::take(&mut self.list_item_slots);
        for ((places, items), item_slots) in pieces.zip(slots.chunks(at_a_time * lists.len)) {
            self.list_user_slots.clear();
            self.list_user_slots.extend(places.iter().flat_map(|place| std::iter::repeat_n(*place, lists.len)));
            self.list_users.clear();
            self.list_users.extend(self.list_user_slots.iter().map(|slot| self.users.rows()[*slot as usize]));
            self.pass.forward(store, keys, (&self.list_users, self.users.rows()), (items, self.items.rows()));
            let piece = Lists { len: lists.len, places: places.to_vec(), items: items.to_vec() };
            self.pass.d_logits.resize(items.len(), 0.0);
            let (scores, d_scores) = (&self.pass.logits, &mut self.pass.d_logits);
            total += guide.score_loss(self.users.rows(), &piece, scores, scale, d_scores)?;
            self.pass.d_joint.clear();
            let user_rows = Rows { ids: &self.list_users, slots: &self.list_user_slots };
            let item_rows = Rows { ids: items, slots: item_slots };
            let (users, items) = ((user_rows, self.users.rows()), (item_rows, self.items.rows()));
            self.pass.backward(store, keys, users, items, &mut self.gradients);
        }
        self.list_item_slots = slots;
        Ok(total)
    }
}
