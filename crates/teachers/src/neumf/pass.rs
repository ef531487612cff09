//! Some pairs through the network and back.

use rectify_tensor::ParamStore;
use rectify_tensor::kernels::{Activation, Op, dots, gemm, linear_bias_act, linear_bias_act_backward};

use super::NeuMfConfig;
use super::kernels::{Rows, Widths, add_gradients, add_product_gradients, outer, read_pairs};
use super::network::Keys;

/// Gradients of a step, summed over its passes.
#[derive(Debug)]
pub(super) struct Gradients {
    /// Of the distinct users (rows, gmf + mlp).
    pub(super) users: Vec<f32>,
    /// Of the distinct items (rows, gmf + mlp).
    pub(super) items: Vec<f32>,
    /// Weight and bias of each layer.
    pub(super) layers: Vec<(Vec<f32>, Vec<f32>)>,
    pub(super) output: Vec<f32>,
    pub(super) bias: f32,
}

impl Gradients {
    pub(super) fn new(config: &NeuMfConfig) -> Self {
        Self {
            users: Vec::new(),
            items: Vec::new(),
            layers: config.layers().iter().map(|(i, o)| (vec![0.0; i * o], vec![0.0; *o])).collect(),
            output: vec![0.0; config.joint_dim()],
            bias: 0.0,
        }
    }

    pub(super) fn clear(&mut self, w: Widths, n_users: usize, n_items: usize) {
        for (table, rows) in [(&mut self.users, n_users), (&mut self.items, n_items)] {
            table.clear();
            table.resize(rows * (w.gmf + w.mlp), 0.0);
        }
        for (weight, bias) in &mut self.layers {
            weight.fill(0.0);
            bias.fill(0.0);
        }
        self.output.fill(0.0);
        self.bias = 0.0;
    }
}

/// Inner values of some pairs, and their gradients.
#[derive(Debug)]
pub(super) struct Pass {
    widths: Widths,
    /// Input of the tower, then the output of each layer.
    activations: Vec<Vec<f32>>,
    /// Their gradients.
    d_activations: Vec<Vec<f32>>,
    /// Joint vectors (pairs, joint).
    pub(super) joint: Vec<f32>,
    /// Gradients of the joint vectors that do not come through the logits; empty if there are none.
    pub(super) d_joint: Vec<f32>,
    /// Scores (pairs).
    pub(super) logits: Vec<f32>,
    /// Their gradients; set between forward and backward.
    pub(super) d_logits: Vec<f32>,
}

impl Pass {
    pub(super) fn new(widths: Widths, n_layers: usize) -> Self {
        Self {
            widths,
            activations: vec![Vec::new(); n_layers + 1],
            d_activations: vec![Vec::new(); n_layers + 1],
            joint: Vec::new(),
            d_joint: Vec::new(),
            logits: Vec::new(),
            d_logits: Vec::new(),
        }
    }

    /// Fills `joint` and `logits`; users and items come as (row of each pair, distinct rows).
    pub(super) fn forward(
        &mut self,
        store: &mut ParamStore,
        keys: &Keys,
        users: (&[u32], &[u32]),
        items: (&[u32], &[u32]),
    ) {
        let (n, w) = (users.0.len(), self.widths);
        self.joint.resize(n * w.joint, 0.0);
        self.activations[0].resize(n * 2 * w.mlp, 0.0);
        let [user_table, item_table] = store.rows_mut([keys.users, keys.items]);
        let (user_values, item_values) = (user_table.refresh(users.1), item_table.refresh(items.1));
        let (joint, input) = (&mut self.joint, &mut self.activations[0]);
        read_pairs(user_values, item_values, users.0, items.0, w, joint, input);

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
    }

    /// Adds the gradients of the pairs of the last [`forward`](Self::forward) from `d_logits` and `d_joint`.
    pub(super) fn backward(
        &mut self,
        store: &mut ParamStore,
        keys: &Keys,
        users: (Rows<'_>, &[u32]),
        items: (Rows<'_>, &[u32]),
        gradients: &mut Gradients,
    ) {
        let (n, w) = (self.d_logits.len(), self.widths);
        let output = store.dense(keys.output).values();
        gemm((1, w.joint, n), 1.0, &self.d_logits, Op::Plain, &self.joint, Op::Plain, 1.0, &mut gradients.output);
        gradients.bias += self.d_logits.iter().sum::<f32>();
        let top = w.joint - w.gmf;
        if top > 0 {
            let d_top = &mut self.d_activations[keys.layers.len()];
            d_top.resize(n * top, 0.0);
            outer(&self.d_logits, &output[w.gmf..], d_top);
            if !self.d_joint.is_empty() {
                for (d_top, d_joint) in d_top.chunks_exact_mut(top).zip(self.d_joint.chunks_exact(w.joint)) {
                    d_top.iter_mut().zip(&d_joint[w.gmf..]).for_each(|(d, more)| *d += more);
                }
            }
        }
        for (l, (weight, _)) in keys.layers.iter().enumerate().rev() {
            let (d_weight, d_bias) = &mut gradients.layers[l];
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

        let product_weights = output[..w.gmf].to_vec();
        let [user_table, item_table] = store.rows_mut([keys.users, keys.items]);
        let (user_values, item_values) = (user_table.refresh(users.1), item_table.refresh(items.1));
        add_gradients(
            user_values,
            item_values,
            users.0,
            items.0,
            w,
            &self.d_logits,
            &product_weights,
            &self.d_activations[0],
            &mut gradients.users,
            &mut gradients.items,
        );
        if !self.d_joint.is_empty() && w.gmf > 0 {
            let (d_users, d_items) = (&mut gradients.users, &mut gradients.items);
            add_product_gradients(user_values, item_values, users.0, items.0, w, &self.d_joint, d_users, d_items);
        }
    }
}
