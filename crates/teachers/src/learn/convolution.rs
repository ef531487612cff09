//! The dense half of a graph convolution over many nodes: `X = σ(P·Θ)`, by pieces of rows.

use rayon::prelude::*;
use rectify_tensor::kernels::{Activation, Op, activation_backward, add_assign, gemm, sigmoid_slice};
use rectify_tensor::parallel;

/// Rows of a piece: at width 64 its matrices stay in the second-level cache.
pub(crate) const PIECE: usize = 256;

/// `x ← σ(p·Θ)`; p and x (n, dim), filter Θ (dim, dim).
pub(crate) fn layer(p: &[f32], filter: &[f32], dim: usize, x: &mut [f32]) {
    parallel::fill_rows(x, dim, PIECE, |first, x| {
        let p = &p[first * dim..][..x.len()];
        gemm((x.len() / dim, dim, dim), 1.0, p, Op::Plain, filter, Op::Plain, 0.0, x);
        sigmoid_slice(x);
    });
}

/// Backward of [`layer`]: `d` comes as the gradient of x and leaves as that of p; the filter's is added to `d_filter`.
pub(crate) fn layer_backward(p: &[f32], x: &[f32], filter: &[f32], dim: usize, d: &mut [f32], d_filter: &mut [f32]) {
    let width = PIECE * dim;
    let pieces = d.par_chunks_mut(width).zip(x.par_chunks(width)).zip(p.par_chunks(width));
    let parts: Vec<Vec<f32>> = pieces
        .map(|((d, x), p)| {
            let rows = d.len() / dim;
            activation_backward(x, d, Activation::Sigmoid);
            let mut part = vec![0.0; dim * dim];
            gemm((dim, dim, rows), 1.0, p, Op::Transposed, d, Op::Plain, 0.0, &mut part);
            let dz = d.to_vec();
            gemm((rows, dim, dim), 1.0, &dz, Op::Plain, filter, Op::Transposed, 0.0, d);
            part
        })
        .collect();
    parts.iter().for_each(|part| add_assign(d_filter, part));
}
