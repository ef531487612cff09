#![doc = include_str!("../README.md")]

mod batch_wise;
mod budget;
mod cost;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod index;
mod kernels;
mod network;
mod ratios;
mod share;
mod stages;

#[cfg(feature = "train")]
mod config;
#[cfg(feature = "train")]
mod fit_error;
#[cfg(feature = "train")]
mod loss;
#[cfg(feature = "train")]
mod thresholds;
#[cfg(feature = "train")]
mod train;

pub use batch_wise::{BatchWise, Stage};
pub use budget::{BudgetError, Measure, MeasureError, Plan, Trial};
#[cfg(feature = "train")]
pub use config::{HdnConfig, RejectionRule, ScoreLoss, Targets};
pub use cost::Cost;
#[cfg(feature = "cuda")]
pub use device::{DeviceCascade, DeviceCascadeIndex};
pub use error::CascadeError;
#[cfg(feature = "train")]
pub use fit_error::FitError;
pub use index::{CascadeIndex, REJECTED, Rejection};
#[cfg(feature = "train")]
pub use loss::{decision_hinge, score_gaussian};
pub use network::{CascadeParts, ModuleParts};
pub use ratios::RejectionRatios;
#[cfg(feature = "train")]
pub use rectify_tensor::ConfigError;
#[cfg(feature = "train")]
pub use thresholds::Thresholds;
#[cfg(all(feature = "train", feature = "cuda"))]
pub use train::fit_on;
#[cfg(feature = "train")]
pub use train::{Validate, fit};
