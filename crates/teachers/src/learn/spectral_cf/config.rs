//! Settings of SpectralCF.

use rectify_tensor::{Adam, Optimizer};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Settings of SpectralCF; the defaults are those of the authors' code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpectralCfConfig {
    /// Width of a layer, 1 to 4096; vectors are `n_layers + 1` times as wide. Default 16.
    pub embedding_dim: usize,
    /// Convolutions (`K`), 1 to 16. Default 3.
    pub n_layers: usize,
    /// Triples a step, at least 1. Default 1024.
    pub batch_size: usize,
    /// Rule of the steps. Default RMSProp with learning rate 0.001 and decay 0.9, which is Adam with β₁ = 0, β₂ = 0.9.
    pub optimizer: Optimizer,
    /// L2 factor `λ` on half the squared norms of the vectors of a triple, at least 0. Default 0.001.
    pub l2: f64,
    /// Mean of the first embeddings and filters. Default 0.01.
    pub init_mean: f64,
    /// Their standard deviation, above 0. Default 0.02.
    pub init_std: f64,
}

impl Default for SpectralCfConfig {
    fn default() -> Self {
        let rms_prop = Adam { learning_rate: 1e-3, beta1: 0.0, beta2: 0.9, epsilon: 1e-10, weight_decay: 0.0 };
        Self {
            embedding_dim: 16,
            n_layers: 3,
            batch_size: 1024,
            optimizer: Optimizer::Adam(rms_prop),
            l2: 1e-3,
            init_mean: 0.01,
            init_std: 0.02,
        }
    }
}

impl SpectralCfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, super::MODEL, field, expected, got)
        };
        check((1..=1 << 12).contains(&self.embedding_dim), "embedding_dim", "in 1..=4096", &self.embedding_dim)?;
        check((1..=16).contains(&self.n_layers), "n_layers", "in 1..=16", &self.n_layers)?;
        check((1..=1 << 24).contains(&self.batch_size), "batch_size", "in 1..=16777216", &self.batch_size)?;
        check(self.l2 >= 0.0 && self.l2.is_finite(), "l2", "a finite number of at least 0", &self.l2)?;
        check(self.init_mean.is_finite(), "init_mean", "a finite number", &self.init_mean)?;
        check(self.init_std > 0.0 && self.init_std.is_finite(), "init_std", "a finite number above 0", &self.init_std)?;
        self.optimizer.validate().map_err(|error| error.of(super::MODEL))
    }
}
