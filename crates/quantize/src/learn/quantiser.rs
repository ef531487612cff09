//! Settings that residual, product and optimised product quantisation share.

use serde::{Deserialize, Serialize};

use crate::{CodeShape, Composition, ConfigError, FitError};

/// Settings of quantisers that know vectors alone, no interactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantiserConfig {
    /// Codebooks, at least 1. Default 4.
    pub n_codebooks: usize,
    /// Codewords of a codebook, a power of two from 2 to 256. Default 256.
    pub n_codewords: usize,
    /// Iterations of k-means at most. Default 25.
    pub iterations: u32,
}

impl Default for QuantiserConfig {
    fn default() -> Self {
        Self { n_codebooks: 4, n_codewords: 256, iterations: 25 }
    }
}

impl QuantiserConfig {
    /// Checks every setting that needs no data: products also need a width that the codebooks divide evenly.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.n_codebooks >= 1, "n_codebooks", "at least 1", self.n_codebooks)?;
        let sizes = self.n_codewords.is_power_of_two() && (2..=256).contains(&self.n_codewords);
        ConfigError::check(sizes, "n_codewords", "a power of two from 2 to 256", self.n_codewords)
    }

    /// Checks settings and vectors, and puts the sizes together.
    pub(super) fn shape(&self, items: &[f32], dim: usize, composition: Composition) -> Result<CodeShape, FitError> {
        self.validate()?;
        super::teacher::check_rows("items", "item", items, dim)?;
        let Self { n_codebooks, n_codewords, .. } = *self;
        let shape = CodeShape { embedding_dim: dim, n_codebooks, n_codewords, composition };
        shape.check()?;
        Ok(shape)
    }
}
