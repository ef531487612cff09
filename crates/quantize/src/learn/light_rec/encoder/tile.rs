//! Some rows through the encoder and back, while their similarities stay in cache.

use rectify_tensor::kernels::{self, Op, gemm};

use super::{Affine, Sizes};

/// Rows at a time: with 256 codewords their similarities take 128 KiB, and their gradients as much again.
pub(crate) const TILE: usize = 128;

/// How the next x comes about; see [`Recurrence`](crate::Recurrence).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule<'a> {
    None,
    Residual,
    Projected(&'a [f32]),
    General(&'a [f32], &'a [f32]),
}

/// The encoder with its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tower<'a> {
    pub(crate) sizes: Sizes,
    pub(crate) temperature: f32,
    pub(crate) affine: &'a Affine,
    /// `[B, W, D]`.
    pub(crate) codebooks: &'a [f32],
    pub(crate) rule: Rule<'a>,
}

/// Gradients of what a [`Tower`] is made of; each has the shape of its parameter.
#[derive(Clone, Debug, Default)]
pub(crate) struct TowerGradients {
    pub(crate) affine: Affine,
    pub(crate) codebooks: Vec<f32>,
    pub(crate) recurrence: Vec<f32>,
}

impl TowerGradients {
    /// All 0.
    pub(crate) fn clear(&mut self, tower: &Tower<'_>) {
        let zeros = |values: &mut Vec<f32>, n: usize| {
            values.clear();
            values.resize(n, 0.0);
        };
        zeros(&mut self.affine.weights, tower.affine.weights.len());
        zeros(&mut self.affine.offsets, tower.affine.offsets.len());
        zeros(&mut self.codebooks, tower.codebooks.len());
        let n_matrices = match tower.rule {
            Rule::None | Rule::Residual => 0,
            Rule::Projected(_) => 1,
            Rule::General(..) => 2,
        };
        zeros(&mut self.recurrence, n_matrices * tower.sizes.square());
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.affine.weights, &other.affine.weights),
            (&mut self.affine.offsets, &other.affine.offsets),
            (&mut self.codebooks, &other.codebooks),
            (&mut self.recurrence, &other.recurrence),
        ] {
            kernels::add_assign(sum, part);
        }
    }
}

/// What the way of a tile needs and leaves nothing in; one for each thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    similarity: Vec<f32>,
    d_similarity: Vec<f32>,
    part: Vec<f32>,
    d_part: Vec<f32>,
    d_seen: Vec<f32>,
    d_next: Vec<f32>,
}

/// At most [`TILE`] items, and what their way forward left behind; reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tile {
    n: usize,
    /// What each codebook saw, `[B, n, D]`.
    seen: Vec<f32>,
    /// What each codebook chose, `[B, n]`.
    codes: Vec<u32>,
    /// The decoded items, `[n, D]`.
    decoded: Vec<f32>,
}

/// `similarity ← x K + k`.
fn similarities(tower: &Tower<'_>, b: usize, x: &[f32], out: &mut [f32]) {
    let Sizes { n_codewords: w, dim: d, .. } = tower.sizes;
    let weights = &tower.affine.weights[b * d * w..][..d * w];
    kernels::small_product((x.len() / d, w, d), x, weights, false, out);
    if let Some(offsets) = tower.affine.offsets.get(b * w..(b + 1) * w) {
        kernels::bias_act(out, offsets, kernels::Activation::Identity);
    }
}

impl Tile {
    /// Encodes item vectors `[n, D]`.
    pub(crate) fn forward(&mut self, tower: &Tower<'_>, items: &[f32], scratch: &mut Scratch) {
        let Sizes { n_codebooks, n_codewords: w, dim: d } = tower.sizes;
        let (n, size) = (items.len() / d, items.len());
        self.n = n;
        self.seen.resize(n_codebooks * size, 0.0);
        self.codes.resize(n_codebooks * n, 0);
        let Scratch { similarity, part, .. } = scratch;
        similarity.resize(n * w, 0.0);
        part.resize(size, 0.0);
        self.decoded.clear();
        self.decoded.resize(size, 0.0);
        self.seen[..size].copy_from_slice(items);
        for b in 0..n_codebooks {
            let (seen, next) = self.seen[b * size..].split_at_mut(size);
            similarities(tower, b, seen, similarity);
            let codebook = &tower.codebooks[b * w * d..][..w * d];
            let codes = &mut self.codes[b * n..][..n];
            kernels::select_codes(similarity, codebook, (w, d), codes, part);
            kernels::add_assign(&mut self.decoded, part);
            if b + 1 == n_codebooks {
                break;
            }
            let next = &mut next[..size];
            match tower.rule {
                Rule::None => next.copy_from_slice(items),
                Rule::Residual => {
                    next.copy_from_slice(seen);
                    kernels::axpy(-1.0, part, next);
                }
                Rule::Projected(r) => {
                    next.copy_from_slice(seen);
                    gemm((n, d, d), -1.0, part, Op::Plain, r, Op::Plain, 1.0, next);
                }
                Rule::General(r1, r2) => {
                    gemm((n, d, d), 1.0, seen, Op::Plain, r1, Op::Plain, 0.0, next);
                    gemm((n, d, d), -1.0, part, Op::Plain, r2, Op::Plain, 1.0, next);
                }
            }
        }
    }

    /// The codes of the items, `[B, n]`.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The decoded items, `[n, D]`.
    pub(crate) fn decoded(&self) -> &[f32] {
        &self.decoded
    }

    /// What codebook b saw, `[n, D]`.
    #[cfg(test)]
    pub(crate) fn seen(&self, b: usize) -> &[f32] {
        let size = self.decoded.len();
        &self.seen[b * size..][..size]
    }

    /// From the gradient of the decoded items `[n, D]` those of the tower and, if asked for, of the items that went in, all
    /// **added**.
    pub(crate) fn backward(
        &self,
        tower: &Tower<'_>,
        d_decoded: &[f32],
        gradients: &mut TowerGradients,
        mut d_items: Option<&mut [f32]>,
        scratch: &mut Scratch,
    ) {
        let Sizes { n_codebooks, n_codewords: w, dim: d } = tower.sizes;
        let (n, size) = (self.n, self.n * d);
        let Scratch { similarity, d_similarity, part, d_part, d_seen, d_next } = scratch;
        for (values, n) in [(&mut *similarity, n * w), (d_similarity, n * w)] {
            values.resize(n, 0.0);
        }
        for values in [&mut *part, d_part, d_seen, d_next] {
            values.resize(size, 0.0);
        }
        for b in (0..n_codebooks).rev() {
            let last = b + 1 == n_codebooks;
            let seen = &self.seen[b * size..][..size];
            let codes = &self.codes[b * n..][..n];
            let codebook = &tower.codebooks[b * w * d..][..w * d];
            // The gradient of y: its own in the sum, and through the next x.
            d_part.copy_from_slice(d_decoded);
            if !last {
                match tower.rule {
                    Rule::None => {}
                    Rule::Residual => kernels::axpy(-1.0, d_next, d_part),
                    Rule::Projected(r) | Rule::General(_, r) => {
                        kernels::gather_rows(codebook, d, codes, part);
                        gemm((n, d, d), -1.0, d_next, Op::Plain, r, Op::Transposed, 1.0, d_part);
                        let own = gradients.recurrence.len() - d * d;
                        let d_r = &mut gradients.recurrence[own..];
                        gemm((d, d, n), -1.0, part, Op::Transposed, d_next, Op::Plain, 1.0, d_r);
                    }
                }
                if let Rule::General(..) = tower.rule {
                    let d_r1 = &mut gradients.recurrence[..d * d];
                    gemm((d, d, n), 1.0, seen, Op::Transposed, d_next, Op::Plain, 1.0, d_r1);
                }
            }
            let d_codebook = &mut gradients.codebooks[b * w * d..][..w * d];
            kernels::scatter_add_rows(d_part, d, codes, d_codebook);

            // Straight through the choice to the similarities, which are computed again rather than kept for the whole batch.
            similarities(tower, b, seen, similarity);
            let turned = &tower.affine.codebooks_turned[b * w * d..][..w * d];
            kernels::small_product((n, w, d), d_part, turned, false, d_similarity);
            kernels::straight_through(similarity, w, tower.temperature, d_similarity);
            let d_weights = &mut gradients.affine.weights[b * d * w..][..d * w];
            kernels::small_product_turned((d, w, n), seen, d_similarity, true, d_weights);
            if let Some(d_offsets) = gradients.affine.offsets.get_mut(b * w..(b + 1) * w) {
                kernels::column_sums_add(d_similarity, d_offsets);
            }

            // The gradient of x; what codebook 1 saw is the item itself.
            let recurs = b > 0 && !matches!(tower.rule, Rule::None);
            if !recurs && d_items.is_none() {
                continue;
            }
            let turned = &tower.affine.weights_turned[b * d * w..][..d * w];
            kernels::small_product((n, d, w), d_similarity, turned, false, d_seen);
            match tower.rule {
                Rule::None => {
                    if let Some(d_items) = &mut d_items {
                        kernels::add_assign(d_items, d_seen);
                    }
                    continue;
                }
                _ if last => {}
                Rule::Residual | Rule::Projected(_) => kernels::add_assign(d_seen, d_next),
                Rule::General(r1, _) => gemm((n, d, d), 1.0, d_next, Op::Plain, r1, Op::Transposed, 1.0, d_seen),
            }
            std::mem::swap(d_seen, d_next);
            if b == 0
                && let Some(d_items) = &mut d_items
            {
                kernels::add_assign(d_items, d_next);
            }
        }
    }
}
