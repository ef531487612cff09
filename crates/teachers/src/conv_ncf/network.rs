//! Pairs through the convolutions and back.
//!
//! Positions of a map lie in Morton order (the bits of row and column interleaved), so that the four positions of a patch follow each
//! other, in this layer and in all later ones: a convolution of 2 × 2 with stride 2 is one product of a matrix (patches, 4 · channels) with
//! the filters, and nothing is ever copied into patches.

use rectify_tensor::kernels::{Activation, Op, dots, gemm, linear_bias_act, linear_bias_act_backward};

/// Weights as they stand: (weight (4 · inputs, channels), bias) of each layer, then the output.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) layers: &'a [(&'a [f32], &'a [f32])],
    pub(super) output: &'a [f32],
    pub(super) bias: f32,
}

/// Gradients of [`Weights`].
#[derive(Clone, Debug, Default)]
pub(super) struct Gradients {
    pub(super) layers: Vec<(Vec<f32>, Vec<f32>)>,
    pub(super) output: Vec<f32>,
    pub(super) bias: f32,
}

impl Gradients {
    pub(super) fn zeros(weights: &Weights<'_>) -> Self {
        Self {
            layers: weights.layers.iter().map(|(w, b)| (vec![0.0; w.len()], vec![0.0; b.len()])).collect(),
            output: vec![0.0; weights.output.len()],
            bias: 0.0,
        }
    }
}

/// Row and column of each position of a map of `dim × dim` in Morton order.
pub(super) fn positions(dim: usize) -> Vec<(u16, u16)> {
    let every_second = |bits: usize| (0..8).map(|b| (bits >> (2 * b) & 1) << b).sum::<usize>() as u16;
    (0..dim * dim).map(|at| (every_second(at >> 1), every_second(at))).collect()
}

/// Inner values of some pairs.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The maps of the pairs, then the output of each layer.
    activations: Vec<Vec<f32>>,
    d_activations: Vec<Vec<f32>>,
    pub(super) scores: Vec<f32>,
}

impl Pass {
    /// Scores of pairs, given both vectors of each.
    pub(super) fn forward<'v>(
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

    /// Adds the gradients of the pairs of the last [`forward`](Self::forward); returns those of their maps.
    pub(super) fn backward(&mut self, weights: &Weights<'_>, d_scores: &[f32], to: &mut Gradients) -> &[f32] {
        let (n, top, channels) = (d_scores.len(), weights.layers.len(), weights.output.len());
        gemm((1, channels, n), 1.0, d_scores, Op::Plain, &self.activations[top], Op::Plain, 1.0, &mut to.output);
        to.bias += d_scores.iter().sum::<f32>();
        self.d_activations.resize(top + 1, Vec::new());
        self.d_activations[top].clear();
        for slope in d_scores {
            self.d_activations[top].extend(weights.output.iter().map(|w| slope * w));
        }
        for (l, (weight, _)) in weights.layers.iter().enumerate().rev() {
            let (d_weight, d_bias) = &mut to.layers[l];
            let (below, above) = self.d_activations.split_at_mut(l + 1);
            below[l].resize(self.activations[l].len(), 0.0);
            linear_bias_act_backward(
                &self.activations[l],
                weight,
                &self.activations[l + 1],
                Activation::Relu,
                &mut above[0],
                Some(&mut below[l]),
                d_weight,
                d_bias,
            );
        }
        &self.d_activations[0]
    }
}

/// Adds the gradients of both vectors of a pair from that of its map.
pub(super) fn map_backward(
    positions: &[(u16, u16)],
    d_map: &[f32],
    (p, q): (&[f32], &[f32]),
    d_p: &mut [f32],
    d_q: &mut [f32],
) {
    for (d, (row, column)) in d_map.iter().zip(positions) {
        let (row, column) = (usize::from(*row), usize::from(*column));
        d_p[row] += d * q[column];
        d_q[column] += d * p[row];
    }
}
