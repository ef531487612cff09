#![doc = include_str!("../README.md")]

mod beam;
#[cfg(feature = "train")]
mod config;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
#[cfg(feature = "train")]
mod fit_error;
#[cfg(feature = "train")]
mod forest;
mod histories;
mod index;
mod layout;
#[cfg(feature = "train")]
mod learn;
mod model;
mod pair;
#[cfg(feature = "train")]
mod start;
#[cfg(feature = "train")]
mod train;
mod tree;

#[cfg(feature = "train")]
pub use config::{Objective, PreferenceConfig};
#[cfg(feature = "cuda")]
pub use device::DeviceForestIndex;
pub use error::{ForestError, HistoryError, NetworkError, TreeError};
#[cfg(feature = "train")]
pub use fit_error::FitError;
#[cfg(feature = "train")]
pub use forest::{ForestConfig, fit_forest};
pub use histories::{ForUsers, Histories};
pub use index::{Candidates, Discriminated, ForestIndex, SearchConfig};
pub use layout::Layout;
#[cfg(feature = "train")]
pub use learn::{Assignment, TreeRule, learn_tree};
pub use model::{Network, PreferenceShape};
pub use pair::TreeModel;
#[cfg(feature = "train")]
pub use rectify_tensor::ConfigError;
#[cfg(feature = "train")]
pub use start::InitialTree;
#[cfg(feature = "train")]
pub use train::{Learners, Validate, fit};
pub use tree::Tree;
