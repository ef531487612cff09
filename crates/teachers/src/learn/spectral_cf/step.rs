//! One step of training, written out: forward over the whole graph, backward.

use rectify_tensor::Csr;
use rectify_tensor::kernels::scatter_add_rows;

use crate::learn::convolution::{layer, layer_backward};
use crate::learn::triples::BatchRows;

/// Buffers and arithmetic of a step; what is learned stays outside. M is `I + L`.
///
/// The last layer is computed at the batch's rows alone, and its backward product touches their neighbours only. M is
/// symmetric: no transpose.
#[derive(Debug)]
pub(super) struct Propagation {
    dim: usize,
    /// `M X₀ … M X_{K-2}` and `X₁ … X_{K-1}`, for all nodes.
    products: Vec<Vec<f32>>,
    layers: Vec<Vec<f32>>,
    /// `M X_{K-1}` and `X_K` at the batch's rows.
    last_product: Vec<f32>,
    last: Vec<f32>,
    leaf: Vec<f32>,
    d_leaf: Vec<f32>,
    d: Vec<f32>,
    d_embeddings: Vec<f32>,
    d_filters: Vec<Vec<f32>>,
}

impl Propagation {
    pub(super) fn new(n_nodes: usize, dim: usize, n_layers: usize) -> Self {
        let nodes = || vec![0.0; n_nodes * dim];
        Self {
            dim,
            products: (1..n_layers).map(|_| nodes()).collect(),
            layers: (1..n_layers).map(|_| nodes()).collect(),
            last_product: Vec::new(),
            last: Vec::new(),
            leaf: Vec::new(),
            d_leaf: Vec::new(),
            d: nodes(),
            d_embeddings: nodes(),
            d_filters: vec![vec![0.0; dim * dim]; n_layers],
        }
    }

    /// Loss of a batch, `mean BPR + λ/2 Σ |vector|² / n` over the three vectors of each triple, and its gradients: of the
    /// embeddings (n, dim), and of each filter (dim, dim).
    pub(super) fn step(
        &mut self,
        matrix: &Csr,
        x0: &[f32],
        filters: &[&[f32]],
        batch: &BatchRows,
        l2: f32,
    ) -> (f64, &[f32], &[Vec<f32>]) {
        let width = self.dim * (filters.len() + 1);
        self.vectors(matrix, x0, filters, batch.rows());
        let mut loss = batch.bpr(&self.leaf, width, l2, &mut self.d_leaf);
        if l2 > 0.0 {
            loss += 0.5 * f64::from(l2) * batch.squares(&self.leaf, width) / batch.n_triples() as f64;
        }
        self.backward(matrix, filters, batch.rows());
        (loss, &self.d_embeddings, &self.d_filters)
    }

    /// The vectors `[X₀ … X_K]` of chosen nodes, (nodes, (K + 1) dim).
    pub(super) fn vectors(&mut self, matrix: &Csr, x0: &[f32], filters: &[&[f32]], nodes: &[u32]) -> &[f32] {
        let dim = self.dim;
        let (last_filter, below) = filters.split_last().expect("settings ask for a layer at least");
        for (k, filter) in below.iter().enumerate() {
            let (done, todo) = self.layers.split_at_mut(k);
            matrix.spmm(done.last().map_or(x0, |x| x), dim, &mut self.products[k]);
            layer(&self.products[k], filter, dim, &mut todo[0]);
        }
        self.last_product.resize(nodes.len() * dim, 0.0);
        self.last.resize(nodes.len() * dim, 0.0);
        self.leaf.resize(nodes.len() * dim * (filters.len() + 1), 0.0);
        matrix.spmm_rows(nodes, self.layers.last().map_or(x0, |x| x), dim, &mut self.last_product);
        layer(&self.last_product, last_filter, dim, &mut self.last);
        let rows = self.leaf.chunks_exact_mut(dim * (filters.len() + 1)).zip(self.last.chunks_exact(dim));
        for (node, (out, last)) in nodes.iter().zip(rows) {
            let start = *node as usize * dim;
            let tables = std::iter::once(x0).chain(self.layers.iter().map(Vec::as_slice));
            let parts = tables.map(|table| &table[start..start + dim]).chain([last]);
            out.chunks_exact_mut(dim).zip(parts).for_each(|(out, part)| out.copy_from_slice(part));
        }
        &self.leaf
    }

    /// From `d_leaf`, the gradient at the rows `nodes`, to all gradients.
    fn backward(&mut self, matrix: &Csr, filters: &[&[f32]], nodes: &[u32]) {
        let (dim, n_layers) = (self.dim, filters.len());
        self.d_filters.iter_mut().for_each(|d| d.fill(0.0));
        let part = |layer: usize| -> Vec<f32> {
            let rows = self.d_leaf.chunks_exact(dim * (n_layers + 1));
            rows.flat_map(|d| &d[layer * dim..(layer + 1) * dim]).copied().collect()
        };
        let mut d_product = part(n_layers);
        let top = n_layers - 1;
        layer_backward(&self.last_product, &self.last, filters[top], dim, &mut d_product, &mut self.d_filters[top]);
        let (mut d, mut spare) = (&mut self.d_embeddings, &mut self.d);
        d.fill(0.0);
        matrix.spmm_rows_backward(nodes, &d_product, dim, d);
        scatter_add_rows(&part(top), dim, nodes, d);
        for k in (0..top).rev() {
            layer_backward(&self.products[k], &self.layers[k], filters[k], dim, d, &mut self.d_filters[k]);
            matrix.spmm(d, dim, spare);
            std::mem::swap(&mut d, &mut spare);
            scatter_add_rows(&part(k), dim, nodes, d);
        }
        if top % 2 == 1 {
            std::mem::swap(&mut self.d_embeddings, &mut self.d);
        }
    }
}
