//! A list through the attention and back, written out.

use rectify_core::rng::Rng;
use rectify_tensor::Init;
use rectify_tensor::kernels::{
    Activation, Op, add_assign, dots, gemm, linear_bias_act, linear_bias_act_backward, softmax_rows,
};

use super::PrmConfig;

/// Added to a variance before its root.
const EPSILON: f32 = 1e-5;

/// Places of the arrays before the blocks: projection of tokens, its bias, vectors of positions.
const PROJECT: usize = 0;
const POSITIONS: usize = 2;
const BLOCKS: usize = 3;
/// Places within a block: queries, keys and values side by side; the mix of heads; norm; two layers; norm. A bias follows its weight.
const HEADS: usize = 0;
const MIX: usize = 2;
const NORM: usize = 4;
const UP: usize = 6;
const DOWN: usize = 8;
const LAST_NORM: usize = 10;
const PER_BLOCK: usize = 12;

/// Name, rows, columns and start of every array; tokens have `token` values.
pub(super) fn arrays(config: &PrmConfig, token: usize) -> Vec<(String, usize, usize, Init)> {
    let (d, weight) = (config.width, Init::GlorotUniform);
    let mut all = vec![
        ("project.weight".to_owned(), token, d, weight),
        ("project.bias".to_owned(), 1, d, Init::Zeros),
        ("positions".to_owned(), config.list_len, d, Init::Normal { std: 0.01 }),
    ];
    for block in 0..config.n_blocks {
        for (name, rows, columns, init) in [
            ("heads.weight", d, 3 * d, weight),
            ("heads.bias", 1, 3 * d, Init::Zeros),
            ("mix.weight", d, d, weight),
            ("mix.bias", 1, d, Init::Zeros),
            ("norm.gain", 1, d, Init::Zeros),
            ("norm.shift", 1, d, Init::Zeros),
            ("up.weight", d, d, weight),
            ("up.bias", 1, d, Init::Zeros),
            ("down.weight", d, d, weight),
            ("down.bias", 1, d, Init::Zeros),
            ("last_norm.gain", 1, d, Init::Zeros),
            ("last_norm.shift", 1, d, Init::Zeros),
        ] {
            all.push((format!("block.{block}.{name}"), rows, columns, init));
        }
    }
    all.push(("output".to_owned(), d, 1, weight));
    all
}

/// What a layer norm keeps for the way back.
#[derive(Debug, Default)]
struct Norm {
    /// `(x − mean) / deviation`, (n, d).
    unit: Vec<f32>,
    inverse: Vec<f32>,
    out: Vec<f32>,
}

impl Norm {
    /// `out = (1 + gain) ⊙ unit(x) + shift`, by rows; a gain of 0 leaves a row as it is normalised.
    fn forward(&mut self, x: &[f32], gain: &[f32], shift: &[f32]) {
        let d = gain.len();
        self.unit.clear();
        self.inverse.clear();
        self.out.clear();
        for row in x.chunks_exact(d) {
            let mean = row.iter().sum::<f32>() / d as f32;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / d as f32;
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            self.inverse.push(inverse);
            self.unit.extend(row.iter().map(|x| (x - mean) * inverse));
            let unit = &self.unit[self.unit.len() - d..];
            self.out.extend(unit.iter().zip(gain).zip(shift).map(|((u, g), s)| (1.0 + g) * u + s));
        }
    }

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

/// Scaled dot-product attention of one head: `softmax(Q Kᵀ / √width) V`.
///
/// **Shapes**: q, k, v and out (n, width); weights (n, n).
pub(super) fn attention(width: usize, [q, k, v]: [&[f32]; 3], weights: &mut Vec<f32>, out: &mut [f32]) {
    let n = q.len() / width;
    let mut logits = vec![0.0; n * n];
    gemm((n, n, width), 1.0 / (width as f32).sqrt(), q, Op::Plain, k, Op::Transposed, 0.0, &mut logits);
    weights.resize(n * n, 0.0);
    softmax_rows(&logits, n, 1.0, weights);
    gemm((n, width, n), 1.0, weights, Op::Plain, v, Op::Plain, 0.0, out);
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

/// Columns `from..from + width` of rows of `stride`.
fn columns(x: &[f32], stride: usize, from: usize, width: usize) -> Vec<f32> {
    x.chunks_exact(stride).flat_map(|row| &row[from..from + width]).copied().collect()
}

fn put_columns(x: &mut [f32], stride: usize, from: usize, part: &[f32], width: usize) {
    for (row, part) in x.chunks_exact_mut(stride).zip(part.chunks_exact(width)) {
        row[from..from + width].copy_from_slice(part);
    }
}

/// Inner values of one block.
#[derive(Debug, Default)]
struct BlockPass {
    input: Vec<f32>,
    /// Queries, keys and values side by side, (n, 3 d).
    qkv: Vec<f32>,
    /// Of each head, (n, n).
    weights: Vec<Vec<f32>>,
    /// Outputs of the heads side by side, then mixed.
    heads: Vec<f32>,
    mixed: Vec<f32>,
    first: Norm,
    up: Vec<f32>,
    down: Vec<f32>,
    last: Norm,
    /// What dropout multiplied the two branches by; empty without.
    masks: [Vec<f32>; 2],
}

/// Inner values of one list.
#[derive(Debug, Default)]
pub(super) struct Pass {
    tokens: Vec<f32>,
    blocks: Vec<BlockPass>,
    /// One score an item.
    pub(super) scores: Vec<f32>,
}

/// `x += mask ⊙ branch`, drawing the mask; without dropout the branch alone.
fn add_branch(x: &mut [f32], branch: &[f32], mask: &mut Vec<f32>, dropout: Option<(&mut Rng, f32)>) {
    mask.clear();
    let Some((rng, share)) = dropout.filter(|(_, share)| *share > 0.0) else { return add_assign(x, branch) };
    let kept = 1.0 / (1.0 - share);
    mask.extend(branch.iter().map(|_| if rng.unit_f32() < share { 0.0 } else { kept }));
    x.iter_mut().zip(branch).zip(mask).for_each(|((x, b), m)| *x += *m * b);
}

/// The gradient of a branch from that of the sum it was added to.
fn masked(d: &[f32], mask: &[f32]) -> Vec<f32> {
    if mask.is_empty() { d.to_vec() } else { d.iter().zip(mask).map(|(d, m)| d * m).collect() }
}

impl Pass {
    /// Scores of a list of at most `list_len` tokens, `tokens` (n, token); in training with a generator for dropout.
    pub(super) fn forward(
        &mut self,
        config: &PrmConfig,
        weights: &[&[f32]],
        tokens: Vec<f32>,
        mut dropout: Option<&mut Rng>,
    ) {
        let d = config.width;
        let n = tokens.len() * d / weights[PROJECT].len();
        let mut x = vec![0.0; n * d];
        linear_bias_act(&tokens, weights[PROJECT], weights[PROJECT + 1], Activation::Identity, &mut x);
        add_assign(&mut x, &weights[POSITIONS][..n * d]);
        self.tokens = tokens;
        self.blocks.resize_with(config.n_blocks, BlockPass::default);
        for (b, pass) in self.blocks.iter_mut().enumerate() {
            let weights = &weights[BLOCKS + b * PER_BLOCK..][..PER_BLOCK];
            x = pass.forward(config, weights, x, &mut dropout);
        }
        self.scores.clear();
        self.scores.resize(n, 0.0);
        dots(weights[weights.len() - 1], &x, &mut self.scores);
    }

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
    fn forward(
        &mut self,
        config: &PrmConfig,
        w: &[&[f32]],
        input: Vec<f32>,
        dropout: &mut Option<&mut Rng>,
    ) -> Vec<f32> {
        let (d, share) = (config.width, config.dropout as f32);
        let (n, width) = (input.len() / d, d / config.n_heads);
        self.qkv.resize(3 * n * d, 0.0);
        linear_bias_act(&input, w[HEADS], w[HEADS + 1], Activation::Identity, &mut self.qkv);
        self.weights.resize(config.n_heads, Vec::new());
        self.heads.resize(n * d, 0.0);
        let mut out = vec![0.0; n * width];
        for (h, weights) in self.weights.iter_mut().enumerate() {
            let part = |which: usize| columns(&self.qkv, 3 * d, which * d + h * width, width);
            let [q, k, v] = [part(0), part(1), part(2)];
            attention(width, [&q, &k, &v], weights, &mut out);
            put_columns(&mut self.heads, d, h * width, &out, width);
        }
        self.mixed.resize(n * d, 0.0);
        linear_bias_act(&self.heads, w[MIX], w[MIX + 1], Activation::Identity, &mut self.mixed);
        let mut x = input.clone();
        self.input = input;
        let [first, second] = &mut self.masks;
        add_branch(&mut x, &self.mixed, first, dropout.as_deref_mut().map(|rng| (rng, share)));
        self.first.forward(&x, w[NORM], w[NORM + 1]);
        self.up.resize(n * d, 0.0);
        linear_bias_act(&self.first.out, w[UP], w[UP + 1], Activation::Relu, &mut self.up);
        self.down.resize(n * d, 0.0);
        linear_bias_act(&self.up, w[DOWN], w[DOWN + 1], Activation::Identity, &mut self.down);
        x.copy_from_slice(&self.first.out);
        add_branch(&mut x, &self.down, second, dropout.as_deref_mut().map(|rng| (rng, share)));
        self.last.forward(&x, w[LAST_NORM], w[LAST_NORM + 1]);
        self.last.out.clone()
    }

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
