//! Settings of learning.

use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::serve::model::WIDEST;
use crate::{ConfigError, PreferenceShape};

/// What the preference model is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// DeFoRec (Feng et al., SIGIR 2022, Eqs. 3 to 9): on each level a softmax over its nodes,
    /// `L_j = ln Σ exp o' − o'_pos`, summed over levels, meant over samples.
    ///
    /// Of the `c(j) − 1` other nodes `m` are drawn uniformly with replacement, and `o' = o − ln(m / (c(j) − 1))` for each
    /// draw; where there are no more than `m`, each counts once as it is.
    ///
    /// **Reading**: the paper draws on small levels, too; all of them give the exact softmax for less.
    #[default]
    Softmax,
    /// TDM and JTM: on each level the ancestor is liked (`−ln p_like`) and `m` others, drawn uniformly without replacement, are not
    /// (`−ln(1 − p_like)`); the mean over all these nodes.
    Binary,
}

/// Settings of the preference model and its training on one tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreferenceConfig {
    /// Sizes of the model.
    pub shape: PreferenceShape,
    /// The loss. Default DeFoRec's.
    pub objective: Objective,
    /// Nodes drawn beside the positive one (`m`), each at least 1: one number for every level, or one a level from the first below
    /// the root, the last of which serves all deeper ones. Default 40; TDM and JTM use 8 or 9.
    pub n_negatives: Vec<u32>,
    /// Earlier items that a target needs, at least 1. Default 5, as in TDM's code.
    pub min_history: usize,
    /// Samples a step, at least 1. Default 128, which are some 45,000 nodes for each batch norm.
    pub batch_size: usize,
    /// Samples an epoch, drawn afresh; `None` takes all. Default none.
    pub samples_per_epoch: Option<usize>,
    /// Default Adam with learning rate 0.001, as in TDM's code.
    pub optimizer: Optimizer,
    /// What happens to nodes that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
}

impl Default for PreferenceConfig {
    fn default() -> Self {
        Self {
            shape: PreferenceShape::default(),
            objective: Objective::default(),
            n_negatives: vec![40],
            min_history: 5,
            batch_size: 128,
            samples_per_epoch: None,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
        }
    }
}

impl PreferenceConfig {
    /// The loss and the negatives of TDM and JTM; everything else as it is.
    #[must_use]
    pub fn binary(self, n_negatives: u32) -> Self {
        Self { objective: Objective::Binary, n_negatives: vec![n_negatives], ..self }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first one out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, got) in self.shape.sizes() {
            ConfigError::check((1..=WIDEST).contains(&got), field, "1 to 65536", got)?;
        }
        let at_least_1 = |field, got: usize| ConfigError::check(got >= 1, field, "at least 1", got);
        at_least_1("number of n_negatives", self.n_negatives.len())?;
        self.n_negatives.iter().try_for_each(|&m| at_least_1("n_negatives", m as usize))?;
        at_least_1("min_history", self.min_history)?;
        at_least_1("batch_size", self.batch_size)?;
        if let Some(n) = self.samples_per_epoch {
            at_least_1("samples_per_epoch", n)?;
        }
        self.optimizer.validate()
    }

    /// Negatives of a level, from 1.
    pub(crate) fn negatives_of(&self, level: u32) -> u32 {
        let at = (level as usize - 1).min(self.n_negatives.len() - 1);
        self.n_negatives[at]
    }
}
