//! One step: loss, gradients, optimiser; closed form throughout.
//!
//! Batch norm ties all rows of a batch together, so the pieces meet after each layer: forward for its statistics, backward for the two
//! means that its gradient needs.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_tensor::kernels::{self as tensor_kernels, Op, gemm};
use rectify_tensor::{DistinctRows, Optimizer};

use super::group::{self, Scratch, Shared};
use super::kernels::{deviations, norm, norm_backward, through_norm};
use super::loss::loss;
use super::params::{HEAD, HEAD_BIAS, LAYERS, PER_LAYER, Params, Statistics};
use super::piece::{PIECE, Piece, Rows};
use crate::learn::samples::Samples;
use crate::{Objective, PreferenceConfig, Tree};

/// Everything between the parameters and their gradients; reused from step to step.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) pieces: Vec<Piece>,
    pub(super) n_pieces: usize,
    pub(super) distinct: DistinctRows,
    leaf: Vec<f32>,
    pub(super) d_leaf: Vec<f32>,
    pub(super) gradients: Vec<Vec<f32>>,
    statistics: Vec<Statistics>,
}

/// Means over the batch of a layer's gradients, and of these times the normed values.
type Means = (Vec<f32>, Vec<f32>);

impl Workspace {
    pub(super) fn new(n_nodes: usize) -> Self {
        Self {
            pieces: Vec::new(),
            n_pieces: 0,
            distinct: DistinctRows::new(n_nodes),
            leaf: Vec::new(),
            d_leaf: Vec::new(),
            gradients: Vec::new(),
            statistics: Vec::new(),
        }
    }

    /// Draws a batch: the samples `chosen`, the first of which is number `first` of its epoch.
    pub(super) fn draw(
        &mut self,
        (samples, chosen): (&Samples<'_>, &[u32]),
        (epoch, first): (u32, usize),
        tree: &Tree,
        config: &PreferenceConfig,
        seed: Seed,
    ) {
        self.n_pieces = chosen.len().div_ceil(PIECE);
        self.pieces.resize_with(self.n_pieces.max(self.pieces.len()), Piece::default);
        let pieces = &mut self.pieces[..self.n_pieces];
        pieces.par_iter_mut().zip(chosen.par_chunks(PIECE)).enumerate().for_each(|(p, (piece, chosen))| {
            piece.fill((samples, chosen), (epoch, first + p * PIECE), tree, config, seed);
        });
        self.distinct.clear();
        for piece in pieces {
            self.distinct.add(&piece.history, &mut piece.history_slots);
            self.distinct.add(&piece.nodes, &mut piece.node_slots);
        }
    }

    /// Loss of the batch (its mean, as the objective has it) and all gradients.
    pub(super) fn gradients(&mut self, params: &mut Params, config: &PreferenceConfig, n_samples: usize) -> f64 {
        let dim = config.shape.embedding_dim;
        let sizes = config.shape.layer_sizes();
        self.leaf.resize(self.distinct.rows().len() * dim, 0.0);
        params.store.rows_mut([params.nodes])[0].gather(self.distinct.rows(), &mut self.leaf);
        self.statistics.resize_with(sizes.len(), Statistics::default);
        let params = &*params;
        let pieces = &mut self.pieces[..self.n_pieces];
        let n_rows: usize = pieces.iter().map(Piece::n_rows).sum();
        let shared = Shared::new(params, &self.leaf, dim, config.shape.windows.len(), sizes[0].1);
        for piece in pieces.iter_mut() {
            piece.layers.resize_with(sizes.len(), Rows::default);
            piece.gradients.resize_with(params.dense.len(), Vec::new);
            for (place, gradient) in piece.gradients.iter_mut().enumerate() {
                gradient.clear();
                gradient.resize(params.block(place).len(), 0.0);
            }
        }

        pieces.par_iter_mut().for_each_init(Scratch::default, |scratch, piece| {
            group::forward(&shared, piece, scratch);
            piece.take_moments(0, sizes[0].1);
        });
        let terms = match config.objective {
            Objective::Softmax => n_samples,
            Objective::Binary => n_rows,
        };
        let scale = 1.0 / terms as f32;
        for layer in 0..sizes.len() {
            self.statistics[layer].merge(sizes[layer].1, pieces.iter().map(|piece| &piece.layers[layer].moments));
            let normed = params.normed(layer, &self.statistics[layer]);
            pieces.par_iter_mut().for_each(|piece| match sizes.get(layer + 1) {
                Some(&size) => piece.next_layer(params, normed, layer, size),
                None => piece.head(params, normed, layer, config.objective, scale),
            });
        }
        for layer in (0..sizes.len()).rev() {
            let means = merge_means(pieces, layer, sizes[layer].1, n_rows);
            let normed = params.normed(layer, &self.statistics[layer]);
            let below = layer.checked_sub(1).map(|below| params.normed(below, &self.statistics[below]));
            pieces.par_iter_mut().for_each_init(Scratch::default, |scratch, piece| {
                let rows = &mut piece.layers[layer];
                through_norm(normed, &rows.z, &means.0, &means.1, &mut rows.d);
                match below {
                    Some(below) => piece.back(params, below, layer, sizes[layer]),
                    None => group::backward(&shared, piece, scratch),
                }
            });
        }
        self.collect(dim);
        let total: f64 = self.pieces[..self.n_pieces].iter().map(|piece| piece.loss).sum();
        total / terms as f64
    }

    /// Adds up what the pieces found, in their order.
    fn collect(&mut self, dim: usize) {
        let pieces = &self.pieces[..self.n_pieces];
        self.gradients.clone_from(&pieces[0].gradients);
        for piece in &pieces[1..] {
            for (sum, part) in self.gradients.iter_mut().zip(&piece.gradients) {
                tensor_kernels::add_assign(sum, part);
            }
        }
        self.d_leaf.clear();
        self.d_leaf.resize(self.leaf.len(), 0.0);
        for piece in pieces {
            tensor_kernels::scatter_add_rows(&piece.d_history, dim, &piece.history_slots, &mut self.d_leaf);
            tensor_kernels::scatter_add_rows(&piece.d_nodes, dim, &piece.node_slots, &mut self.d_leaf);
        }
    }

    /// Follows the gradients.
    pub(super) fn apply(&self, params: &mut Params, optimizer: &Optimizer) {
        params.store.rows_mut([params.nodes])[0].apply(self.distinct.rows(), &self.d_leaf, optimizer);
        let steps = params.store.dense(params.dense[HEAD]).steps();
        for (key, gradient) in params.dense.clone().into_iter().zip(&self.gradients) {
            params.store.dense_mut([key])[0].apply(gradient, optimizer);
        }
        for (layer, statistics) in self.statistics.iter().enumerate() {
            params.track(layer, statistics, steps);
        }
    }
}

/// The two means that a batch norm's gradient needs; the sums are the gradients of its shift and scale.
fn merge_means(pieces: &[Piece], layer: usize, width: usize, n_rows: usize) -> Means {
    let mean = |part: usize| {
        let mut sums = vec![0.0f64; width];
        for piece in pieces {
            for (sum, x) in sums.iter_mut().zip(&piece.gradients[LAYERS + PER_LAYER * layer + part]) {
                *sum += f64::from(*x);
            }
        }
        sums.into_iter().map(|sum| (sum / n_rows as f64) as f32).collect()
    };
    (mean(2), mean(1))
}

impl Piece {
    /// Mean and squared deviations of a layer's rows.
    fn take_moments(&mut self, layer: usize, width: usize) {
        let n = self.n_rows();
        let Rows { z, moments, .. } = &mut self.layers[layer];
        let (rows, mean, squares) = moments;
        *rows = n;
        for sums in [&mut *mean, squares] {
            sums.clear();
            sums.resize(width, 0.0);
        }
        tensor_kernels::column_sums_add(z, mean);
        tensor_kernels::scale(1.0 / n as f32, mean);
        deviations(z, mean, squares);
    }

    /// Outputs of a layer, and the products of the next one.
    fn next_layer(
        &mut self,
        params: &Params,
        normed: super::kernels::Normed<'_>,
        layer: usize,
        (n_in, n_out): (usize, usize),
    ) {
        let n = self.n_rows();
        let [this, next] = self.layers.get_disjoint_mut([layer, layer + 1]).expect("layers of their own");
        // The place of the gradients is free until the way back.
        this.d.resize(n * n_in, 0.0);
        norm(normed, &this.z, &mut this.d);
        next.z.resize(n * n_out, 0.0);
        let weight = params.block(LAYERS + PER_LAYER * (layer + 1));
        gemm((n, n_out, n_in), 1.0, &this.d, Op::Plain, weight, Op::Plain, 0.0, &mut next.z);
        self.take_moments(layer + 1, n_out);
    }

    /// Outputs of the last layer, preferences, loss, and the way back to the last layer's norm.
    fn head(
        &mut self,
        params: &Params,
        normed: super::kernels::Normed<'_>,
        layer: usize,
        objective: Objective,
        scale: f32,
    ) {
        let (weight, bias) = (params.block(HEAD), params.block(HEAD_BIAS)[0]);
        let (n, width) = (self.n_rows(), weight.len());
        let Rows { z, d, .. } = &mut self.layers[layer];
        d.resize(n * width, 0.0);
        norm(normed, z, d);
        self.outputs.resize(n, 0.0);
        tensor_kernels::dots(weight, d, &mut self.outputs);
        self.outputs.iter_mut().for_each(|o| *o += bias);
        self.d_outputs.resize(n, 0.0);
        self.loss = 0.0;
        for group in &self.groups {
            let (o, d) = (&self.outputs[group.nodes.clone()], &mut self.d_outputs[group.nodes.clone()]);
            self.loss += loss(objective, o, group.correction, scale, d);
        }
        for (row, slope) in d.chunks_exact_mut(width).zip(&self.d_outputs) {
            tensor_kernels::axpy(*slope, row, &mut self.gradients[HEAD]);
            self.gradients[HEAD_BIAS][0] += slope;
            for (d, w) in row.iter_mut().zip(weight) {
                *d = slope * w;
            }
        }
        self.through_prelu(normed, layer);
    }

    /// From the products of a layer to the products of the one below it.
    fn back(
        &mut self,
        params: &Params,
        below: super::kernels::Normed<'_>,
        layer: usize,
        (n_in, n_out): (usize, usize),
    ) {
        let n = self.n_rows();
        let place = LAYERS + PER_LAYER * layer;
        let [lower, this] = self.layers.get_disjoint_mut([layer - 1, layer]).expect("layers of their own");
        // Still the outputs of the lower layer, from the way forward.
        gemm((n_in, n_out, n), 1.0, &lower.d, Op::Transposed, &this.d, Op::Plain, 1.0, &mut self.gradients[place]);
        gemm((n, n_in, n_out), 1.0, &this.d, Op::Plain, params.block(place), Op::Transposed, 0.0, &mut lower.d);
        self.through_prelu(below, layer - 1);
    }

    fn through_prelu(&mut self, normed: super::kernels::Normed<'_>, layer: usize) {
        let place = LAYERS + PER_LAYER * layer;
        let [d_scale, d_shift, d_slope] =
            self.gradients.get_disjoint_mut([place + 1, place + 2, place + 3]).expect("blocks of their own");
        let rows = &mut self.layers[layer];
        norm_backward(normed, &rows.z, &mut rows.d, d_scale, d_shift, d_slope);
    }
}
