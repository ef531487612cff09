//! One step of training, written out: forward, backward, optimiser.

use rectify_tensor::Csr;
use rectify_tensor::kernels::{add_assign, axpy, scale, scatter_add_rows, squared_norm};

use crate::learn::triples::{Batch, BatchRows};

/// Buffers and arithmetic of a step; what is learned stays outside.
///
/// With layers `X₀ … X_K`, `X_{k+1} = Â X_k`, and the mean `F = Σ X_k / (K + 1)` needed at the batch's rows S alone:
/// - forward, the last layer is computed at S only;
/// - backward, `∂X₀ = G + Â(G + Â(G + Â G))` for `G = ∂F / (K + 1)`, zero outside S, so that the first product touches
///   the neighbours of S only. Â is symmetric: no transpose.
#[derive(Debug)]
pub(super) struct Propagation {
    dim: usize,
    n_layers: usize,
    /// `X₁ … X_{K-1}` forward; the first two serve the backward products afterwards.
    layers: Vec<Vec<f32>>,
    rows: BatchRows,
    leaf: Vec<f32>,
    last: Vec<f32>,
    d_leaf: Vec<f32>,
}

impl Propagation {
    pub(super) fn new(n_nodes: usize, dim: usize, n_layers: usize) -> Self {
        Self {
            dim,
            n_layers,
            layers: vec![vec![0.0; n_nodes * dim]; n_layers.saturating_sub(1).max(2)],
            rows: BatchRows::new(n_nodes),
            leaf: Vec::new(),
            last: Vec::new(),
            d_leaf: Vec::new(),
        }
    }

    /// Loss of a batch (mean BPR plus the regulariser) and its gradient with respect to `x0`, for every node.
    ///
    /// **Shapes**: x0 and the result (n_nodes, dim).
    pub(super) fn step(&mut self, adjacency: &Csr, x0: &[f32], batch: &Batch, l2: f32) -> (f64, &[f32]) {
        let (dim, n_layers, n) = (self.dim, self.n_layers, batch.len());
        self.rows.index(batch);
        self.forward(adjacency, x0);

        let mut loss = self.rows.bpr(&self.leaf, dim, 0.0, &mut self.d_leaf);
        let rows = self.rows.rows();
        scale(1.0 / (n_layers + 1) as f32, &mut self.d_leaf);

        let (even, odd) = self.layers.split_at_mut(1);
        let (mut gradient, mut spare) = (&mut even[0], &mut odd[0]);
        gradient.fill(0.0);
        if n_layers > 0 {
            adjacency.spmm_rows_backward(rows, &self.d_leaf, dim, gradient);
        }
        scatter_add_rows(&self.d_leaf, dim, rows, gradient);
        for _ in 1..n_layers {
            adjacency.spmm(gradient, dim, spare);
            std::mem::swap(&mut gradient, &mut spare);
            scatter_add_rows(&self.d_leaf, dim, rows, gradient);
        }

        if l2 > 0.0 {
            let weight = l2 / n as f32;
            let mut squares = 0.0;
            for row in [&batch.users, &batch.positives, &batch.negatives].into_iter().flatten() {
                let start = *row as usize * dim;
                let x = &x0[start..start + dim];
                squares += f64::from(squared_norm(x));
                axpy(weight, x, &mut gradient[start..start + dim]);
            }
            loss += 0.5 * f64::from(l2) * squares / n as f64;
        }
        (loss, gradient)
    }

    /// `leaf` ← mean of all layers at the batch's rows.
    fn forward(&mut self, adjacency: &Csr, x0: &[f32]) {
        let (dim, rows) = (self.dim, self.rows.rows());
        self.leaf.clear();
        self.leaf.resize(rows.len() * dim, 0.0);
        let mut below = x0;
        add_rows(below, dim, rows, &mut self.leaf);
        for layer in self.layers.iter_mut().take(self.n_layers.saturating_sub(1)) {
            adjacency.spmm(below, dim, layer);
            below = layer;
            add_rows(below, dim, rows, &mut self.leaf);
        }
        if self.n_layers > 0 {
            self.last.resize(rows.len() * dim, 0.0);
            adjacency.spmm_rows(rows, below, dim, &mut self.last);
            add_assign(&mut self.leaf, &self.last);
        }
        scale(1.0 / (self.n_layers + 1) as f32, &mut self.leaf);
    }
}

/// Mean of all layers at every node; `x0` and the result are (n_nodes, dim).
pub(super) fn mean_of_layers(adjacency: &Csr, x0: &[f32], dim: usize, n_layers: usize) -> Vec<f32> {
    let mut mean = x0.to_vec();
    let (mut below, mut layer) = (x0.to_vec(), vec![0.0; x0.len()]);
    for _ in 0..n_layers {
        adjacency.spmm(&below, dim, &mut layer);
        add_assign(&mut mean, &layer);
        std::mem::swap(&mut below, &mut layer);
    }
    scale(1.0 / (n_layers + 1) as f32, &mut mean);
    mean
}

/// `out[j] += table[rows[j]]`.
fn add_rows(table: &[f32], dim: usize, rows: &[u32], out: &mut [f32]) {
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(dim)) {
        let start = *row as usize * dim;
        add_assign(out, &table[start..start + dim]);
    }
}
