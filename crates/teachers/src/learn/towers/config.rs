//! Settings of FM and YoutubeDNN.

use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// How alike a user and an item are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// `u · v`.
    Dot,
    /// `u · v / (|u| |v| T)`.
    Cosine {
        /// T, above 0.
        temperature: f64,
    },
}

impl Default for Similarity {
    /// The cosine at 0.05, as the public code of both models has it.
    fn default() -> Self {
        Self::Cosine { temperature: 0.05 }
    }
}

/// Settings of a user tower beside an item table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TowersConfig {
    /// Width of a vector, at least 1. Default 24.
    pub embedding_dim: usize,
    /// Widths of the ReLU layers between the mean of the history and the last one, which has `embedding_dim` outputs, each at least 1.
    /// Default 128 and 64: YoutubeDNN. `None`: no layer at all, the mean is the user's vector: FM.
    pub hidden: Option<Vec<usize>>,
    /// Default the cosine at 0.05.
    pub similarity: Similarity,
    /// Latest items of a history that count, at least 1. Default 69, as many as DeFoRec reads.
    pub history_len: usize,
    /// Earlier items that a target needs, at least 1. Default 5.
    pub min_history: usize,
    /// Items drawn beside the target (`m`), at least 1. Default 40.
    pub n_negatives: usize,
    /// Samples a step, at least 1. Default 1024.
    pub batch_size: usize,
    /// Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// What happens to the items that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
    /// Standard deviation of the first vectors, above 0. Default 0.1.
    pub init_std: f64,
}

impl Default for TowersConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 24,
            hidden: Some(vec![128, 64]),
            similarity: Similarity::default(),
            history_len: 69,
            min_history: 5,
            n_negatives: 40,
            batch_size: 1024,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
            init_std: 0.1,
        }
    }
}

impl TowersConfig {
    /// The factorisation machine; everything else as YoutubeDNN has it.
    #[must_use]
    pub fn fm() -> Self {
        Self { hidden: None, ..Self::default() }
    }

    /// Name of the model that these settings make: `fm` or `youtube-dnn`.
    #[must_use]
    pub const fn model(&self) -> &'static str {
        if self.hidden.is_some() { "youtube-dnn" } else { "fm" }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, self.model(), field, expected, got)
        };
        check(self.embedding_dim >= 1, "embedding_dim", "at least 1", &self.embedding_dim)?;
        for width in self.hidden.iter().flatten() {
            check(*width >= 1, "hidden", "widths of at least 1", width)?;
        }
        if let Similarity::Cosine { temperature } = self.similarity {
            let sound = temperature > 0.0 && temperature.is_finite();
            check(sound, "similarity.cosine.temperature", "a finite number above 0", &temperature)?;
        }
        check(self.history_len >= 1, "history_len", "at least 1", &self.history_len)?;
        check(self.min_history >= 1, "min_history", "at least 1", &self.min_history)?;
        check(self.n_negatives >= 1, "n_negatives", "at least 1", &self.n_negatives)?;
        check(self.batch_size >= 1, "batch_size", "at least 1", &self.batch_size)?;
        let each = self.n_negatives.checked_add(1).map(|n| n.max(self.history_len));
        let fits = each.and_then(|n| n.checked_mul(self.batch_size)).is_some_and(|n| u32::try_from(n).is_ok());
        check(fits, "batch_size", "fewer than 2^32 items with negatives and histories", &self.batch_size)?;
        check(self.init_std > 0.0 && self.init_std.is_finite(), "init_std", "a finite number above 0", &self.init_std)?;
        self.optimizer.validate().map_err(|error| error.of(self.model()))
    }
}
