//! Pairs through the convolutions and back.

use rectify_tensor::kernels::{Activation, Op, gemm, linear_bias_act_backward};

use crate::serve::conv_ncf::network::{Pass, Weights};

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

impl Pass {
    /// Adds the gradients of the pairs of the last [`forward`](Self::forward); returns those of their maps.
    pub(super) fn backward(&self, weights: &Weights<'_>, d_scores: &[f32], to: &mut Gradients) -> Vec<f32> {
        let (n, top, channels) = (d_scores.len(), weights.layers.len(), weights.output.len());
        gemm((1, channels, n), 1.0, d_scores, Op::Plain, &self.activations[top], Op::Plain, 1.0, &mut to.output);
        to.bias += d_scores.iter().sum::<f32>();
        let mut slopes = vec![Vec::new(); top + 1];
        for slope in d_scores {
            slopes[top].extend(weights.output.iter().map(|w| slope * w));
        }
        for (l, (weight, _)) in weights.layers.iter().enumerate().rev() {
            let (d_weight, d_bias) = &mut to.layers[l];
            let (below, above) = slopes.split_at_mut(l + 1);
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
        slopes.swap_remove(0)
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
