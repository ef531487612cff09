//! Settings of PRM-BASE.

use rectify_tensor::Optimizer;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

pub(crate) const MODEL: &str = "prm-base";

/// Settings of PRM-BASE. Its authors' settings are for click logs of other size; the defaults are this project's choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrmConfig {
    /// Items of a list, 1 to 1024: the best of the first stage, which are put in a new order. Default 100 (HDN).
    pub list_len: usize,
    /// Width of a token, at least 1 and a multiple of `n_heads`. Default 64.
    pub width: usize,
    /// Blocks of attention and feed-forward layers, at least 1. Default 1.
    pub n_blocks: usize,
    /// Heads of the attention, at least 1. Default 2.
    pub n_heads: usize,
    /// Share of a branch's outputs that are left out in training, at least 0 and below 1. Default 0.1.
    pub dropout: f64,
    /// Lists a step, at least 1. Default 16.
    pub batch_size: usize,
    /// Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
}

impl Default for PrmConfig {
    fn default() -> Self {
        Self {
            list_len: 100,
            width: 64,
            n_blocks: 1,
            n_heads: 2,
            dropout: 0.1,
            batch_size: 16,
            optimizer: Optimizer::default(),
        }
    }
}

impl PrmConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, MODEL, field, expected, got)
        };
        check((1..=1024).contains(&self.list_len), "list_len", "in 1..=1024", &self.list_len)?;
        check((1..=16).contains(&self.n_blocks), "n_blocks", "in 1..=16", &self.n_blocks)?;
        check((1..=64).contains(&self.n_heads), "n_heads", "in 1..=64", &self.n_heads)?;
        let whole = (1..=1 << 12).contains(&self.width) && self.width.is_multiple_of(self.n_heads);
        check(whole, "width", "in 1..=4096 and a multiple of n_heads", &self.width)?;
        check((0.0..1.0).contains(&self.dropout), "dropout", "at least 0 and below 1", &self.dropout)?;
        check((1..=1 << 16).contains(&self.batch_size), "batch_size", "in 1..=65536", &self.batch_size)?;
        self.optimizer.validate().map_err(|error| error.of(MODEL))
    }
}
