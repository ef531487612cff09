//! Pairs through the convolutions.
//!
//! Positions of a map lie in Morton order (the bits of row and column interleaved), so that the four positions of a patch follow each
//! other, in this layer and in all later ones: a convolution of 2 × 2 with stride 2 is one product of a matrix (patches, 4 · channels) with
//! the filters, and nothing is ever copied into patches.

use rectify_tensor::kernels::{Activation, dots, linear_bias_act};

/// Weights as they stand: (weight (4 · inputs, channels), bias) of each layer, then the output.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) layers: &'a [(&'a [f32], &'a [f32])],
    pub(crate) output: &'a [f32],
    pub(crate) bias: f32,
}

/// Row and column of each position of a map of `dim × dim` in Morton order.
pub(crate) fn positions(dim: usize) -> Vec<(u16, u16)> {
    let every_second = |bits: usize| (0..8).map(|b| (bits >> (2 * b) & 1) << b).sum::<usize>() as u16;
    (0..dim * dim).map(|at| (every_second(at >> 1), every_second(at))).collect()
}

/// Inner values of some pairs.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// The maps of the pairs, then the output of each layer.
    pub(crate) activations: Vec<Vec<f32>>,
    pub(crate) scores: Vec<f32>,
}

impl Pass {
    /// Scores of pairs, given both vectors of each.
    pub(crate) fn forward<'v>(
        &mut self,
        weights: &Weights<'_>,
        positions: &[(u16, u16)],
        pairs: impl ExactSizeIterator<Item = (&'v [f32], &'v [f32])>,
    ) {
        let n = pairs.len();
        self.activations.resize(weights.layers.len() + 1, Vec::new());
        let map = &mut self.activations[0];
        map.resize(n * positions.len(), 0.0);
        for ((p, q), map) in pairs.zip(map.chunks_exact_mut(positions.len())) {
            for (x, (row, column)) in map.iter_mut().zip(positions) {
                *x = p[usize::from(*row)] * q[usize::from(*column)];
            }
        }
        for (l, (weight, bias)) in weights.layers.iter().enumerate() {
            let (below, above) = self.activations.split_at_mut(l + 1);
            let n_patches = below[l].len() * bias.len() / weight.len();
            above[0].resize(n_patches * bias.len(), 0.0);
            linear_bias_act(&below[l], weight, bias, Activation::Relu, &mut above[0]);
        }
        self.scores.resize(n, 0.0);
        dots(weights.output, &self.activations[weights.layers.len()], &mut self.scores);
        self.scores.iter_mut().for_each(|score| *score += weights.bias);
    }
}
