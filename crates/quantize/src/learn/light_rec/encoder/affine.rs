//! Every similarity as one affine map of x.

use rectify_tensor::ParamStore;
use rectify_tensor::kernels::{self, Op, gemm};

use super::super::Similarity;
use super::{Encoder, Sizes};

/// The similarities of x with all codewords of codebook b are `x K_b + k_b`, whatever the [`Similarity`]: one product a
/// codebook instead of one for the form and one for the codewords.
///
/// | similarity | `K_b` | `k_b` |
/// |---|---|---|
/// | bilinear | `A_b C_bᵀ` | `C_b v_b`, if codewords have a bias |
/// | dot, scaled dot | `C_bᵀ`, `C_bᵀ / √D` | |
/// | Euclidean | `2 C_bᵀ` | `−‖c‖²`; the `−‖x‖²` left out is the same for all codewords |
/// | representation only | `G_b` | |
#[derive(Clone, Debug, Default)]
pub(crate) struct Affine {
    /// `[B, D, W]`.
    pub(crate) weights: Vec<f32>,
    /// `[B, W]`, or empty.
    pub(crate) offsets: Vec<f32>,
    /// The weights turned, `[B, W, D]`, and the codebooks turned, `[B, D, W]`: the way back is products with these. Empty where
    /// the map holds gradients.
    pub(crate) weights_turned: Vec<f32>,
    pub(crate) codebooks_turned: Vec<f32>,
}

/// Writes the matrices `[n, rows, columns]` as `[n, columns, rows]`.
fn turn(matrices: &[f32], (rows, columns): (usize, usize), out: &mut Vec<f32>) {
    out.resize(matrices.len(), 0.0);
    for (matrix, out) in matrices.chunks_exact(rows * columns).zip(out.chunks_exact_mut(rows * columns)) {
        for (i, row) in matrix.chunks_exact(columns).enumerate() {
            for (j, value) in row.iter().enumerate() {
                out[j * rows + i] = *value;
            }
        }
    }
}

impl Affine {
    /// Takes up the parameters of the moment.
    pub(crate) fn refresh(&mut self, encoder: &Encoder, store: &ParamStore) {
        let Sizes { n_codebooks, n_codewords: w, dim: d } = encoder.sizes;
        let codebooks = store.dense(encoder.keys.codebooks).values();
        self.weights.resize(n_codebooks * encoder.sizes.codebook(), 0.0);
        turn(codebooks, (w, d), &mut self.codebooks_turned);
        let forms = encoder.keys.forms.map(|key| store.dense(key).values());
        match (encoder.similarity, forms) {
            (Similarity::RepresentationOnly, Some(forms)) => self.weights.copy_from_slice(forms),
            (Similarity::Bilinear, Some(forms)) => {
                let parts = self.codebooks_turned.chunks_exact(w * d).zip(forms.chunks_exact(d * d));
                for ((codebook, form), out) in parts.zip(self.weights.chunks_exact_mut(d * w)) {
                    kernels::small_product((d, w, d), form, codebook, false, out);
                }
            }
            _ => {
                let factor = factor(encoder.similarity, d);
                self.weights.iter_mut().zip(&self.codebooks_turned).for_each(|(k, c)| *k = factor * c);
            }
        }
        turn(&self.weights, (d, w), &mut self.weights_turned);
        self.offsets.clear();
        if let Some(key) = encoder.keys.bias {
            for (codebook, v) in codebooks.chunks_exact(w * d).zip(store.dense(key).values().chunks_exact(d)) {
                self.offsets.extend(codebook.chunks_exact(d).map(|c| kernels::dot(c, v)));
            }
        } else if encoder.similarity == Similarity::Euclidean {
            self.offsets.extend(codebooks.chunks_exact(d).map(|c| -kernels::squared_norm(c)));
        }
    }

    /// From the gradients of this map those of the parameters, **added**.
    pub(crate) fn backward(
        d_affine: &Self,
        encoder: &Encoder,
        store: &ParamStore,
        d_codebooks: &mut [f32],
        d_forms: &mut [f32],
        d_bias: &mut [f32],
    ) {
        let Sizes { n_codewords: w, dim: d, .. } = encoder.sizes;
        let codebooks = store.dense(encoder.keys.codebooks).values();
        let forms = encoder.keys.forms.map(|key| store.dense(key).values());
        match (encoder.similarity, forms) {
            (Similarity::RepresentationOnly, _) => kernels::add_assign(d_forms, &d_affine.weights),
            (Similarity::Bilinear, Some(forms)) => {
                let codebooks = codebooks.chunks_exact(w * d).zip(d_codebooks.chunks_exact_mut(w * d));
                let forms = forms.chunks_exact(d * d).zip(d_forms.chunks_exact_mut(d * d));
                for (d_weights, ((c, d_c), (a, d_a))) in d_affine.weights.chunks_exact(d * w).zip(codebooks.zip(forms))
                {
                    gemm((d, d, w), 1.0, d_weights, Op::Plain, c, Op::Plain, 1.0, d_a);
                    gemm((w, d, d), 1.0, d_weights, Op::Transposed, a, Op::Plain, 1.0, d_c);
                }
            }
            _ => {
                let factor = factor(encoder.similarity, d);
                for (d_weights, d_c) in d_affine.weights.chunks_exact(d * w).zip(d_codebooks.chunks_exact_mut(w * d)) {
                    for (codeword, out) in d_c.chunks_exact_mut(d).enumerate() {
                        for (j, out) in out.iter_mut().enumerate() {
                            *out += factor * d_weights[j * w + codeword];
                        }
                    }
                }
            }
        }
        if d_affine.offsets.is_empty() {
            return;
        }
        let codewords = codebooks.chunks_exact(d).zip(d_codebooks.chunks_exact_mut(d));
        if let Some(key) = encoder.keys.bias {
            let v = store.dense(key).values();
            for (i, ((c, d_c), &slope)) in codewords.zip(&d_affine.offsets).enumerate() {
                let vector = i / w * d..(i / w + 1) * d;
                kernels::axpy(slope, &v[vector.clone()], d_c);
                kernels::axpy(slope, c, &mut d_bias[vector]);
            }
        } else {
            for ((c, d_c), &slope) in codewords.zip(&d_affine.offsets) {
                kernels::axpy(-2.0 * slope, c, d_c);
            }
        }
    }
}

/// What the transposed codebook is multiplied by.
fn factor(similarity: Similarity, dim: usize) -> f32 {
    match similarity {
        Similarity::ScaledDot => 1.0 / (dim as f32).sqrt(),
        Similarity::Euclidean => 2.0,
        Similarity::Dot | Similarity::Bilinear | Similarity::RepresentationOnly => 1.0,
    }
}
