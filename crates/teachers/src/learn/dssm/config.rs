//! Settings of DSSM.

use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Settings of DSSM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DssmConfig {
    /// Width of a vector, of users, items and texts alike, at least 1. Default 32.
    pub embedding_dim: usize,
    /// Widths of the layers between words and the text's vector, each at least 1. Default 300 and 128, as DSSM's last two.
    pub hidden: Vec<usize>,
    /// Uniform unobserved items drawn afresh for each interaction in each epoch, at least 1. Default 5.
    pub n_negatives: usize,
    /// Interactions a step, at least 1, each with its negatives. Default 1024.
    pub batch_size: usize,
    /// Adds `l2/2 · (|p_u|² + |q_i|² + |q_j|²)` to the loss of a pair, at least 0. Default 0.001.
    pub l2: f64,
    /// Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// What happens to the users and items that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
    /// Standard deviation of the first vectors of ids, above 0. Default 0.01.
    pub init_std: f64,
}

impl Default for DssmConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 32,
            hidden: vec![300, 128],
            n_negatives: 5,
            batch_size: 1024,
            l2: 1e-3,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
            init_std: 0.01,
        }
    }
}

impl DssmConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, super::MODEL, field, expected, got)
        };
        check(self.embedding_dim >= 1, "embedding_dim", "at least 1", &self.embedding_dim)?;
        for width in &self.hidden {
            check(*width >= 1, "hidden", "widths of at least 1", width)?;
        }
        check(self.n_negatives >= 1, "n_negatives", "at least 1", &self.n_negatives)?;
        check(self.batch_size >= 1, "batch_size", "at least 1", &self.batch_size)?;
        let items = self.n_negatives.checked_add(1).and_then(|n| n.checked_mul(self.batch_size));
        let fits = items.is_some_and(|n| u32::try_from(n).is_ok());
        check(fits, "batch_size", "fewer than 2^32 items with its negatives", &self.batch_size)?;
        check(self.l2 >= 0.0 && self.l2.is_finite(), "l2", "a finite number of at least 0", &self.l2)?;
        check(self.init_std > 0.0 && self.init_std.is_finite(), "init_std", "a finite number above 0", &self.init_std)?;
        self.optimizer.validate().map_err(|error| error.of(super::MODEL))
    }
}
