//! A list back through the attention, written out.

use rectify_tensor::kernels::{Activation, Op, add_assign, gemm, linear_bias_act_backward};

use crate::PrmConfig;
use crate::serve::prm::network::{
    BLOCKS, BlockPass, DOWN, HEADS, LAST_NORM, MIX, NORM, Norm, PER_BLOCK, POSITIONS, PROJECT, Pass, UP, columns,
    put_columns,
};

impl Pass {
    /// Adds the gradients of all arrays, given that of the scores.
    pub(super) fn backward(&self, config: &PrmConfig, weights: &[&[f32]], d_scores: &[f32], to: &mut [Vec<f32>]) {
        let (d, n, last) = (config.width, d_scores.len(), weights.len() - 1);
        let top = self.blocks.last().map_or(&[][..], |block| &block.last.out[..]);
        gemm((1, d, n), 1.0, d_scores, Op::Plain, top, Op::Plain, 1.0, &mut to[last]);
        let mut slopes: Vec<f32> = d_scores.iter().flat_map(|s| weights[last].iter().map(move |w| s * w)).collect();
        for (b, pass) in self.blocks.iter().enumerate().rev() {
            let places = BLOCKS + b * PER_BLOCK..BLOCKS + (b + 1) * PER_BLOCK;
            slopes = pass.backward(config, &weights[places.clone()], slopes, &mut to[places]);
        }
        add_assign(&mut to[POSITIONS][..n * d], &slopes);
        // An identity layer reads no output.
        let (weight, bias) = pair(to, PROJECT);
        let output = slopes.clone();
        let act = Activation::Identity;
        linear_bias_act_backward(&self.tokens, weights[PROJECT], &output, act, &mut slopes, None, weight, bias);
    }
}

/// An array and the one after it.
fn pair(arrays: &mut [Vec<f32>], at: usize) -> (&mut Vec<f32>, &mut Vec<f32>) {
    let (left, right) = arrays.split_at_mut(at + 1);
    (&mut left[at], &mut right[0])
}

impl BlockPass {
    /// Gradient of the block's input from that of its output.
    fn backward(&self, config: &PrmConfig, w: &[&[f32]], mut slopes: Vec<f32>, to: &mut [Vec<f32>]) -> Vec<f32> {
        let d = config.width;
        let (n, width) = (slopes.len() / d, d / config.n_heads);
        let (gain, shift) = pair(to, LAST_NORM);
        self.last.backward(w[LAST_NORM], &mut slopes, gain, shift);
        // `slopes` is now that of first.out + mask ⊙ down.
        let (mut d_down, mut d_up) = (masked(&slopes, &self.masks[1]), vec![0.0; n * d]);
        let (weight, bias) = pair(to, DOWN);
        let act = Activation::Identity;
        linear_bias_act_backward(&self.up, w[DOWN], &self.down, act, &mut d_down, Some(&mut d_up), weight, bias);
        let mut below = vec![0.0; n * d];
        let (weight, bias) = pair(to, UP);
        let (x, act) = (&self.first.out, Activation::Relu);
        linear_bias_act_backward(x, w[UP], &self.up, act, &mut d_up, Some(&mut below), weight, bias);
        add_assign(&mut slopes, &below);
        let (gain, shift) = pair(to, NORM);
        self.first.backward(w[NORM], &mut slopes, gain, shift);
        // That of input + mask ⊙ mixed.
        let (mut d_mixed, mut d_heads) = (masked(&slopes, &self.masks[0]), vec![0.0; n * d]);
        let (weight, bias) = pair(to, MIX);
        let act = Activation::Identity;
        linear_bias_act_backward(&self.heads, w[MIX], &self.mixed, act, &mut d_mixed, Some(&mut d_heads), weight, bias);
        let mut d_qkv = vec![0.0; 3 * n * d];
        for (h, weights) in self.weights.iter().enumerate() {
            let part = |which: usize| columns(&self.qkv, 3 * d, which * d + h * width, width);
            let [q, k, v] = [part(0), part(1), part(2)];
            let d_out = columns(&d_heads, d, h * width, width);
            for (which, gradient) in attention_backward(width, [&q, &k, &v], weights, &d_out).into_iter().enumerate() {
                put_columns(&mut d_qkv, 3 * d, which * d + h * width, &gradient, width);
            }
        }
        let (weight, bias) = pair(to, HEADS);
        let act = Activation::Identity;
        linear_bias_act_backward(&self.input, w[HEADS], &self.qkv, act, &mut d_qkv, Some(&mut below), weight, bias);
        add_assign(&mut slopes, &below);
        slopes
    }
}

impl Norm {
    /// Turns the gradient of `out` into that of `x`.
    fn backward(&self, gain: &[f32], d_out: &mut [f32], d_gain: &mut [f32], d_shift: &mut [f32]) {
        let d = gain.len();
        for ((row, unit), inverse) in d_out.chunks_exact_mut(d).zip(self.unit.chunks_exact(d)).zip(&self.inverse) {
            let (mut sum, mut along) = (0.0, 0.0);
            for (j, slope) in row.iter_mut().enumerate() {
                d_shift[j] += *slope;
                d_gain[j] += *slope * unit[j];
                *slope *= 1.0 + gain[j];
                sum += *slope;
                along += *slope * unit[j];
            }
            let (sum, along) = (sum / d as f32, along / d as f32);
            row.iter_mut().zip(unit).for_each(|(slope, unit)| *slope = inverse * (*slope - sum - unit * along));
        }
    }
}

/// Gradients of `[q, k, v]` of [`attention`], given its weights and the gradient of its output.
fn attention_backward(width: usize, [q, k, v]: [&[f32]; 3], weights: &[f32], d_out: &[f32]) -> [Vec<f32>; 3] {
    let (n, scale) = (q.len() / width, 1.0 / (width as f32).sqrt());
    let [mut d_q, mut d_k, mut d_v] = [(); 3].map(|()| vec![0.0; q.len()]);
    gemm((n, width, n), 1.0, weights, Op::Transposed, d_out, Op::Plain, 0.0, &mut d_v);
    let mut slopes = vec![0.0; n * n];
    gemm((n, n, width), 1.0, d_out, Op::Plain, v, Op::Transposed, 0.0, &mut slopes);
    for (slopes, weights) in slopes.chunks_exact_mut(n).zip(weights.chunks_exact(n)) {
        let along: f32 = slopes.iter().zip(weights).map(|(s, w)| s * w).sum();
        slopes.iter_mut().zip(weights).for_each(|(s, w)| *s = w * (*s - along));
    }
    gemm((n, width, n), scale, &slopes, Op::Plain, k, Op::Plain, 0.0, &mut d_q);
    gemm((n, width, n), scale, &slopes, Op::Transposed, q, Op::Plain, 0.0, &mut d_k);
    [d_q, d_k, d_v]
}

/// The gradient of a branch from that of the sum it was added to.
fn masked(d: &[f32], mask: &[f32]) -> Vec<f32> {
    if mask.is_empty() { d.to_vec() } else { d.iter().zip(mask).map(|(d, m)| d * m).collect() }
}
