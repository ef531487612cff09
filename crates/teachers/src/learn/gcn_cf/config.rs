//! Settings of GCN-CF.

use rectify_tensor::Optimizer;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Settings of GCN-CF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcnCfConfig {
    /// Width of a layer (`D`), 1 to 4096; vectors are three times as wide. Paper: 64 on MovieLens-1M and Yelp, 16 on
    /// MovieLens-10M.
    pub embedding_dim: usize,
    /// Triples a step, at least 1. Every step computes the whole graph, so large batches are cheaper. Default 2048.
    pub batch_size: usize,
    /// Rule of the steps; every parameter has a gradient at every step. Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// Factor `λ` on the squared norms of the vectors of a triple, at least 0. Paper: 0.001.
    pub l2: f64,
    /// Mean of the first embeddings and filters. Default 0.01, as in SpectralCF's code.
    pub init_mean: f64,
    /// Their standard deviation, above 0. Default 0.02, as there.
    pub init_std: f64,
    /// Standard deviation of the first cross weights, at least 0; small, so that a cross step begins near the identity.
    /// Default 0.01.
    pub cross_std: f64,
}

impl Default for GcnCfConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            batch_size: 2048,
            optimizer: Optimizer::adam(1e-3),
            l2: 1e-3,
            init_mean: 0.01,
            init_std: 0.02,
            cross_std: 0.01,
        }
    }
}

impl GcnCfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, super::MODEL, field, expected, got)
        };
        let not_negative = |x: f64| x >= 0.0 && x.is_finite();
        check((1..=1 << 12).contains(&self.embedding_dim), "embedding_dim", "in 1..=4096", &self.embedding_dim)?;
        check((1..=1 << 24).contains(&self.batch_size), "batch_size", "in 1..=16777216", &self.batch_size)?;
        check(not_negative(self.l2), "l2", "a finite number of at least 0", &self.l2)?;
        check(self.init_mean.is_finite(), "init_mean", "a finite number", &self.init_mean)?;
        check(self.init_std > 0.0 && self.init_std.is_finite(), "init_std", "a finite number above 0", &self.init_std)?;
        check(not_negative(self.cross_std), "cross_std", "a finite number of at least 0", &self.cross_std)?;
        self.optimizer.validate().map_err(|error| error.of(super::MODEL))
    }
}
