//! Some pairs through the network and back.

use rectify_tensor::ParamStore;
use rectify_tensor::kernels::{
    Activation, Op, activation_backward, dots, gemm, linear_bias_act, linear_bias_act_backward,
};

use super::kernels::{Reads, Writes, add_gradients, add_product_gradients, outer, read_pairs};
use super::params::Keys;
use crate::NeuMfConfig;

/// Gradients of a step's dense parameters, summed over its passes.
#[derive(Debug)]
pub(super) struct Gradients {
    /// Weight and bias of each layer.
    pub(super) layers: Vec<(Vec<f32>, Vec<f32>)>,
    pub(super) output: Vec<f32>,
    pub(super) bias: f32,
}

impl Gradients {
    pub(super) fn new(config: &NeuMfConfig) -> Self {
        Self {
            layers: config.layers().iter().map(|(i, o)| (vec![0.0; i * o], vec![0.0; *o])).collect(),
            output: vec![0.0; config.joint_dim()],
            bias: 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
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
    gmf: usize,
    /// Widths of the tower's layers; empty without a tower.
    hidden: Vec<usize>,
    /// `p_u ⊙ q_i` (pairs, gmf).
    products: Vec<f32>,
    /// Output of each layer.
    activations: Vec<Vec<f32>>,
    /// Their gradients.
    d_activations: Vec<Vec<f32>>,
    /// Scores (pairs).
    pub(super) logits: Vec<f32>,
    /// Their gradients; set between forward and backward.
    pub(super) d_logits: Vec<f32>,
    /// Joint vectors (pairs, joint), for who asks for them.
    joint: Vec<f32>,
    /// Gradients of the joint vectors that do not come through the logits; empty if there are none.
    d_joint: Vec<f32>,
    tops: Vec<f32>,
}

impl Pass {
    pub(super) fn new(config: &NeuMfConfig) -> Self {
        Self {
            gmf: config.gmf_dim,
            hidden: config.hidden.clone(),
            products: Vec::new(),
            activations: vec![Vec::new(); config.hidden.len()],
            d_activations: vec![Vec::new(); config.hidden.len()],
            logits: Vec::new(),
            d_logits: Vec::new(),
            joint: Vec::new(),
            d_joint: Vec::new(),
            tops: Vec::new(),
        }
    }

    fn top(&self) -> usize {
        self.hidden.last().copied().unwrap_or(0)
    }

    fn first(&self) -> usize {
        self.hidden.first().copied().unwrap_or(0)
    }

    /// Fills `logits`.
    pub(super) fn forward(&mut self, store: &ParamStore, keys: &Keys, users: Reads<'_>, items: Reads<'_>) {
        let (n, gmf, first) = (users.slots.len(), self.gmf, self.first());
        self.products.resize(n * gmf, 0.0);
        let mut none = Vec::new();
        let bottom = self.activations.first_mut().unwrap_or(&mut none);
        bottom.resize(n * first, 0.0);
        read_pairs(users, items, (gmf, first), &mut self.products, bottom);
        for (l, (weight, bias)) in keys.layers.iter().enumerate().skip(1) {
            let (weight, bias) = (store.dense(*weight).values(), store.dense(*bias).values());
            let (below, above) = self.activations.split_at_mut(l);
            above[0].resize(n * bias.len(), 0.0);
            linear_bias_act(&below[l - 1], weight, bias, Activation::Relu, &mut above[0]);
        }
        let (output, bias) = (store.dense(keys.output).values(), store.dense(keys.bias).values()[0]);
        let (weights, top_weights) = output.split_at(gmf);
        self.logits.clear();
        self.logits.resize(n, bias);
        self.tops.resize(n, 0.0);
        for (weights, values) in [(weights, Some(&self.products)), (top_weights, self.activations.last())] {
            if let Some(values) = values.filter(|_| !weights.is_empty()) {
                dots(weights, values, &mut self.tops);
                self.logits.iter_mut().zip(&self.tops).for_each(|(z, part)| *z += part);
            }
        }
        self.d_logits.resize(n, 0.0);
        self.d_joint.clear();
    }

    /// The joint vectors of the last [`forward`](Self::forward), and where the gradients go that do not come through the logits.
    pub(super) fn joint(&mut self) -> (&[f32], &mut [f32]) {
        let (gmf, top) = (self.gmf, self.top());
        let joint = gmf + top;
        self.joint.resize(self.logits.len() * joint, 0.0);
        self.d_joint.resize(self.logits.len() * joint, 0.0);
        for (s, row) in self.joint.chunks_exact_mut(joint).enumerate() {
            let (product, last) = row.split_at_mut(gmf);
            product.copy_from_slice(&self.products[s * gmf..][..gmf]);
            if let Some(tops) = self.activations.last() {
                last.copy_from_slice(&tops[s * top..][..top]);
            }
        }
        (&self.joint, &mut self.d_joint)
    }

    /// Adds the gradients of the pairs of the last [`forward`](Self::forward) from `d_logits` and those of the joint vectors.
    pub(super) fn backward(
        &mut self,
        store: &ParamStore,
        keys: &Keys,
        (users, mut d_users): (Reads<'_>, Writes<'_>),
        (items, mut d_items): (Reads<'_>, Writes<'_>),
        gradients: &mut Gradients,
    ) {
        let (n, gmf, top, first) = (self.d_logits.len(), self.gmf, self.top(), self.first());
        let (output, joint) = (store.dense(keys.output).values(), gmf + top);
        let (d_product_weights, d_top_weights) = gradients.output.split_at_mut(gmf);
        gemm((1, gmf, n), 1.0, &self.d_logits, Op::Plain, &self.products, Op::Plain, 1.0, d_product_weights);
        gradients.bias += self.d_logits.iter().sum::<f32>();
        if let (Some(d_top), Some(tops)) = (self.d_activations.last_mut(), self.activations.last()) {
            gemm((1, top, n), 1.0, &self.d_logits, Op::Plain, tops, Op::Plain, 1.0, d_top_weights);
            d_top.resize(n * top, 0.0);
            outer(&self.d_logits, &output[gmf..], d_top);
            if !self.d_joint.is_empty() {
                for (d_top, d_joint) in d_top.chunks_exact_mut(top).zip(self.d_joint.chunks_exact(joint)) {
                    d_top.iter_mut().zip(&d_joint[gmf..]).for_each(|(d, more)| *d += more);
                }
            }
        }
        for (l, (weight, _)) in keys.layers.iter().enumerate().skip(1).rev() {
            let (d_weight, d_bias) = &mut gradients.layers[l];
            let (below, above) = self.d_activations.split_at_mut(l);
            below[l - 1].resize(self.activations[l - 1].len(), 0.0);
            linear_bias_act_backward(
                &self.activations[l - 1],
                store.dense(*weight).values(),
                &self.activations[l],
                Activation::Relu,
                &mut above[0],
                Some(&mut below[l - 1]),
                d_weight,
                d_bias,
            );
        }
        let mut none = Vec::new();
        let d_bottom = self.d_activations.first_mut().unwrap_or(&mut none);
        if let Some(bottom) = self.activations.first() {
            activation_backward(bottom, d_bottom, Activation::Relu);
        }
        if !self.d_joint.is_empty() {
            let (d_users, d_items) = (&mut *d_users.products, &mut *d_items.products);
            add_product_gradients(users, items, gmf, &self.d_joint, joint, d_users, d_items);
        }
        let (widths, weights) = ((gmf, first), &output[..gmf]);
        add_gradients(users, items, widths, &self.d_logits, weights, d_bottom, &mut d_users, &mut d_items);
    }
}
