//! The training loop: epochs, validation, early stopping, checkpoints, resume.
//!
//! A model implements [`Step`]; [`fit`] does the rest. What a caller decides of a training is a [`TrainRun`]. What is seen on the
//! way goes to an [`Observer`]; progress bars and logs are made of it by binaries. A [`Guide`] adds an objective of its own to a
//! model's.

mod checkpoint;
mod config;
mod error;
mod fit;
mod guide;
mod observer;
mod report;
mod run;

pub use config::{Checkpoint, FitConfig};
pub use error::TrainError;
pub use fit::fit;
pub use guide::{BoxError, Entities, Guide, Guides, Lists, Student};
pub use observer::{Event, Observer, Silent};
pub use report::{EpochRecord, FitReport, StopReason};
pub use run::{TrainRun, Validate};

use crate::ParamStore;

/// A model in training.
pub trait Step {
    /// Trains one epoch; epochs count from 1.
    ///
    /// Every random draw must be a function of the seed, the epoch and a place within it, never of what was drawn before:
    /// a resumed run starts at any epoch.
    ///
    /// # Errors
    /// Whatever makes training impossible.
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError>;

    /// All parameters.
    fn params(&self) -> &ParamStore;

    /// All parameters, to be changed: settled, restored, loaded.
    fn params_mut(&mut self) -> &mut ParamStore;
}

/// What an epoch tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EpochStats {
    /// Mean training loss of a sample, as the model defines it.
    pub loss: f64,
    /// Samples trained on.
    pub samples: u64,
}
