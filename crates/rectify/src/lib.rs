#![doc = include_str!("../README.md")]

mod batch;
mod catalogue;
mod encoder;
mod error;
mod file;
mod filter;
mod fold_in;
mod people;
mod recommender;
mod remarks;
#[cfg(feature = "train")]
pub mod train;
mod vectors;

pub use catalogue::Catalogue;
pub use encoder::Encoder;
pub use error::RecommendError;
pub use file::Deferred;
pub use filter::Filter;
pub use people::People;
pub use recommender::{Recommendation, Recommender};
pub use rectify_core::artifact::{ArtifactError, Overwrite};
pub use rectify_core::{DataFacts, IdMap, Measured, Provenance};
pub use rectify_models::{Kind, Kinds, Settings};
pub use rectify_teachers::RidgeConfig;
#[cfg(feature = "train")]
pub use train::{Goal, train};

/// Everything that a program which serves needs.
pub mod prelude {
    pub use crate::{Filter, Recommendation, Recommender};
}
