#![cfg(feature = "train")]
//! How a cascade is learned: a module a method, and what it is made of.

mod fit_error;
pub mod hdn;
mod loss;
mod thresholds;

pub use fit_error::FitError;
pub use hdn::{HdnConfig, RejectionRule, ScoreLoss, Targets};
pub use loss::{decision_hinge, score_gaussian};
pub use thresholds::Thresholds;

pub use rectify_core::ConfigError;
pub use rectify_core::rng::Seed;
pub use rectify_data::Interactions;
pub use rectify_data::samplers::SamplerError;
pub use rectify_distill::LossError;
#[cfg(feature = "cuda")]
pub use rectify_tensor::cuda::GpuOps;
pub use rectify_tensor::train::{
    Checkpoint, EpochRecord, Event, FitConfig, FitReport, Observer, Silent, StopReason, TrainError, TrainRun, Validate,
};
pub use rectify_tensor::{Adagrad, Adam, Optimizer, RowUpdate, Sgd};
