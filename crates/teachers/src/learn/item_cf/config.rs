//! Settings of item-based collaborative filtering.

use rectify_core::ConfigError;
use serde::{Deserialize, Serialize};

/// How alike two items are; `c` users share them, `n_i` and `n_j` have each, of `n` users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// `c / √(n_i n_j)`.
    #[default]
    Cosine,
    /// Pearson's correlation of the binary columns: `(n c − n_i n_j) / √(n_i (n − n_i) n_j (n − n_j))`; 0 if an item is had
    /// by everybody, which tells nothing.
    Pearson,
}

impl Similarity {
    /// The similarity of two items; 0 if nobody has one of them.
    ///
    /// ```
    /// use rectify_teachers::Similarity;
    ///
    /// // Columns (1,1,0,0,1) and (1,0,0,0,1).
    /// assert!((Similarity::Pearson.of(2, 3, 2, 5) - 2.0 / 3.0).abs() < 1e-12);
    /// assert!((Similarity::Cosine.of(2, 3, 2, 5) - (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn of(self, shared: u32, n_i: u32, n_j: u32, n_users: usize) -> f64 {
        let (c, i, j, n) = (f64::from(shared), f64::from(n_i), f64::from(n_j), n_users as f64);
        let (covariance, variance) = match self {
            Self::Cosine => (c, i * j),
            Self::Pearson => (n * c - i * j, i * (n - i) * j * (n - j)),
        };
        if variance > 0.0 { covariance / variance.sqrt() } else { 0.0 }
    }
}

/// Settings of item-based collaborative filtering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemCfConfig {
    /// Measure of similarity. Default cosine.
    pub similarity: Similarity,
    /// Most similar items kept for each item, at least 1. Default 100; tune it (20 to 500).
    pub n_neighbours: usize,
}

impl Default for ItemCfConfig {
    fn default() -> Self {
        Self { similarity: Similarity::Cosine, n_neighbours: 100 }
    }
}

impl ItemCfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_of(self.n_neighbours >= 1, super::MODEL, "n_neighbours", "at least 1", self.n_neighbours)
    }
}
