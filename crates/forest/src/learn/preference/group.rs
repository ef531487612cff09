//! One group through the attention unit into the first layer, and back.
//!
//! With a one behind each node's embedding, `v' = [e_n, 1]`, the hidden values of the attention unit for all nodes and all distinct
//! nodes of the history are one product `V' M`, where M depends on the user and the level alone ([`mixing`](super::kernels::mixing)).
//! The windows are not pooled for each node: `Σ_w g_w W_w = Σ_k a_k U_k` with `U_k = Σ_w share(k, w) e_k W_w`, so the first layer is
//! `z = a U + V' W'`, W' being the last rows of its weight with zeros behind.

use rectify_tensor::kernels::{self as tensor_kernels, Op, gemm};

use super::kernels::{
    LANES, Lanes, UnitGradients, attend, attend_backward, mixing, mixing_backward, pool, pool_backward,
};
use super::params::{BIAS, Blocks, HISTORY, LAYERS, NODE, OUT, OUT_BIAS, PRODUCT, Params, SLOPE};
use super::piece::{Group, Piece};

/// What all groups of a step share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub(super) params: &'a Params,
    /// Embeddings of the batch's distinct nodes.
    pub(super) leaf: &'a [f32],
    pub(super) dim: usize,
    pub(super) n_windows: usize,
    /// Outputs of the first layer.
    pub(super) width: usize,
    /// Rows of the first layer's weight for a node's own embedding, and one of zeros: `[E + 1, width]`.
    pub(super) own: Vec<f32>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(params: &'a Params, leaf: &'a [f32], dim: usize, n_windows: usize, width: usize) -> Self {
        let mut own = params.block(LAYERS)[n_windows * dim * width..].to_vec();
        own.resize((dim + 1) * width, 0.0);
        Self { params, leaf, dim, n_windows, width, own }
    }

    fn embedding(&self, slot: u32) -> &[f32] {
        &self.leaf[slot as usize * self.dim..][..self.dim]
    }
}

/// What a group's way needs and leaves nothing in; one for each thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    columns: usize,
    /// Embeddings of the history: by columns, and by rows.
    history: Vec<f32>,
    history_rows: Vec<f32>,
    /// `[n, E + 1]`.
    nodes: Vec<f32>,
    mixed: Vec<f32>,
    hidden: Vec<f32>,
    attention: Vec<f32>,
    pooled: Vec<f32>,
    d_history: Vec<f32>,
    d_history_rows: Vec<f32>,
    d_nodes: Vec<f32>,
    d_mixed: Vec<f32>,
    d_attention: Vec<f32>,
    d_pooled: Vec<f32>,
    d_own: Vec<f32>,
    sums: Vec<[Lanes; 2]>,
}

fn zeros(values: &mut Vec<f32>, n: usize) {
    values.clear();
    values.resize(n, 0.0);
}

/// Everything up to attention and `U`; what the way back needs, too.
fn prepare(shared: &Shared<'_>, piece: &Piece, group: &Group, scratch: &mut Scratch) {
    let (dim, hidden) = (shared.dim, shared.params.block(SLOPE).len());
    let slots = &piece.history_slots[group.history.clone()];
    let nodes = &piece.node_slots[group.nodes.clone()];
    let columns = slots.len().next_multiple_of(LANES);
    scratch.columns = columns;
    zeros(&mut scratch.history, dim * columns);
    scratch.history_rows.clear();
    for (k, slot) in slots.iter().enumerate() {
        let e = shared.embedding(*slot);
        scratch.history_rows.extend_from_slice(e);
        for (d, x) in e.iter().enumerate() {
            scratch.history[d * columns + k] = *x;
        }
    }
    scratch.nodes.clear();
    for slot in nodes {
        scratch.nodes.extend_from_slice(shared.embedding(*slot));
        scratch.nodes.push(1.0);
    }
    let (n, wide) = (nodes.len(), hidden * columns);
    scratch.mixed.resize((dim + 1) * wide, 0.0);
    mixing(shared.params.unit(), &scratch.history, columns, &mut scratch.mixed);
    scratch.hidden.resize(n * wide, 0.0);
    let hidden_values = &mut scratch.hidden;
    gemm((n, wide, dim + 1), 1.0, &scratch.nodes, Op::Plain, &scratch.mixed, Op::Plain, 0.0, hidden_values);
    scratch.attention.resize(n * columns, 0.0);
    let out = (shared.params.block(OUT), shared.params.block(OUT_BIAS)[0]);
    attend(hidden_values, columns, shared.params.block(SLOPE), out, &mut scratch.attention);
    zeros(&mut scratch.pooled, columns * shared.width);
    let parts = &piece.parts[group.parts.clone()];
    pool(parts, &scratch.history_rows, dim, shared.params.block(LAYERS), shared.width, &mut scratch.pooled);
}

/// Writes the first layer's products of all groups of a piece.
pub(super) fn forward(shared: &Shared<'_>, piece: &mut Piece, scratch: &mut Scratch) {
    let width = shared.width;
    let mut z = std::mem::take(&mut piece.layers[0].z);
    z.resize(piece.n_rows() * width, 0.0);
    for group in &piece.groups {
        prepare(shared, piece, group, scratch);
        let z = &mut z[group.nodes.start * width..group.nodes.end * width];
        let n = group.nodes.len();
        let columns = scratch.columns;
        gemm((n, width, columns), 1.0, &scratch.attention, Op::Plain, &scratch.pooled, Op::Plain, 0.0, z);
        gemm((n, width, shared.dim + 1), 1.0, &scratch.nodes, Op::Plain, &shared.own, Op::Plain, 1.0, z);
    }
    piece.layers[0].z = z;
}

/// From the gradients of the first layer's products those of the embeddings (written) and of the weights (added).
pub(super) fn backward(shared: &Shared<'_>, piece: &mut Piece, scratch: &mut Scratch) {
    let (dim, width, hidden) = (shared.dim, shared.width, shared.params.block(SLOPE).len());
    let mut gradients = std::mem::take(&mut piece.gradients);
    let (mut d_history, mut d_nodes) = (std::mem::take(&mut piece.d_history), std::mem::take(&mut piece.d_nodes));
    d_history.resize(piece.history.len() * dim, 0.0);
    d_nodes.resize(piece.nodes.len() * dim, 0.0);
    zeros(&mut scratch.d_own, (dim + 1) * width);
    scratch.sums.clear();
    scratch.sums.resize(hidden, [[0.0; LANES]; 2]);
    for group in &piece.groups {
        prepare(shared, piece, group, scratch);
        let s = &mut *scratch;
        let dz = &piece.layers[0].d[group.nodes.start * width..group.nodes.end * width];
        let (n, columns) = (group.nodes.len(), s.columns);
        // The first layer.
        s.d_attention.resize(n * columns, 0.0);
        gemm((n, columns, width), 1.0, dz, Op::Plain, &s.pooled, Op::Transposed, 0.0, &mut s.d_attention);
        s.d_pooled.resize(columns * width, 0.0);
        gemm((columns, width, n), 1.0, &s.attention, Op::Transposed, dz, Op::Plain, 0.0, &mut s.d_pooled);
        gemm((dim + 1, width, n), 1.0, &s.nodes, Op::Transposed, dz, Op::Plain, 1.0, &mut s.d_own);
        s.d_nodes.resize(n * (dim + 1), 0.0);
        gemm((n, dim + 1, width), 1.0, dz, Op::Plain, &shared.own, Op::Transposed, 0.0, &mut s.d_nodes);
        zeros(&mut s.d_history_rows, s.history_rows.len());
        let parts = &piece.parts[group.parts.clone()];
        let (weight, d_weight) = (shared.params.block(LAYERS), &mut gradients[LAYERS]);
        pool_backward(parts, &s.history_rows, dim, weight, width, &s.d_pooled, d_weight, &mut s.d_history_rows);
        // The attention unit.
        gradients[OUT_BIAS][0] += real_columns_sum(&s.d_attention, columns, group.history.len());
        let (slope, out) = (shared.params.block(SLOPE), shared.params.block(OUT));
        attend_backward(&mut s.hidden, columns, slope, out, &s.d_attention, &mut s.sums);
        let wide = hidden * columns;
        gemm((n, dim + 1, wide), 1.0, &s.hidden, Op::Plain, &s.mixed, Op::Transposed, 1.0, &mut s.d_nodes);
        s.d_mixed.resize((dim + 1) * wide, 0.0);
        gemm((dim + 1, wide, n), 1.0, &s.nodes, Op::Transposed, &s.hidden, Op::Plain, 0.0, &mut s.d_mixed);
        zeros(&mut s.d_history, dim * columns);
        let d_unit = &mut unit_gradients(&mut gradients);
        mixing_backward(shared.params.unit(), &s.history, columns, &s.d_mixed, d_unit, &mut s.d_history);
        // To the embeddings.
        let rows = s.d_history_rows.chunks_exact(dim);
        let outs = d_history[group.history.start * dim..group.history.end * dim].chunks_exact_mut(dim);
        for (k, (row, out)) in rows.zip(outs).enumerate() {
            for (d, (row, out)) in row.iter().zip(out).enumerate() {
                *out = row + s.d_history[d * columns + k];
            }
        }
        let outs = d_nodes[group.nodes.start * dim..group.nodes.end * dim].chunks_exact_mut(dim);
        for (row, out) in s.d_nodes.chunks_exact(dim + 1).zip(outs) {
            out.copy_from_slice(&row[..dim]);
        }
    }
    // The last row belongs to the ones behind the embeddings, which have no weight.
    let own = shared.n_windows * dim * width;
    tensor_kernels::add_assign(&mut gradients[LAYERS][own..], &scratch.d_own[..dim * width]);
    for (h, [slope, out]) in scratch.sums.iter().enumerate() {
        gradients[SLOPE][h] += slope.iter().sum::<f32>();
        gradients[OUT][h] += out.iter().sum::<f32>();
    }
    piece.gradients = gradients;
    piece.d_history = d_history;
    piece.d_nodes = d_nodes;
}

/// Sum of the columns that are not padding (whose gradients are zero up to the sign).
fn real_columns_sum(d: &[f32], columns: usize, real: usize) -> f32 {
    d.chunks_exact(columns).map(|row| row[..real].iter().sum::<f32>()).sum()
}

fn unit_gradients(gradients: &mut Blocks) -> UnitGradients<'_> {
    let [history, product, node, bias] =
        gradients.get_disjoint_mut([HISTORY, PRODUCT, NODE, BIAS]).expect("blocks of their own");
    UnitGradients { history, product, node, bias }
}
