#![doc = include_str!("../README.md")]

#[cfg(feature = "train")]
mod alternating;
#[cfg(feature = "train")]
pub mod bccf;
#[cfg(feature = "train")]
pub mod bin_cf;
mod codes;
#[cfg(feature = "train")]
mod coordinates;
#[cfg(feature = "cuda")]
pub mod device;
#[cfg(feature = "train")]
pub mod discrete;
mod error;
mod factors;
#[cfg(feature = "train")]
mod feedback;
mod index;
mod kernels;
mod multi_index;
#[cfg(feature = "train")]
pub mod pph;
mod rerank;
#[cfg(feature = "train")]
mod rotation;
mod select;
#[cfg(feature = "train")]
pub mod signs;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "train")]
mod vectors;

pub use codes::{BinaryCodes, MAX_CODE_BITS};
#[cfg(feature = "cuda")]
pub use device::{DeviceBits, DeviceHammingIndex};
pub use error::CodesError;
pub use factors::{BinaryFactors, Origin};
#[cfg(feature = "train")]
pub use feedback::Feedback;
pub use index::HammingIndex;
pub use multi_index::MultiIndex;
#[cfg(feature = "train")]
pub use rectify_tensor::ModelConfigError as ConfigError;
pub use rerank::{RerankError, RerankIndex};
#[cfg(feature = "train")]
pub use training::{FitError, Validate};
#[cfg(feature = "train")]
pub use vectors::Centre;
