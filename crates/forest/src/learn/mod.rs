//! Learning: a preference model on a tree, a tree for a model, both in turn.
#![cfg(feature = "train")]

mod config;
mod error;
pub mod forest;
mod initial_tree;
pub mod preference;
mod samples;
mod tree;

pub use config::{Objective, PreferenceConfig};
pub use error::FitError;
pub use forest::ForestConfig;
pub use initial_tree::InitialTree;
pub use samples::Learners;
pub use tree::{Assignment, TreeRule, learn_tree};

pub use rectify_core::ConfigError;
pub use rectify_data::{Categories, Interactions, NoTimes, Ragged};
pub use rectify_tensor::train::{
    Checkpoint, EpochRecord, Event, FitConfig, FitReport, Observer, Silent, StopReason, TrainError, TrainRun, Validate,
};
pub use rectify_tensor::{Adagrad, Adam, Optimizer, RowUpdate, Sgd};
