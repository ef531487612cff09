//! Codebooks, and what a query needs of them: one table of inner products.

use rectify_core::artifact::Array;
use serde::{Deserialize, Serialize};

use crate::CodesError;

/// What a codeword is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Composition {
    /// An item's vector is the **sum** of its codewords, each as wide as the vector: LightRec, residual and additive quantisation.
    Sum,
    /// An item's vector is its codewords **one after another**, codebook `b` giving dimensions `b·D/B .. (b+1)·D/B`: PQ, OPQ.
    Product,
}

/// The sizes of codes and codebooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeShape {
    /// Width of an item's vector (`D` in LightRec).
    pub embedding_dim: usize,
    /// Codebooks (`B`).
    pub n_codebooks: usize,
    /// Codewords a codebook (`W`): a power of two, 2 to 256.
    pub n_codewords: usize,
    /// How codewords make a vector.
    pub composition: Composition,
}

impl CodeShape {
    /// Width of a codeword.
    #[must_use]
    pub const fn codeword_dim(&self) -> usize {
        match self.composition {
            Composition::Sum => self.embedding_dim,
            Composition::Product => self.embedding_dim / self.n_codebooks,
        }
    }

    /// Whether two codes share a byte.
    #[must_use]
    pub const fn is_four_bit(&self) -> bool {
        self.n_codewords <= 16
    }

    /// Bytes the codes of an item take.
    #[must_use]
    pub const fn bytes_per_item(&self) -> usize {
        if self.is_four_bit() { self.n_codebooks.div_ceil(2) } else { self.n_codebooks }
    }

    pub(crate) fn check(&self) -> Result<(), CodesError> {
        for (what, size) in [("embedding_dim", self.embedding_dim), ("n_codebooks", self.n_codebooks)] {
            if size == 0 {
                return Err(CodesError::Zero { what });
            }
        }
        if !self.n_codewords.is_power_of_two() || !(2..=256).contains(&self.n_codewords) {
            return Err(CodesError::Codewords { got: self.n_codewords });
        }
        if self.composition == Composition::Product && !self.embedding_dim.is_multiple_of(self.n_codebooks) {
            let Self { n_codebooks, embedding_dim, .. } = *self;
            return Err(CodesError::Subspaces { n_codebooks, embedding_dim });
        }
        Ok(())
    }
}

/// Rounds of [`Codebooks::encode`] at most.
const ROUNDS: usize = 8;

/// Codebooks, stored `[n_codebooks, codeword_dim, n_codewords]`: a table is then computed with one codeword a lane.
#[derive(Clone, Debug)]
pub(crate) struct Codebooks {
    pub(crate) shape: CodeShape,
    pub(crate) values: Array<f32>,
}

impl Codebooks {
    /// Takes `[n_codebooks, n_codewords, codeword_dim]`.
    pub(crate) fn new(shape: CodeShape, codebooks: &[f32]) -> Result<Self, CodesError> {
        shape.check()?;
        let (w, d) = (shape.n_codewords, shape.codeword_dim());
        let expected = shape.n_codebooks * w * d;
        if codebooks.len() != expected {
            return Err(CodesError::Length {
                what: "codebooks",
                shape: "n_codebooks × n_codewords × width of a codeword",
                expected,
                got: codebooks.len(),
            });
        }
        if let Some(at) = codebooks.iter().position(|value| !value.is_finite()) {
            return Err(CodesError::NotFinite { codebook: at / (w * d), codeword: at / d % w });
        }
        let mut values = vec![0.0; expected];
        for (from, to) in codebooks.chunks_exact(w * d).zip(values.chunks_exact_mut(w * d)) {
            for (codeword, from) in from.chunks_exact(d).enumerate() {
                for (j, &value) in from.iter().enumerate() {
                    to[j * w + codeword] = value;
                }
            }
        }
        Ok(Self { shape, values: values.into() })
    }

    /// The values as [`new`](Self::new) takes them.
    pub(crate) fn by_codeword(&self) -> Vec<f32> {
        let (w, d) = (self.shape.n_codewords, self.shape.codeword_dim());
        let codewords = |codebook: &[f32]| (0..w * d).map(|at| codebook[at % d * w + at / d]).collect::<Vec<_>>();
        self.values.chunks_exact(w * d).flat_map(codewords).collect()
    }

    /// `table[b * W + w]`: the inner product of the query with codeword `w` of codebook `b`, each the chain
    /// `sⱼ = fma(qⱼ, cⱼ, sⱼ₋₁)` from `s₀ = 0` over ascending dimensions.
    pub(crate) fn table(&self, query: &[f32], table: &mut Vec<f32>) {
        table.clear();
        table.resize(self.shape.n_codebooks * self.shape.n_codewords, 0.0);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[expect(unsafe_code, reason = "calling a function compiled for an instruction set")]
            // SAFETY: the features were just detected.
            unsafe {
                self.table_fma(query, table);
            }
            return;
        }
        self.table_plain(query, table);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn table_fma(&self, query: &[f32], table: &mut [f32]) {
        self.table_plain(query, table);
    }

    #[inline(always)]
    fn table_plain(&self, query: &[f32], table: &mut [f32]) {
        let (w, d) = (self.shape.n_codewords, self.shape.codeword_dim());
        for (b, (codebook, row)) in self.values.chunks_exact(w * d).zip(table.chunks_exact_mut(w)).enumerate() {
            let query = match self.shape.composition {
                Composition::Sum => query,
                Composition::Product => &query[b * d..(b + 1) * d],
            };
            for (&q, values) in query.iter().zip(codebook.chunks_exact(w)) {
                for (sum, &value) in row.iter_mut().zip(values) {
                    *sum = q.mul_add(value, *sum);
                }
            }
        }
    }

    /// The codes whose decoded vector is near a vector: each codebook in turn takes the codeword nearest to what the others leave, and after
    /// the first round (residual quantisation) chooses again until nothing changes, for [`ROUNDS`] rounds at most. Product codes, whose
    /// parts are independent, are the nearest there are.
    pub(crate) fn encode(&self, vector: &[f32]) -> Vec<u8> {
        let CodeShape { n_codebooks, n_codewords: w, composition, .. } = self.shape;
        let d = self.shape.codeword_dim();
        let mut codes = vec![0u8; n_codebooks];
        let (mut rest, mut table) = (vector.to_vec(), Vec::new());
        for round in 0..ROUNDS {
            let mut changed = false;
            for b in 0..n_codebooks {
                let codebook = &self.values[b * w * d..][..w * d];
                let start = if composition == Composition::Product { b * d } else { 0 };
                let shift = |rest: &mut [f32], code: u8, sign: f32| {
                    for (x, values) in rest[start..start + d].iter_mut().zip(codebook.chunks_exact(w)) {
                        *x += sign * values[usize::from(code)];
                    }
                };
                if round > 0 {
                    shift(&mut rest, codes[b], 1.0);
                }
                self.table(&rest, &mut table);
                let distance = |code: usize| {
                    let length: f32 = codebook.iter().skip(code).step_by(w).map(|x| x * x).sum();
                    length - 2.0 * table[b * w + code]
                };
                let nearest = (0..w).map(|code| (distance(code), code)).min_by(|a, b| a.0.total_cmp(&b.0));
                let code = nearest.map_or(0, |(_, code)| code) as u8;
                changed |= round == 0 || code != codes[b];
                codes[b] = code;
                shift(&mut rest, code, -1.0);
            }
            if !changed {
                break;
            }
        }
        codes
    }

    /// Adds the vector of an item with these codes to `out`, which starts at zero.
    pub(crate) fn decode(&self, codes: impl Iterator<Item = u8>, out: &mut [f32]) {
        let (w, d) = (self.shape.n_codewords, self.shape.codeword_dim());
        for (b, code) in codes.enumerate() {
            let out = match self.shape.composition {
                Composition::Sum => &mut *out,
                Composition::Product => &mut out[b * d..(b + 1) * d],
            };
            let codebook = &self.values[b * w * d..][..w * d];
            for (out, values) in out.iter_mut().zip(codebook.chunks_exact(w)) {
                *out += values[usize::from(code)];
            }
        }
    }
}
