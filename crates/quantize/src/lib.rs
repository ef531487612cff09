#![doc = include_str!("../README.md")]

mod codebooks;
mod coded_factors;
mod descending;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod index;
mod inverted;
mod inverted_factors;
mod kernels;
mod layout;
mod quick;
mod ranks;
mod search;

#[cfg(feature = "train")]
mod config;
#[cfg(feature = "train")]
mod fit_error;
#[cfg(feature = "train")]
mod kmeans;
#[cfg(feature = "train")]
mod model;
#[cfg(feature = "train")]
mod product;
#[cfg(feature = "train")]
mod quantiser;
#[cfg(feature = "train")]
mod residual;
#[cfg(feature = "train")]
mod teacher;
#[cfg(feature = "train")]
mod train;

pub use codebooks::{CodeShape, Composition};
pub use coded_factors::CodedFactors;
#[cfg(feature = "train")]
pub use config::{Distillation, LightRecConfig, Recurrence, Similarity};
#[cfg(feature = "cuda")]
pub use device::{DeviceCodeIndex, DeviceCodes};
pub use error::CodesError;
#[cfg(feature = "train")]
pub use fit_error::FitError;
pub use index::CodeIndex;
pub use inverted::InvertedIndex;
pub use inverted_factors::InvertedFactors;
#[cfg(feature = "train")]
pub use product::{OpqConfig, Rotation, optimised_product_quantiser, product_quantiser};
#[cfg(feature = "train")]
pub use quantiser::QuantiserConfig;
#[cfg(feature = "train")]
pub use rectify_tensor::ConfigError;
#[cfg(feature = "train")]
pub use residual::residual_quantiser;
#[cfg(feature = "train")]
pub use teacher::TeacherVectors;
#[cfg(all(feature = "cuda", feature = "train"))]
pub use train::fit_on;
#[cfg(feature = "train")]
pub use train::{Validate, fit};
