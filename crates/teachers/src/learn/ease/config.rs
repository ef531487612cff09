//! Settings of EASE.

use rectify_core::ConfigError;
use serde::{Deserialize, Serialize};

/// Settings of EASE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EaseConfig {
    /// λ, added to the diagonal of XᵀX; above 0. Default 200. The one thing to tune: from 100 (small data) to 1000.
    pub l2: f64,
    /// Most bytes the fit may hold at its peak, 2 · 4 · n_items² of them. Default 8 GiB, enough for 32,768 items.
    pub memory_limit_bytes: u64,
}

impl Default for EaseConfig {
    fn default() -> Self {
        Self { l2: 200.0, memory_limit_bytes: 8 << 30 }
    }
}

impl EaseConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_of(
            self.l2 > 0.0 && self.l2.is_finite(),
            super::MODEL,
            "l2",
            "a finite number above 0",
            self.l2,
        )
    }
}
