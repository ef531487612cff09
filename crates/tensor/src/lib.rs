#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - [`kernels`]: plain slices, SIMD with run-time dispatch. [`Csr`]: sparse × dense.
//! - [`RowTable`], [`DenseParam`], [`ParamStore`]: ordered, seeded parameters with their [`Optimizer`] state; row-sparse
//!   updates, [lazy or exact](RowUpdate).
//! - [`Graph`], [`ops`]: automatic differentiation on the rows of a batch, and fused operations with their own backward.
//! - [`train`]: the training loop with early stopping, checkpoints and bit-equal resume.
//! - [`parallel`]: the one level of parallelism, with reductions in a fixed order. [`Device`]: where it
//!   all happens.

mod csr;
#[cfg(feature = "cuda")]
pub mod cuda;
mod dense;
mod device;
mod distinct;
mod error;
mod graph;
mod init;
pub mod kernels;
pub mod ops;
mod optimizer;
pub mod parallel;
mod state;
mod store;
mod table;
pub mod train;

/// A node of a graph; candle's tensor under our name. Models use its methods through this name, never the crate.
pub use candle_core::Tensor;
pub use csr::Csr;
pub use dense::DenseParam;
pub use device::{Device, DeviceError};
pub use distinct::DistinctRows;
pub use error::{ConfigError, CsrError, ModelConfigError, OptimizerError, ParamError};
pub use graph::{Batch, Graph, GraphError, constant, variable};
pub use init::Init;
pub use optimizer::{Adagrad, Adam, Optimizer, Sgd};
pub use store::{DenseKey, ParamStore, RowsKey, Snapshot};
pub use table::{RowTable, RowUpdate};
