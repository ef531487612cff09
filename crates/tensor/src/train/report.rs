//! What a training was.

use serde::{Deserialize, Serialize};

/// One epoch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Mean training loss.
    pub loss: f64,
    /// Samples trained on.
    pub samples: u64,
    /// Validation metric, if one was taken.
    pub metric: Option<f64>,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// All epochs were done.
    MaxEpochs,
    /// The metric did not improve for `patience` validations.
    Patience,
    /// An observer asked.
    Requested,
}

/// What a run was.
#[derive(Clone, Debug, PartialEq)]
pub struct FitReport {
    /// All epochs, those before a resume too.
    pub history: Vec<EpochRecord>,
    /// Epoch whose parameters the model has now: the best validated one, or the last.
    pub best_epoch: u32,
    /// Its metric.
    pub best_metric: Option<f64>,
    /// Why it ended.
    pub reason: StopReason,
}
