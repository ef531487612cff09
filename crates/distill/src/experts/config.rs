//! Settings of distillation experts.

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// How the experts' outputs are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Gumbel-softmax: a sample that turns into a choice of one expert as the temperature falls (the paper's method).
    #[default]
    Gumbel,
    /// The softmax of the selection network itself: ablation (a), *attention*.
    Attention,
    /// The constant weight 1 / M, and no selection network: ablation (b), *one expert (large)*.
    Average,
}

/// Settings of distillation experts. Ablation (c), *one expert (small)*, is `n_experts: 1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExpertsConfig {
    /// Experts (`M`), at least 1; paper: 5, 10, 20, 30, best near 10 to 20; the public run has 30.
    pub n_experts: usize,
    /// How their outputs are mixed.
    pub selection: Selection,
}

impl Default for ExpertsConfig {
    fn default() -> Self {
        Self { n_experts: 30, selection: Selection::Gumbel }
    }
}

impl ExpertsConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.n_experts > 0, "n_experts", "at least 1", self.n_experts)
    }
}
