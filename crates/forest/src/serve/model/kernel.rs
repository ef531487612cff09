//! Preferences of one user for many nodes of a level, without tensors.
//!
//! What depends on the user and the level alone is done once: `e_k A + b` for each distinct node of the history, and its way through the
//! first layer, `U_k = Σ_w share(k, w) e_k W_w`, so that the windows need not be pooled for each node:
//! `Σ_w g_w W_w = Σ_k a_k U_k`. What is left for a node is its attention to each of them and the layers.
//!
//! Lanes run over the history in the attention unit and over outputs in the layers; [`BLOCK`] hidden values, and as many nodes, share
//! each load. A node's score is one chain of operations that does not depend on its neighbours.

#![expect(clippy::needless_range_loop, reason = "loops of constant length over several arrays become registers")]

use rectify_core::simd::Level;

use super::profile::Part;
use super::{Network, Profile};

/// Floats that are handled together.
pub(super) const LANES: usize = 16;
/// Accumulators at a time: with 16 lanes of 256 bits they take 12 registers.
pub(super) const BLOCK: usize = 6;

type Lanes = [f32; LANES];

/// What scoring needs and leaves nothing in; one for each thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    /// Embeddings of the history, `[E, chunks]`.
    history: Vec<Lanes>,
    /// `e_k A + b`, `[hidden, chunks]`.
    first: Vec<Lanes>,
    /// `U`, `[chunks · 16, width]`.
    pooled: Vec<f32>,
    /// `diag(e_n) B` of a node, in blocks.
    mixed: Vec<[f32; BLOCK]>,
    /// `e_n C`.
    offsets: Vec<f32>,
    /// A block of nodes side by side: attention, embeddings, and the outputs of layers in turn.
    attention: Vec<[f32; BLOCK]>,
    nodes: Vec<[f32; BLOCK]>,
    inputs: Vec<[f32; BLOCK]>,
    outputs: Vec<[f32; BLOCK]>,
}

#[inline(always)]
fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn prelu(x: f32, slope: f32) -> f32 {
    if x > 0.0 { x } else { slope * x }
}

/// `sums[i] += Σ_d weights[d][i] · history[d]`, at one chunk of the history.
#[inline(always)]
fn mix<const FMA: bool>(
    history: &[Lanes],
    chunks: usize,
    chunk: usize,
    weights: &[[f32; BLOCK]],
    mut sums: [Lanes; BLOCK],
) -> [Lanes; BLOCK] {
    for (e, weights) in history.chunks_exact(chunks).zip(weights) {
        let e = &e[chunk];
        for i in 0..BLOCK {
            for l in 0..LANES {
                sums[i][l] = mul_add::<FMA>(weights[i], e[l], sums[i][l]);
            }
        }
    }
    sums
}

/// `Σ_k x[k] · weight[k, from..from + 16]`, added to `sums`, for a block of nodes.
#[inline(always)]
fn products<const FMA: bool>(
    x: &[[f32; BLOCK]],
    weight: &[f32],
    width: usize,
    from: usize,
    mut sums: [Lanes; BLOCK],
) -> [Lanes; BLOCK] {
    for (x, weight) in x.iter().zip(weight.chunks_exact(width)) {
        let weight: &Lanes = weight[from..from + LANES].first_chunk().expect("sixteen values");
        for i in 0..BLOCK {
            for l in 0..LANES {
                sums[i][l] = mul_add::<FMA>(x[i], weight[l], sums[i][l]);
            }
        }
    }
    sums
}

#[inline(always)]
fn prepare<const FMA: bool>(network: &Network, profile: &Profile, scratch: &mut Scratch) -> usize {
    let dim = network.shape.embedding_dim;
    let chunks = profile.rows.len().div_ceil(LANES);
    scratch.history.clear();
    scratch.history.resize(dim * chunks, [0.0; LANES]);
    for (k, row) in profile.rows.iter().enumerate() {
        for (d, x) in network.embedding(*row).iter().enumerate() {
            scratch.history[d * chunks + k / LANES][k % LANES] = *x;
        }
    }
    scratch.first.resize(network.out.len() * chunks, [0.0; LANES]);
    for (b, weights) in network.history.chunks_exact(dim).enumerate() {
        for chunk in 0..chunks {
            let start = std::array::from_fn(|i| [network.attention_bias[b * BLOCK + i]; LANES]);
            let sums = mix::<FMA>(&scratch.history, chunks, chunk, weights, start);
            for i in 0..BLOCK {
                scratch.first[(b * BLOCK + i) * chunks + chunk] = sums[i];
            }
        }
    }
    let layer = &network.layers[0];
    scratch.pooled.clear();
    scratch.pooled.resize(chunks * LANES * layer.width, 0.0);
    for &Part { slot, window, share } in &profile.parts {
        let out = &mut scratch.pooled[slot as usize * layer.width..][..layer.width];
        let weight = &layer.weight[window as usize * dim * layer.width..][..dim * layer.width];
        for (x, weight) in network.embedding(profile.rows[slot as usize]).iter().zip(weight.chunks_exact(layer.width)) {
            let x = share * x;
            for (out, w) in out.iter_mut().zip(weight) {
                *out = mul_add::<FMA>(x, *w, *out);
            }
        }
    }
    chunks
}

/// Attention of one node to the history, written to column `i` of `attention`.
#[inline(always)]
fn attend<const FMA: bool>(network: &Network, node: &[f32], chunks: usize, i: usize, scratch: &mut Scratch) {
    let dim = network.shape.embedding_dim;
    scratch.mixed.clear();
    scratch.offsets.clear();
    for (product, own) in network.product.chunks_exact(dim).zip(network.node.chunks_exact(dim)) {
        let mut offsets = [0.0; BLOCK];
        for ((product, own), x) in product.iter().zip(own).zip(node) {
            let mut mixed = [0.0; BLOCK];
            for i in 0..BLOCK {
                mixed[i] = x * product[i];
                offsets[i] = mul_add::<FMA>(*x, own[i], offsets[i]);
            }
            scratch.mixed.push(mixed);
        }
        scratch.offsets.extend(offsets);
    }
    for chunk in 0..chunks {
        let mut total = [network.out_bias(); LANES];
        for (b, weights) in scratch.mixed.chunks_exact(dim).enumerate() {
            let mut start = [[0.0; LANES]; BLOCK];
            for i in 0..BLOCK {
                let (first, offset) =
                    (&scratch.first[(b * BLOCK + i) * chunks + chunk], scratch.offsets[b * BLOCK + i]);
                for l in 0..LANES {
                    start[i][l] = first[l] + offset;
                }
            }
            let sums = mix::<FMA>(&scratch.history, chunks, chunk, weights, start);
            for i in 0..BLOCK {
                let (slope, out) = (network.attention_slope[b * BLOCK + i], network.out[b * BLOCK + i]);
                for l in 0..LANES {
                    total[l] = mul_add::<FMA>(out, prelu(sums[i][l], slope), total[l]);
                }
            }
        }
        for l in 0..LANES {
            scratch.attention[chunk * LANES + l][i] = total[l];
        }
    }
}

#[inline(always)]
fn score_body<const FMA: bool>(
    network: &Network,
    profile: &Profile,
    rows: &[u32],
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let dim = network.shape.embedding_dim;
    let chunks = prepare::<FMA>(network, profile, scratch);
    scratch.attention.resize(chunks * LANES, [0.0; BLOCK]);
    scratch.nodes.resize(dim, [0.0; BLOCK]);
    for (rows, out) in rows.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        for (i, row) in rows.iter().enumerate() {
            let node = network.embedding(*row);
            attend::<FMA>(network, node, chunks, i, scratch);
            for (column, x) in scratch.nodes.iter_mut().zip(node) {
                column[i] = *x;
            }
        }
        for (n, layer) in network.layers.iter().enumerate() {
            scratch.outputs.resize(layer.width, [0.0; BLOCK]);
            for from in (0..layer.width).step_by(LANES) {
                let bias: &Lanes = layer.bias[from..from + LANES].first_chunk().expect("sixteen values");
                let slope: &Lanes = layer.slope[from..from + LANES].first_chunk().expect("sixteen values");
                let mut sums = [*bias; BLOCK];
                if n == 0 {
                    sums = products::<FMA>(&scratch.attention, &scratch.pooled, layer.width, from, sums);
                    let own = &layer.weight[network.shape.windows.len() * dim * layer.width..];
                    sums = products::<FMA>(&scratch.nodes, own, layer.width, from, sums);
                } else {
                    sums = products::<FMA>(&scratch.inputs, &layer.weight, layer.width, from, sums);
                }
                let outputs = &mut scratch.outputs[from..from + LANES];
                for l in 0..LANES {
                    for i in 0..BLOCK {
                        outputs[l][i] = prelu(sums[i][l], slope[l]);
                    }
                }
            }
            std::mem::swap(&mut scratch.inputs, &mut scratch.outputs);
        }
        let mut scores = [network.head_bias(); BLOCK];
        for (x, weight) in scratch.inputs.iter().zip(&network.head) {
            for i in 0..BLOCK {
                scores[i] = mul_add::<FMA>(x[i], *weight, scores[i]);
            }
        }
        out.copy_from_slice(&scores[..out.len()]);
    }
}

#[cfg(feature = "cuda")]
impl Network {
    /// Adds what depends on a profile alone, a row for each of its nodes: `e_k A + b` (hidden values), and its way through the windows and
    /// the first layer (outputs).
    pub(crate) fn prepare_rows(&self, profile: &Profile, first: &mut Vec<f32>, pooled: &mut Vec<f32>) {
        let mut scratch = Scratch::default();
        let chunks = self.prepare(profile, &mut scratch);
        let (hidden, outputs) = (self.shape.attention_dim, self.shape.layers[0]);
        for k in 0..profile.rows.len() {
            first.extend((0..hidden).map(|h| scratch.first[h * chunks + k / LANES][k % LANES]));
            pooled.extend_from_slice(&scratch.pooled[k * self.layers[0].width..][..outputs]);
        }
    }

    fn prepare(&self, profile: &Profile, scratch: &mut Scratch) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,fma")]
            fn avx2(network: &Network, profile: &Profile, scratch: &mut Scratch) -> usize {
                prepare::<true>(network, profile, scratch)
            }
            if Level::best() >= Level::Avx2 {
                #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                // SAFETY: the best level is one that the CPU has.
                return unsafe { avx2(self, profile, scratch) };
            }
        }
        prepare::<false>(self, profile, scratch)
    }
}

impl Network {
    /// Preferences for the nodes `rows`, all of one level, of the user whose history at that level is `profile`.
    pub(crate) fn score(&self, profile: &Profile, rows: &[u32], scratch: &mut Scratch, out: &mut [f32]) {
        self.score_at(Level::best(), profile, rows, scratch, out);
    }

    pub(super) fn score_at(
        &self,
        level: Level,
        profile: &Profile,
        rows: &[u32],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        assert_eq!(rows.len(), out.len(), "one score a node");
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
            fn avx512(network: &Network, profile: &Profile, rows: &[u32], scratch: &mut Scratch, out: &mut [f32]) {
                score_body::<true>(network, profile, rows, scratch, out);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2(network: &Network, profile: &Profile, rows: &[u32], scratch: &mut Scratch, out: &mut [f32]) {
                score_body::<true>(network, profile, rows, scratch, out);
            }
            let level = level.usable();
            if level >= Level::Avx512 {
                #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                // SAFETY: a usable level has the features that it stands for.
                return unsafe { avx512(self, profile, rows, scratch, out) };
            }
            if level >= Level::Avx2 {
                #[expect(unsafe_code, reason = "run-time dispatch to a build with more target features")]
                // SAFETY: as above.
                return unsafe { avx2(self, profile, rows, scratch, out) };
            }
        }
        let _ = level;
        score_body::<false>(self, profile, rows, scratch, out);
    }
}
