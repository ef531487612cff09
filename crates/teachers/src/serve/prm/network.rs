//! A list through the attention.

use rectify_core::rng::Rng;
use rectify_tensor::Init;
use rectify_tensor::kernels::{Activation, Op, add_assign, dots, gemm, linear_bias_act, softmax_rows};

use super::PrmConfig;

/// Added to a variance before its root.
const EPSILON: f32 = 1e-5;

/// Places of the arrays before the blocks: projection of tokens, its bias, vectors of positions.
pub(crate) const PROJECT: usize = 0;
pub(crate) const POSITIONS: usize = 2;
pub(crate) const BLOCKS: usize = 3;
/// Places within a block: queries, keys and values side by side; the mix of heads; norm; two layers; norm. A bias follows its weight.
pub(crate) const HEADS: usize = 0;
pub(crate) const MIX: usize = 2;
pub(crate) const NORM: usize = 4;
pub(crate) const UP: usize = 6;
pub(crate) const DOWN: usize = 8;
pub(crate) const LAST_NORM: usize = 10;
pub(crate) const PER_BLOCK: usize = 12;

/// Name, rows, columns and start of every array; tokens have `token` values.
pub(crate) fn arrays(config: &PrmConfig, token: usize) -> Vec<(String, usize, usize, Init)> {
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
pub(crate) struct Norm {
    /// `(x − mean) / deviation`, (n, d).
    pub(crate) unit: Vec<f32>,
    pub(crate) inverse: Vec<f32>,
    pub(crate) out: Vec<f32>,
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
}

/// Scaled dot-product attention of one head: `softmax(Q Kᵀ / √width) V`.
///
/// **Shapes**: q, k, v and out (n, width); weights (n, n).
pub(crate) fn attention(width: usize, [q, k, v]: [&[f32]; 3], weights: &mut Vec<f32>, out: &mut [f32]) {
    let n = q.len() / width;
    let mut logits = vec![0.0; n * n];
    gemm((n, n, width), 1.0 / (width as f32).sqrt(), q, Op::Plain, k, Op::Transposed, 0.0, &mut logits);
    weights.resize(n * n, 0.0);
    softmax_rows(&logits, n, 1.0, weights);
    gemm((n, width, n), 1.0, weights, Op::Plain, v, Op::Plain, 0.0, out);
}

/// Columns `from..from + width` of rows of `stride`.
pub(crate) fn columns(x: &[f32], stride: usize, from: usize, width: usize) -> Vec<f32> {
    x.chunks_exact(stride).flat_map(|row| &row[from..from + width]).copied().collect()
}

pub(crate) fn put_columns(x: &mut [f32], stride: usize, from: usize, part: &[f32], width: usize) {
    for (row, part) in x.chunks_exact_mut(stride).zip(part.chunks_exact(width)) {
        row[from..from + width].copy_from_slice(part);
    }
}

/// Inner values of one block.
#[derive(Debug, Default)]
pub(crate) struct BlockPass {
    pub(crate) input: Vec<f32>,
    /// Queries, keys and values side by side, (n, 3 d).
    pub(crate) qkv: Vec<f32>,
    /// Of each head, (n, n).
    pub(crate) weights: Vec<Vec<f32>>,
    /// Outputs of the heads side by side, then mixed.
    pub(crate) heads: Vec<f32>,
    pub(crate) mixed: Vec<f32>,
    pub(crate) first: Norm,
    pub(crate) up: Vec<f32>,
    pub(crate) down: Vec<f32>,
    pub(crate) last: Norm,
    /// What dropout multiplied the two branches by; empty without.
    pub(crate) masks: [Vec<f32>; 2],
}

/// Inner values of one list.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) tokens: Vec<f32>,
    pub(crate) blocks: Vec<BlockPass>,
    /// One score an item.
    pub(crate) scores: Vec<f32>,
}

/// `x += mask ⊙ branch`, drawing the mask; without dropout the branch alone.
fn add_branch(x: &mut [f32], branch: &[f32], mask: &mut Vec<f32>, dropout: Option<(&mut Rng, f32)>) {
    mask.clear();
    let Some((rng, share)) = dropout.filter(|(_, share)| *share > 0.0) else { return add_assign(x, branch) };
    let kept = 1.0 / (1.0 - share);
    mask.extend(branch.iter().map(|_| if rng.unit_f32() < share { 0.0 } else { kept }));
    x.iter_mut().zip(branch).zip(mask).for_each(|((x, b), m)| *x += *m * b);
}

impl Pass {
    /// Scores of a list of at most `list_len` tokens, `tokens` (n, token); in training with a generator for dropout.
    pub(crate) fn forward(
        &mut self,
        config: &PrmConfig,
        weights: &[&[f32]],
        tokens: Vec<f32>,
        mut dropout: Option<&mut Rng>,
    ) {
        let d = config.width;
        let n = tokens.len() * d / weights[PROJECT].len();
        let mut x = vec![0.0; n * d];
        self.tokens = tokens;
        linear_bias_act(&self.tokens, weights[PROJECT], weights[PROJECT + 1], Activation::Identity, &mut x);
        add_assign(&mut x, &weights[POSITIONS][..n * d]);
        self.blocks.resize_with(config.n_blocks, BlockPass::default);
        for (b, pass) in self.blocks.iter_mut().enumerate() {
            let weights = &weights[BLOCKS + b * PER_BLOCK..][..PER_BLOCK];
            x = pass.forward(config, weights, x, &mut dropout);
        }
        self.scores.clear();
        self.scores.resize(n, 0.0);
        dots(weights[weights.len() - 1], &x, &mut self.scores);
    }
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
        self.input = input;
        let mut x = self.input.clone();
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
}
