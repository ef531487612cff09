//! How codes are learned: a module a method, and what they share.
#![cfg(feature = "train")]

mod alternating;
pub mod bccf;
pub mod bin_cf;
mod coordinates;
pub mod dcf;
pub mod dcmf;
mod discrete;
mod error;
mod feedback;
pub mod pph;
mod rotation;
pub mod signs;
mod vectors;

pub use error::{FeatureError, FitError, Side, TeacherError};
pub use feedback::Feedback;
pub use rectify_core::rng::Seed;
pub use rectify_core::{ConfigError, Teacher};
pub use rectify_data::Interactions;
pub use rectify_data::samplers::SamplerError;
pub use rectify_tensor::train::{
    Checkpoint, EpochRecord, Event, FitConfig, FitReport, Observer, Silent, StopReason, TrainError, TrainRun, Validate,
};
pub use rectify_tensor::{Adagrad, Adam, Csr, Optimizer, Sgd};
pub use vectors::Centre;
