//! One step of training, written out: forward, backward, optimiser.

use rectify_distill::collaborative;
use rectify_tensor::kernels::simd::{kernel, mul_add};
use rectify_tensor::kernels::{Activation, Op, activation_backward, dots, gemm};
use rectify_tensor::{DenseKey, DistinctRows, ParamStore};

use super::{Keys, StageKeys};
use crate::{HdnConfig, ScoreLoss, decision_hinge, score_gaussian};

/// Pairs of a step with their targets.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) users: Vec<u32>,
    pub(super) items: Vec<u32>,
    /// What y should be: a probability, or (ratings) a score.
    pub(super) scores: Vec<f32>,
    /// For each module: −1 accept, +1 reject, 0 where no decisions are learned.
    pub(super) labels: Vec<Vec<f32>>,
}

impl Batch {
    pub(super) fn clear(&mut self, n_modules: usize) {
        self.users.clear();
        self.items.clear();
        self.scores.clear();
        self.labels.resize(n_modules, Vec::new());
        self.labels.iter_mut().for_each(Vec::clear);
    }
}

/// Gradients of one module, or (without layer) of the score.
#[derive(Debug, Default)]
pub(super) struct StageGradients {
    pub(super) head: Vec<f32>,
    pub(super) bias: f32,
    pub(super) layer: Vec<f32>,
}

/// Buffers of a step; nothing in them outlives it.
#[derive(Debug)]
pub(super) struct Pass {
    dim: usize,
    pub(super) batch: Batch,
    pub(super) users: DistinctRows,
    pub(super) items: DistinctRows,
    /// For each pair the places of its rows among the distinct ones.
    pub(super) user_slots: Vec<u32>,
    pub(super) item_slots: Vec<u32>,
    /// `z`, then `h_1 … h_N`, each (n, d), and their gradients.
    inner: Vec<Vec<f32>>,
    d_inner: Vec<Vec<f32>>,
    /// `D_1 … D_N, y`, each (n), and their gradients.
    values: Vec<Vec<f32>>,
    d_values: Vec<Vec<f32>>,
    scratch: Vec<f32>,
    pub(super) d_users: Vec<f32>,
    pub(super) d_items: Vec<f32>,
    pub(super) stages: Vec<StageGradients>,
}

#[inline(always)]
fn products_body<const FMA: bool>(users: &[f32], items: &[f32], d: usize, ids: (&[u32], &[u32]), z: &mut [f32]) {
    for ((user, item), z) in ids.0.iter().zip(ids.1).zip(z.chunks_exact_mut(d)) {
        let (p, q) = (&users[*user as usize * d..][..d], &items[*item as usize * d..][..d]);
        for ((z, p), q) in z.iter_mut().zip(p).zip(q) {
            *z = p * q;
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
#[inline(always)]
fn products_backward_body<const FMA: bool>(
    users: &[f32],
    items: &[f32],
    d: usize,
    ids: (&[u32], &[u32]),
    slots: (&[u32], &[u32]),
    d_z: &[f32],
    d_users: &mut [f32],
    d_items: &mut [f32],
) {
    for (s, d_z) in d_z.chunks_exact(d).enumerate() {
        let (p, q) = (&users[ids.0[s] as usize * d..][..d], &items[ids.1[s] as usize * d..][..d]);
        for (to, other) in
            [(&mut d_users[slots.0[s] as usize * d..][..d], q), (&mut d_items[slots.1[s] as usize * d..][..d], p)]
        {
            for ((to, other), d_z) in to.iter_mut().zip(other).zip(d_z) {
                *to = mul_add::<FMA>(*d_z, *other, *to);
            }
        }
    }
}

#[inline(always)]
fn outer_add_body<const FMA: bool>(slopes: &[f32], weights: &[f32], rows: &mut [f32]) {
    for (slope, row) in slopes.iter().zip(rows.chunks_exact_mut(weights.len())) {
        for (to, weight) in row.iter_mut().zip(weights) {
            *to = mul_add::<FMA>(*slope, *weight, *to);
        }
    }
}

kernel! {
    /// `z[s] ← P[u_s] ⊙ Q[i_s]`; z (n, d).
    fn products / products_at(users: &[f32], items: &[f32], d: usize, ids: (&[u32], &[u32]), z: &mut [f32]) = products_body
}
kernel! {
    /// Adds the gradients of both vectors of each product, in order of the pairs; slots are rows of the gradients.
    fn products_backward / products_backward_at(
        users: &[f32],
        items: &[f32],
        d: usize,
        ids: (&[u32], &[u32]),
        slots: (&[u32], &[u32]),
        d_z: &[f32],
        d_users: &mut [f32],
        d_items: &mut [f32],
    ) = products_backward_body
}
kernel! {
    /// `rows[s] += slopes[s] · weights`; rows (n, weights.len()).
    fn outer_add / outer_add_at(slopes: &[f32], weights: &[f32], rows: &mut [f32]) = outer_add_body
}

fn zeros(buffer: &mut Vec<f32>, n: usize) {
    buffer.clear();
    buffer.resize(n, 0.0);
}

/// A head or layer of the store: weights by half, (z half, h half); the second is empty in the first module.
fn halves(weights: &[f32], size: usize) -> (&[f32], &[f32]) {
    weights.split_at(size)
}

impl Pass {
    pub(super) fn new(config: &HdnConfig, n_users: usize, n_items: usize) -> Self {
        let (dim, n_modules) = (config.embedding_dim, config.n_modules());
        Self {
            dim,
            batch: Batch::default(),
            users: DistinctRows::new(n_users),
            items: DistinctRows::new(n_items),
            user_slots: Vec::new(),
            item_slots: Vec::new(),
            inner: vec![Vec::new(); n_modules + 1],
            d_inner: vec![Vec::new(); n_modules + 1],
            values: vec![Vec::new(); n_modules + 1],
            d_values: vec![Vec::new(); n_modules + 1],
            scratch: Vec::new(),
            d_users: Vec::new(),
            d_items: Vec::new(),
            stages: (0..=n_modules).map(|_| StageGradients::default()).collect(),
        }
    }

    /// One step on the mean loss of the batch; returns the sum over its pairs.
    pub(super) fn step(&mut self, store: &mut ParamStore, keys: &Keys, config: &HdnConfig) -> f64 {
        let loss = self.gradients(store, keys, config);
        self.apply(store, keys, config);
        loss
    }

    /// Sum of the pairs' losses; gradients of their mean.
    pub(super) fn gradients(&mut self, store: &mut ParamStore, keys: &Keys, config: &HdnConfig) -> f64 {
        self.index();
        self.forward(store, keys);
        let loss = self.losses(config);
        self.backward(store, keys);
        loss
    }

    /// Numbers the batch's distinct rows.
    pub(super) fn index(&mut self) {
        self.users.index(&self.batch.users, &mut self.user_slots);
        self.items.index(&self.batch.items, &mut self.item_slots);
    }

    fn forward(&mut self, store: &mut ParamStore, keys: &Keys) {
        let (n, d) = (self.batch.users.len(), self.dim);
        let ids = (&self.batch.users[..], &self.batch.items[..]);
        zeros(&mut self.inner[0], n * d);
        let [users, items] = store.rows_mut([keys.users, keys.items]);
        let (users, items) = (users.refresh(self.users.rows()), items.refresh(self.items.rows()));
        products(users, items, d, ids, &mut self.inner[0]);
        for stage in 0..=keys.modules.len() {
            let (head, bias) = head_of(store, keys, stage);
            let (before, after) = self.inner.split_at_mut(stage + 1);
            let (z, h) = (&before[0], &before[stage]);
            let value = &mut self.values[stage];
            value.resize(n, 0.0);
            match head {
                Some(head) => {
                    let (of_z, of_h) = halves(head, d);
                    dots(of_z, z, value);
                    if stage > 0 {
                        self.scratch.resize(n, 0.0);
                        dots(of_h, h, &mut self.scratch[..n]);
                        value.iter_mut().zip(&self.scratch).for_each(|(value, more)| *value += more);
                    }
                    value.iter_mut().for_each(|value| *value += bias);
                }
                // Without modules y is the plain inner product.
                None => value.iter_mut().zip(z.chunks_exact(d)).for_each(|(value, z)| *value = z.iter().sum()),
            }
            let Some(module) = keys.modules.get(stage) else { break };
            let (of_z, of_h) = halves(store.dense(module.weight).values(), d * d);
            let next = &mut after[0];
            next.resize(n * d, 0.0);
            gemm((n, d, d), 1.0, z, Op::Plain, of_z, Op::Plain, 0.0, next);
            if stage > 0 {
                gemm((n, d, d), 1.0, h, Op::Plain, of_h, Op::Plain, 1.0, next);
            }
            // Not `max`: it would turn a NaN into 0 and hide it.
            next.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
        }
    }

    /// Sum of the losses; gradients of the values by their mean.
    fn losses(&mut self, config: &HdnConfig) -> f64 {
        let (n, n_modules) = (self.batch.users.len(), config.n_modules());
        let scale = 1.0 / n as f32;
        self.d_values.iter_mut().for_each(|d| zeros(d, n));
        let fits = "sizes made to fit";
        let (y, d_y) = (&self.values[n_modules], &mut self.d_values[n_modules]);
        let mut loss = match config.score_loss {
            ScoreLoss::Bernoulli => collaborative(y, &self.batch.scores, scale, d_y).expect(fits),
            ScoreLoss::Gaussian => score_gaussian(&self.batch.scores, y, (1.0, 1.0), scale, d_y).expect(fits),
        };
        if config.decisions.is_some() {
            for module in 0..n_modules {
                let weight = config.decision_weights.get(module).copied().unwrap_or(1.0);
                let (values, grads) = (&self.values[module], &mut self.d_values[module]);
                let labels = &self.batch.labels[module];
                loss += weight * decision_hinge(values, labels, weight as f32 * scale, grads).expect(fits);
            }
        }
        loss
    }

    fn backward(&mut self, store: &mut ParamStore, keys: &Keys) {
        let (n, d) = (self.batch.users.len(), self.dim);
        self.d_inner.iter_mut().for_each(|gradient| zeros(gradient, n * d));
        for stage in (0..=keys.modules.len()).rev() {
            let gradients = &mut self.stages[stage];
            let (d_first, d_later) = self.d_inner.split_at_mut(1);
            let (z, d_z) = (&self.inner[0], &mut d_first[0]);
            let h = &self.inner[stage];
            if let Some(module) = keys.modules.get(stage) {
                // All that reaches h_{stage + 1} has: the heads and layers above were walked.
                let (d_h, d_next) = d_later.split_at_mut(stage);
                let d_next = &mut d_next[0];
                activation_backward(&self.inner[stage + 1], d_next, Activation::Relu);
                let weight = store.dense(module.weight).values();
                zeros(&mut gradients.layer, weight.len());
                let (of_z, of_h) = halves(weight, d * d);
                let (g_z, g_h) = gradients.layer.split_at_mut(d * d);
                gemm((d, d, n), 1.0, z, Op::Transposed, d_next, Op::Plain, 0.0, g_z);
                gemm((n, d, d), 1.0, d_next, Op::Plain, of_z, Op::Transposed, 1.0, d_z);
                if stage > 0 {
                    gemm((d, d, n), 1.0, h, Op::Transposed, d_next, Op::Plain, 0.0, g_h);
                    gemm((n, d, d), 1.0, d_next, Op::Plain, of_h, Op::Transposed, 1.0, &mut d_h[stage - 1]);
                }
            }
            let d_value = &self.d_values[stage];
            gradients.bias = d_value.iter().sum();
            match head_of(store, keys, stage).0 {
                Some(head) => {
                    zeros(&mut gradients.head, head.len());
                    let (of_z, of_h) = halves(head, d);
                    let (g_z, g_h) = gradients.head.split_at_mut(d);
                    gemm((1, d, n), 1.0, d_value, Op::Plain, z, Op::Plain, 0.0, g_z);
                    outer_add(d_value, of_z, d_z);
                    if stage > 0 {
                        gemm((1, d, n), 1.0, d_value, Op::Plain, h, Op::Plain, 0.0, g_h);
                        outer_add(d_value, of_h, &mut d_later[stage - 1]);
                    }
                }
                None => d_z
                    .chunks_exact_mut(d)
                    .zip(d_value)
                    .for_each(|(d_z, slope)| d_z.iter_mut().for_each(|d| *d += slope)),
            }
        }
        zeros(&mut self.d_users, self.users.rows().len() * d);
        zeros(&mut self.d_items, self.items.rows().len() * d);
        let [users, items] = store.rows_mut([keys.users, keys.items]);
        let (users, items) = (users.refresh(self.users.rows()), items.refresh(self.items.rows()));
        let ids = (&self.batch.users[..], &self.batch.items[..]);
        let slots = (&self.user_slots[..], &self.item_slots[..]);
        products_backward(users, items, d, ids, slots, &self.d_inner[0], &mut self.d_users, &mut self.d_items);
    }

    fn apply(&self, store: &mut ParamStore, keys: &Keys, config: &HdnConfig) {
        let optimizer = &config.optimizer;
        let [users, items] = store.rows_mut([keys.users, keys.items]);
        users.apply(self.users.rows(), &self.d_users, optimizer);
        items.apply(self.items.rows(), &self.d_items, optimizer);
        let mut follow = |key: Option<DenseKey>, gradient: &[f32]| {
            if let Some(key) = key {
                store.dense_mut([key])[0].apply(gradient, optimizer);
            }
        };
        for (stage, gradients) in self.stages.iter().enumerate() {
            let keys = keys.stage(stage);
            // Heads without a loss stay as they are: weight decay must not touch them either.
            if keys.layer.is_none() || config.decisions.is_some() {
                follow(keys.head, &gradients.head);
                follow(keys.bias, &[gradients.bias]);
            }
            follow(keys.layer, &gradients.layer);
        }
    }
}

/// Weights and bias of the head after `stage` modules; no weights for the plain inner product.
fn head_of<'a>(store: &'a ParamStore, keys: &Keys, stage: usize) -> (Option<&'a [f32]>, f32) {
    let StageKeys { head, bias, .. } = keys.stage(stage);
    (head.map(|key| store.dense(key).values()), bias.map_or(0.0, |key| store.dense(key).values()[0]))
}
