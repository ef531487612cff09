//! The recurrent composite encoder: parameters, codes, gradients.
//!
//! With x¹ = q, for each codebook b: similarities `s = sim(x, C)`; the code `w = argmax s` (the first of equals); `y = C[w]`;
//! the next x by the [`Recurrence`]. The item is `Σ_b y`. Backward the choice counts as `softmax(s / T)` (straight-through):
//! with `g` the gradient of y, `C[w]` gets g, and the similarities get `e (C g − ⟨e, C g⟩) / T` with `e = softmax(s / T)`.
//! LightRec (Lian et al., WWW 2020), sections 3.1 to 3.3.

mod affine;
mod tile;

use rayon::prelude::*;
use rectify_tensor::{DenseKey, Init, ParamStore};

pub(crate) use self::affine::Affine;
pub(crate) use self::tile::{Rule, Scratch, TILE, Tile, Tower, TowerGradients};
use super::{LightRecConfig, Recurrence, Similarity};

/// The sizes that every product of the encoder is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Codebooks (`B`).
    pub(crate) n_codebooks: usize,
    /// Codewords of each (`W`).
    pub(crate) n_codewords: usize,
    /// Width of a vector (`D`).
    pub(crate) dim: usize,
}

impl Sizes {
    /// Values of a codebook, and of the affine map of one.
    pub(crate) const fn codebook(self) -> usize {
        self.n_codewords * self.dim
    }

    /// Values of a square matrix.
    pub(crate) const fn square(self) -> usize {
        self.dim * self.dim
    }
}

/// Where the encoder's parameters are in a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    /// `[B · W, D]`.
    pub(crate) codebooks: DenseKey,
    /// What the similarity learns: `[B · D, D]` matrices (bilinear) or `[B · D, W]` directions (representation only).
    pub(crate) forms: Option<DenseKey>,
    /// `[B, D]`: the vector of the codewords' bias.
    pub(crate) bias: Option<DenseKey>,
    /// `[matrices · D, D]` of the recurrence.
    pub(crate) recurrence: Option<DenseKey>,
}

/// The encoder without its numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoder {
    pub(crate) sizes: Sizes,
    pub(crate) similarity: Similarity,
    pub(crate) recurrence: Recurrence,
    pub(crate) temperature: f32,
    pub(crate) keys: Keys,
}

impl Encoder {
    /// Adds the parameters to a store. Matrices and codebooks start as Glorot normal draws, the codewords' bias at 0.
    ///
    /// **Reading**: the matrices of the recurrence start as the identity, so that each variant begins as the residual rule; the
    /// paper does not say.
    pub(crate) fn new(config: &LightRecConfig, dim: usize, store: &mut ParamStore) -> Self {
        let sizes = Sizes { n_codebooks: config.n_codebooks, n_codewords: config.n_codewords, dim };
        let Sizes { n_codebooks: b, n_codewords: w, dim: d } = sizes;
        // All codebooks are one parameter, but each is a matrix of its own to the initial draw.
        let glorot = |rows: usize, columns: usize| Init::Normal { std: (2.0 / (rows + columns) as f32).sqrt() };
        let codebooks = store.add_dense("codebooks", b * w, d, glorot(w, d));
        let forms = match config.similarity {
            Similarity::Bilinear => Some(store.add_dense("forms", b * d, d, glorot(d, d))),
            Similarity::RepresentationOnly => Some(store.add_dense("forms", b * d, w, glorot(d, w))),
            Similarity::Dot | Similarity::ScaledDot | Similarity::Euclidean => None,
        };
        let bias = config.codeword_bias.then(|| store.add_dense("codeword bias", b, d, Init::Zeros));
        let n_matrices = config.recurrence.n_matrices();
        let recurrence = (n_matrices > 0).then(|| {
            let key = store.add_dense("recurrence", n_matrices * d, d, Init::Zeros);
            let [matrices] = store.dense_mut([key]);
            for (i, row) in matrices.values_mut().chunks_exact_mut(d).enumerate() {
                row[i % d] = 1.0;
            }
            key
        });
        Self {
            sizes,
            similarity: config.similarity,
            recurrence: config.recurrence,
            temperature: config.temperature as f32,
            keys: Keys { codebooks, forms, bias, recurrence },
        }
    }

    /// The encoder with the numbers of the moment.
    pub(crate) fn tower<'a>(&self, store: &'a ParamStore, affine: &'a Affine) -> Tower<'a> {
        let matrices = self.keys.recurrence.map(|key| store.dense(key).values());
        let rule = match (self.recurrence, matrices) {
            (Recurrence::None, _) => Rule::None,
            (Recurrence::Residual, _) => Rule::Residual,
            (Recurrence::Projected, Some(r)) => Rule::Projected(r),
            (Recurrence::General, Some(r)) => {
                let (r1, r2) = r.split_at(self.sizes.square());
                Rule::General(r1, r2)
            }
            (Recurrence::Projected | Recurrence::General, None) => unreachable!("`new` made their matrices"),
        };
        let codebooks = store.dense(self.keys.codebooks).values();
        Tower { sizes: self.sizes, temperature: self.temperature, affine, codebooks, rule }
    }

    /// The codes `[n, B]` of item vectors `[n, D]`.
    pub(crate) fn encode(&self, store: &ParamStore, items: &[f32]) -> Vec<u8> {
        let Sizes { n_codebooks, dim, .. } = self.sizes;
        let mut affine = Affine::default();
        affine.refresh(self, store);
        let tower = self.tower(store, &affine);
        let mut codes = vec![0; items.len() / dim * n_codebooks];
        codes.par_chunks_mut(TILE * n_codebooks).zip(items.par_chunks(TILE * dim)).for_each_init(
            <(Tile, Scratch)>::default,
            |(tile, scratch), (codes, items)| {
                tile.forward(&tower, items, scratch);
                let n = items.len() / dim;
                for (row, codes) in codes.chunks_exact_mut(n_codebooks).enumerate() {
                    for (b, code) in codes.iter_mut().enumerate() {
                        *code = tile.codes()[b * n + row] as u8;
                    }
                }
            },
        );
        codes
    }
}

#[cfg(test)]
mod tests;
