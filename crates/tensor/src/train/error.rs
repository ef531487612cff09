//! Why training cannot go on.

use rectify_core::ConfigError;
use rectify_core::artifact::ArtifactError;

#[cfg(feature = "graph")]
use crate::GraphError;
use crate::ParamError;

/// A failure of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is no longer a number.
    #[error("epoch {epoch}: the training loss is {loss}; lower the learning rate, or look for non-finite inputs")]
    NonFiniteLoss {
        /// Epoch, from 1.
        epoch: u32,
        /// NaN or an infinity.
        loss: f64,
    },
    /// The validation metric is not a number.
    #[error("epoch {epoch}: the validation metric is {metric}, expected a finite number")]
    NonFiniteMetric {
        /// Epoch, from 1.
        epoch: u32,
        /// NaN or an infinity.
        metric: f64,
    },
    /// A setting out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint of a run with other data, model or settings.
    #[error(
        "the checkpoint belongs to another run: {got}, expected {expected}; remove it to start anew, or restore the settings"
    )]
    OtherRun {
        /// This run.
        expected: String,
        /// The checkpoint's run.
        got: String,
    },
    /// A checkpoint whose parameters do not fit.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// A checkpoint that cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A failure while a graph was built or walked.
    #[cfg(feature = "graph")]
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A failure of the model or of its validation.
    #[error("epoch {epoch}: {source}")]
    Model {
        /// Epoch, from 1.
        epoch: u32,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
