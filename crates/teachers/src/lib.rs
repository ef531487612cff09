#![doc = include_str!("../README.md")]

mod co_counts;
pub mod conv_ncf;
mod convolution;
#[cfg(feature = "cuda")]
mod device;
pub mod dssm;
mod ease;
mod error;
mod factors;
#[cfg(test)]
mod fixture;
pub mod gcn_cf;
mod graph;
mod history;
pub mod ials;
mod item_cf;
pub mod light_gcn;
pub mod mf;
pub mod neumf;
mod pop_rank;
pub mod prm;
mod scores;
pub mod spectral_cf;
pub mod towers;
mod training;
mod triples;

pub use ease::{Ease, EaseConfig};
pub use error::FitError;
pub use factors::{Factors, Origin};
pub use item_cf::{ItemCf, ItemCfConfig, Similarity};
pub use pop_rank::PopRank;
pub use rectify_tensor::ModelConfigError as ConfigError;
pub use training::{Reduction, Validate};
