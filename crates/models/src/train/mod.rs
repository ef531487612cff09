//! Training of a model by its name: validation, search, refit, checkpoint and resume.
//!
//! [`Trainer::fit`] does all of it and keeps what it made in a [`Store`]; [`Kind::fit`](crate::Kind::fit) is one training and nothing else.

mod fit_request;
mod meter;
mod place;
mod recipe;
mod select;
mod store;
mod trainer;
mod watch;

#[cfg(feature = "cuda")]
pub use fit_request::FitOn;
pub use fit_request::{Fit, FitRequest, Fitted, SideInformation, Validate};
pub use meter::{Meter, Reading, Unmetered};
pub use place::Place;
#[cfg(feature = "cuda")]
pub use place::kernel_sources;
pub use recipe::digest;
pub use rectify_tensor::train::{FitConfig, Silent};
pub use select::{Selection, system};
pub use store::{Store, Stored, TestValues, TrainingRecord, tidy};
pub use trainer::{Choice, Epochs, TestAlong, TrainData, TrainRequest, Trained, Trainer, Trial, configs};
pub use watch::Watch;
