//! One step of training, written out: forward over the whole graph, backward.

use rayon::prelude::*;
use rectify_tensor::Csr;
use rectify_tensor::kernels::scatter_add_rows;

use super::kernels::{affine, cross, cross_backward};
use super::norm::Norm;
use crate::learn::convolution::{PIECE, layer, layer_backward};
use crate::learn::triples::BatchRows;

/// What is learned: embeddings and cross weights (n, dim), filters (dim, dim), scales and shifts (dim).
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) embeddings: &'a [f32],
    pub(super) crosses: [&'a [f32]; 2],
    pub(super) filters: [&'a [f32]; 2],
    pub(super) scales: [&'a [f32]; 2],
    pub(super) shifts: [&'a [f32]; 2],
}

/// A gradient for each of the weights.
#[derive(Debug)]
pub(super) struct Gradients {
    pub(super) embeddings: Vec<f32>,
    pub(super) crosses: [Vec<f32>; 2],
    pub(super) filters: [Vec<f32>; 2],
    pub(super) scales: [Vec<f32>; 2],
    pub(super) shifts: [Vec<f32>; 2],
}

/// Buffers and arithmetic of a step; what is learned stays outside. M is `I + Â`, r its row sums.
///
/// - Normalisation is affine, `BN(X) = X a + b` column by column, so `M BN(X) = (M X) a + r b`: the normalised matrix is never
///   written.
/// - Both cross steps scale a row: `X₃ = c X₁` with one number c a node.
/// - The last convolution is computed at the batch's rows S alone, and its backward product touches their neighbours only.
#[derive(Debug)]
pub(super) struct Propagation {
    dim: usize,
    /// `M·1`.
    row_sums: Vec<f32>,
    norms: [Norm; 2],
    /// `M BN₁(X₀)`.
    p1: Vec<f32>,
    x1: Vec<f32>,
    /// Both factors of a node's two cross steps.
    gains: Vec<[f32; 2]>,
    x3: Vec<f32>,
    /// `M BN₂(X₃)` and `X₄` at S.
    p4: Vec<f32>,
    x4: Vec<f32>,
    leaf: Vec<f32>,
    d_leaf: Vec<f32>,
    /// Gradients on their way down.
    d: Vec<f32>,
    gradients: Gradients,
}

impl Propagation {
    pub(super) fn new(matrix: &Csr, dim: usize) -> Self {
        let n = matrix.n_rows();
        let row_sums = (0..n).map(|row| matrix.row(row).1.iter().sum()).collect();
        let (nodes, pair) = (|| vec![0.0; n * dim], |len: usize| [vec![0.0; len], vec![0.0; len]]);
        let gradients = Gradients {
            embeddings: nodes(),
            crosses: pair(n * dim),
            filters: pair(dim * dim),
            scales: pair(dim),
            shifts: pair(dim),
        };
        Self {
            dim,
            row_sums,
            norms: Default::default(),
            p1: nodes(),
            x1: nodes(),
            gains: vec![[0.0; 2]; n],
            x3: nodes(),
            p4: Vec::new(),
            x4: Vec::new(),
            leaf: Vec::new(),
            d_leaf: Vec::new(),
            d: nodes(),
            gradients,
        }
    }

    /// Loss of a batch, `mean BPR + λ Σ |vector|² / n` over the three vectors of each triple, and its gradient.
    pub(super) fn step(
        &mut self,
        matrix: &Csr,
        weights: &Weights<'_>,
        batch: &BatchRows,
        l2: f32,
    ) -> (f64, &Gradients) {
        let dim = 3 * self.dim;
        self.forward(matrix, weights);
        self.outputs(matrix, weights, batch.rows());
        let mut loss = batch.bpr(&self.leaf, dim, 2.0 * l2, &mut self.d_leaf);
        if l2 > 0.0 {
            loss += f64::from(l2) * batch.squares(&self.leaf, dim) / batch.n_triples() as f64;
        }
        self.backward(matrix, weights, batch.rows());
        (loss, &self.gradients)
    }

    /// The vectors `[X₀, X₁, X₄]` of chosen nodes, (nodes, 3 dim).
    pub(super) fn vectors(&mut self, matrix: &Csr, weights: &Weights<'_>, nodes: &[u32]) -> &[f32] {
        self.forward(matrix, weights);
        self.outputs(matrix, weights, nodes);
        &self.leaf
    }

    /// Everything up to X₃, for all nodes.
    fn forward(&mut self, matrix: &Csr, weights: &Weights<'_>) {
        let dim = self.dim;
        self.norms[0] = Norm::of(weights.embeddings, dim);
        matrix.spmm(weights.embeddings, dim, &mut self.p1);
        normalise(&mut self.p1, &self.row_sums, &self.norms[0], weights.scales[0], weights.shifts[0]);
        layer(&self.p1, weights.filters[0], dim, &mut self.x1);
        let width = PIECE * dim;
        let [w1, w2] = weights.crosses;
        (
            self.x1.par_chunks(width),
            w1.par_chunks(width),
            w2.par_chunks(width),
            self.gains.par_chunks_mut(PIECE),
            self.x3.par_chunks_mut(width),
        )
            .into_par_iter()
            .for_each(|(x, w1, w2, gains, out)| cross(x, [w1, w2], dim, gains, out));
        self.norms[1] = Norm::of(&self.x3, dim);
    }

    /// The last convolution at `nodes`, and their vectors.
    fn outputs(&mut self, matrix: &Csr, weights: &Weights<'_>, nodes: &[u32]) {
        let dim = self.dim;
        self.p4.resize(nodes.len() * dim, 0.0);
        self.x4.resize(nodes.len() * dim, 0.0);
        self.leaf.resize(nodes.len() * 3 * dim, 0.0);
        matrix.spmm_rows(nodes, &self.x3, dim, &mut self.p4);
        let sums: Vec<f32> = nodes.iter().map(|node| self.row_sums[*node as usize]).collect();
        normalise(&mut self.p4, &sums, &self.norms[1], weights.scales[1], weights.shifts[1]);
        layer(&self.p4, weights.filters[1], dim, &mut self.x4);
        let x4 = self.x4.chunks_exact(dim);
        for ((node, x4), out) in nodes.iter().zip(x4).zip(self.leaf.chunks_exact_mut(3 * dim)) {
            let start = *node as usize * dim;
            out[..dim].copy_from_slice(&weights.embeddings[start..start + dim]);
            out[dim..2 * dim].copy_from_slice(&self.x1[start..start + dim]);
            out[2 * dim..].copy_from_slice(x4);
        }
    }

    /// From `d_leaf`, the gradient at the rows `nodes`, to all gradients.
    fn backward(&mut self, matrix: &Csr, weights: &Weights<'_>, nodes: &[u32]) {
        let dim = self.dim;
        let Gradients { embeddings: d_x0, crosses: d_crosses, filters, scales, shifts } = &mut self.gradients;
        for small in filters.iter_mut().chain(scales.iter_mut()).chain(shifts.iter_mut()) {
            small.fill(0.0);
        }
        let part = |at: usize| -> Vec<f32> {
            self.d_leaf.chunks_exact(3 * dim).flat_map(|d| &d[at * dim..(at + 1) * dim]).copied().collect()
        };

        let mut d_p4 = part(2);
        layer_backward(&self.p4, &self.x4, weights.filters[1], dim, &mut d_p4, &mut filters[1]);
        let d = &mut self.d;
        d.fill(0.0);
        matrix.spmm_rows_backward(nodes, &d_p4, dim, d);
        self.norms[1].backward(&self.x3, weights.scales[1], d, &mut scales[1], &mut shifts[1]);

        let width = PIECE * dim;
        let ([w1, w2], [d_w1, d_w2]) = (weights.crosses, d_crosses);
        (
            self.x1.par_chunks(width),
            w1.par_chunks(width),
            w2.par_chunks(width),
            self.gains.par_chunks(PIECE),
            d.par_chunks_mut(width),
            d_w1.par_chunks_mut(width),
            d_w2.par_chunks_mut(width),
        )
            .into_par_iter()
            .for_each(|(x, w1, w2, gains, d, d_w1, d_w2)| cross_backward(x, [w1, w2], dim, gains, d, [d_w1, d_w2]));
        scatter_add_rows(&part(1), dim, nodes, d);
        layer_backward(&self.p1, &self.x1, weights.filters[0], dim, d, &mut filters[0]);

        // M is symmetric: no transpose.
        matrix.spmm(d, dim, d_x0);
        self.norms[0].backward(weights.embeddings, weights.scales[0], d_x0, &mut scales[0], &mut shifts[0]);
        scatter_add_rows(&part(0), dim, nodes, d_x0);
    }
}

/// `p ← p a + r b`: from `M X` to `M BN(X)`.
fn normalise(p: &mut [f32], row_sums: &[f32], norm: &Norm, scale: &[f32], shift: &[f32]) {
    let (a, b) = norm.affine(scale, shift);
    rectify_tensor::parallel::fill_rows(p, a.len(), PIECE, |first, p| {
        affine(p, &row_sums[first..], &a, &b);
    });
}

impl Gradients {
    /// All of them, in the order of the fields.
    #[cfg(test)]
    pub(super) fn blocks(&self) -> Vec<&Vec<f32>> {
        let Self { embeddings, crosses, filters, scales, shifts } = self;
        std::iter::once(embeddings).chain(crosses).chain(filters).chain(scales).chain(shifts).collect()
    }
}
