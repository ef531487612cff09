//! Settings of ConvNCF.

use rectify_tensor::{Adagrad, Optimizer};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

pub(crate) const MODEL: &str = "conv-ncf";

/// Settings of ConvNCF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvNcfConfig {
    /// Width of a vector (`d`), a power of two in 2..=256: the map of a pair is halved until one value is left. Default 32 (HDN).
    pub embedding_dim: usize,
    /// Channels of every layer, 1 to 1024. Default 32.
    pub channels: usize,
    /// Interactions a step, each with one drawn item, at least 1. Default 512.
    pub batch_size: usize,
    /// Adds `l2/2 · |v|²` for each vector v of a sample, at least 0. Default 0.01.
    pub l2_embeddings: f64,
    /// Adds `l2/2 · |W|²` for each layer's weights in each step, at least 0. Default 1.
    pub l2_filters: f64,
    /// Adds `l2/2 · |w|²` for the output's weights in each step, at least 0. Default 10.
    pub l2_output: f64,
    /// Default Adagrad with learning rate 0.05.
    pub optimizer: Optimizer,
    /// First epochs, which follow Adagrad at rate 0.01 and no L2. Default 1.
    pub warm_up_epochs: u32,
    /// Standard deviation of the initial vectors, above 0. Default 0.01. Weights start Glorot uniform, biases at 0.
    pub init_std: f64,
}

impl Default for ConvNcfConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 32,
            channels: 32,
            batch_size: 512,
            l2_embeddings: 0.01,
            l2_filters: 1.0,
            l2_output: 10.0,
            optimizer: Optimizer::Adagrad(Adagrad { learning_rate: 0.05, ..Adagrad::default() }),
            warm_up_epochs: 1,
            init_std: 0.01,
        }
    }
}

impl ConvNcfConfig {
    /// (inputs, outputs) of each layer as a product over patches of 2 × 2 positions.
    #[must_use]
    pub fn layers(&self) -> Vec<(usize, usize)> {
        let n = self.embedding_dim.max(1).ilog2() as usize;
        (0..n).map(|l| (if l == 0 { 4 } else { 4 * self.channels }, self.channels)).collect()
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, MODEL, field, expected, got)
        };
        let d = self.embedding_dim;
        check(d.is_power_of_two() && (2..=256).contains(&d), "embedding_dim", "a power of two in 2..=256", &d)?;
        check((1..=1024).contains(&self.channels), "channels", "in 1..=1024", &self.channels)?;
        check((1..=1 << 24).contains(&self.batch_size), "batch_size", "in 1..=16777216", &self.batch_size)?;
        for (field, l2) in
            [("l2_embeddings", self.l2_embeddings), ("l2_filters", self.l2_filters), ("l2_output", self.l2_output)]
        {
            check(l2 >= 0.0 && l2.is_finite(), field, "a finite number of at least 0", &l2)?;
        }
        let std = self.init_std;
        check(std > 0.0 && std.is_finite(), "init_std", "a finite number above 0", &std)?;
        self.optimizer.validate().map_err(|error| error.of(MODEL))
    }
}
