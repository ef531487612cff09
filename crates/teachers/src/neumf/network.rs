//! One step of training, written out: forward, backward, optimiser.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::{Activation, Op, bce_with_logits, dots, gemm, linear_bias_act, linear_bias_act_backward};
use rectify_tensor::{DenseKey, DistinctRows, Init, Optimizer, ParamStore, RowsKey};

use super::NeuMfConfig;
use super::kernels::{Rows, Widths, add_gradients, outer, read_pairs};

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
    /// Input of the tower, then the output of each layer.
    activations: Vec<Vec<f32>>,
    /// Their gradients.
    d_activations: Vec<Vec<f32>>,
    /// (weight, bias) gradients of each layer.
    d_layers: Vec<(Vec<f32>, Vec<f32>)>,
    joint: Vec<f32>,
    logits: Vec<f32>,
    d_logits: Vec<f32>,
    /// The output layer's weights of the product branch, as they were forward.
    product_weights: Vec<f32>,
    d_output: Vec<f32>,
    d_users: Vec<f32>,
    d_items: Vec<f32>,
}

fn zeros(buffer: &mut Vec<f32>, len: usize) {
    buffer.clear();
    buffer.resize(len, 0.0);
}

impl Network {
    pub(super) fn new(config: &NeuMfConfig, n_users: usize, n_items: usize) -> Self {
        let n_layers = config.hidden.len();
        Self {
            widths: Widths { gmf: config.gmf_dim, mlp: config.mlp_dim, joint: config.joint_dim() },
            users: DistinctRows::new(n_users),
            items: DistinctRows::new(n_items),
            user_slots: Vec::new(),
            item_slots: Vec::new(),
            activations: vec![Vec::new(); n_layers + 1],
            d_activations: vec![Vec::new(); n_layers + 1],
            d_layers: config.layers().iter().map(|(i, o)| (vec![0.0; i * o], vec![0.0; *o])).collect(),
            joint: Vec::new(),
            logits: Vec::new(),
            d_logits: Vec::new(),
            product_weights: vec![0.0; config.gmf_dim],
            d_output: vec![0.0; config.joint_dim()],
            d_users: Vec::new(),
            d_items: Vec::new(),
        }
    }

    /// One step on the mean binary cross-entropy of a batch; returns the sum of the samples' losses.
    pub(super) fn step(&mut self, store: &mut ParamStore, keys: &Keys, batch: &Batch, optimizer: &Optimizer) -> f64 {
        let (n, w) = (batch.users.len(), self.widths);
        self.users.index(&batch.users, &mut self.user_slots);
        self.items.index(&batch.items, &mut self.item_slots);
        self.joint.resize(n * w.joint, 0.0);
        self.activations[0].resize(n * 2 * w.mlp, 0.0);

        let [users, items] = store.rows_mut([keys.users, keys.items]);
        let (user_values, item_values) = (users.refresh(self.users.rows()), items.refresh(self.items.rows()));
        let (joint, input) = (&mut self.joint, &mut self.activations[0]);
        read_pairs(user_values, item_values, &batch.users, &batch.items, w, joint, input);
        let loss = self.forward_backward(store, keys, &batch.labels);

        let [users, items] = store.rows_mut([keys.users, keys.items]);
        let (user_values, item_values) = (users.refresh(self.users.rows()), items.refresh(self.items.rows()));
        let dim = w.gmf + w.mlp;
        zeros(&mut self.d_users, self.users.rows().len() * dim);
        zeros(&mut self.d_items, self.items.rows().len() * dim);
        add_gradients(
            user_values,
            item_values,
            Rows { ids: &batch.users, slots: &self.user_slots },
            Rows { ids: &batch.items, slots: &self.item_slots },
            w,
            &self.d_logits,
            &self.product_weights,
            &self.d_activations[0],
            &mut self.d_users,
            &mut self.d_items,
        );
        users.apply(self.users.rows(), &self.d_users, optimizer);
        items.apply(self.items.rows(), &self.d_items, optimizer);
        for ((weight, bias), (d_weight, d_bias)) in keys.layers.iter().zip(&self.d_layers) {
            let [weight, bias] = store.dense_mut([*weight, *bias]);
            weight.apply(d_weight, optimizer);
            bias.apply(d_bias, optimizer);
        }
        let [output, bias] = store.dense_mut([keys.output, keys.bias]);
        output.apply(&self.d_output, optimizer);
        bias.apply(&[self.d_logits.iter().sum()], optimizer);
        loss
    }

    /// From the inputs in `joint` and `activations[0]` to the gradients of everything but the tables.
    fn forward_backward(&mut self, store: &ParamStore, keys: &Keys, labels: &[f32]) -> f64 {
        let (n, w) = (labels.len(), self.widths);
        for (l, (weight, bias)) in keys.layers.iter().enumerate() {
            let (weight, bias) = (store.dense(*weight).values(), store.dense(*bias).values());
            let (below, above) = self.activations.split_at_mut(l + 1);
            above[0].resize(n * bias.len(), 0.0);
            linear_bias_act(&below[l], weight, bias, Activation::Relu, &mut above[0]);
        }
        let top = w.joint - w.gmf;
        if let Some(last) = self.activations.last().filter(|_| top > 0) {
            for (joint, last) in self.joint.chunks_exact_mut(w.joint).zip(last.chunks_exact(top)) {
                joint[w.gmf..].copy_from_slice(last);
            }
        }
        let (output, bias) = (store.dense(keys.output).values(), store.dense(keys.bias).values()[0]);
        self.logits.resize(n, 0.0);
        dots(output, &self.joint, &mut self.logits);
        self.logits.iter_mut().for_each(|z| *z += bias);
        self.product_weights.copy_from_slice(&output[..w.gmf]);
        self.d_logits.resize(n, 0.0);
        let loss = bce_with_logits(&self.logits, labels, 1.0 / n as f32, &mut self.d_logits);

        gemm((1, w.joint, n), 1.0, &self.d_logits, Op::Plain, &self.joint, Op::Plain, 0.0, &mut self.d_output);
        if top > 0 {
            let d_top = &mut self.d_activations[keys.layers.len()];
            d_top.resize(n * top, 0.0);
            outer(&self.d_logits, &output[w.gmf..], d_top);
        }
        for (l, (weight, _)) in keys.layers.iter().enumerate().rev() {
            let (d_weight, d_bias) = &mut self.d_layers[l];
            d_weight.fill(0.0);
            d_bias.fill(0.0);
            let (below, above) = self.d_activations.split_at_mut(l + 1);
            below[l].resize(self.activations[l].len(), 0.0);
            linear_bias_act_backward(
                &self.activations[l],
                store.dense(*weight).values(),
                &self.activations[l + 1],
                Activation::Relu,
                &mut above[0],
                Some(&mut below[l]),
                d_weight,
                d_bias,
            );
        }
        loss
    }
}
