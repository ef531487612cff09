//! Settings of LightGCN.

use rectify_tensor::Optimizer;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Settings of LightGCN; the defaults are those of the authors' runs on Gowalla.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LightGcnConfig {
    /// Width of an embedding, >= 1. Paper: 64.
    pub embedding_dim: usize,
    /// Propagation layers (`K`), 0 to 16; 0 is matrix factorisation. Paper: 3.
    pub n_layers: usize,
    /// Triples a step, >= 1. Paper: 2048.
    pub batch_size: usize,
    /// Rule of the steps; every embedding has a gradient at every step. Paper: Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// L2 factor `λ` on the layer-0 embeddings of a batch, >= 0. Paper: 1e-4.
    pub l2: f64,
    /// Standard deviation of the first embeddings, > 0. Authors' code: 0.1.
    pub init_std: f64,
}

impl Default for LightGcnConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            n_layers: 3,
            batch_size: 2048,
            optimizer: Optimizer::adam(1e-3),
            l2: 1e-4,
            init_std: 0.1,
        }
    }
}

impl LightGcnConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, super::MODEL, field, expected, got)
        };
        check((1..=1 << 14).contains(&self.embedding_dim), "embedding_dim", "in 1..=16384", &self.embedding_dim)?;
        check(self.n_layers <= 16, "n_layers", "in 0..=16", &self.n_layers)?;
        check((1..=1 << 24).contains(&self.batch_size), "batch_size", "in 1..=16777216", &self.batch_size)?;
        check(self.l2 >= 0.0 && self.l2.is_finite(), "l2", "a finite number of at least 0", &self.l2)?;
        check(self.init_std > 0.0 && self.init_std.is_finite(), "init_std", "a finite number above 0", &self.init_std)?;
        self.optimizer.validate().map_err(|error| error.of(super::MODEL))
    }
}
