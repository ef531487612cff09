//! How long a training lasts, and what is kept of it.

use std::path::PathBuf;

use rectify_core::ConfigError;

/// How long to train, and what to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// Epochs at most, >= 1. Default 100.
    pub max_epochs: u32,
    /// Validations without a new best after which training stops, >= 1; `None` never stops early. Default `Some(10)`.
    pub patience: Option<u32>,
    /// Validate after every so many epochs, and after the last one; 0 never validates (then the last epoch's parameters
    /// are kept). Default 1.
    pub eval_every: u32,
    /// Where to save the run after every epoch; `None` saves nothing. Default `None`.
    pub checkpoint: Option<Checkpoint>,
}

/// A place to save a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The file; replaced in one step after every epoch. If it exists, [`fit`](super::fit) goes on from it.
    pub path: PathBuf,
    /// Everything that made the run (model, settings, data hash, seed), in any text form. A checkpoint whose text differs
    /// is refused.
    pub run: String,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self { max_epochs: 100, patience: Some(10), eval_every: 1, checkpoint: None }
    }
}

impl FitConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.max_epochs >= 1, "max_epochs", "at least 1", self.max_epochs)?;
        ConfigError::check(self.patience != Some(0), "patience", "at least 1", 0)
    }

    pub(super) fn validates_after(&self, epoch: u32) -> bool {
        self.eval_every > 0 && (epoch.is_multiple_of(self.eval_every) || epoch == self.max_epochs)
    }
}
