#![cfg_attr(feature = "graph", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "graph"), doc = "Row-sparse training on plain slices; built without the feature `graph`.")]
//!
//! # Map
//!
//! - [`kernels`]: plain slices, SIMD with run-time dispatch. [`Csr`]: sparse × dense. [`linalg`]: factorisations of small matrices.
//! - [`RowTable`], [`DenseParam`], [`ParamStore`]: ordered, seeded parameters with their [`Optimizer`] state; row-sparse
//!   updates, [lazy or exact](RowUpdate).
#![cfg_attr(
    feature = "graph",
    doc = "- [`Graph`], [`ops`], [`nn`]: automatic differentiation on the rows of a batch, fused operations with their own backward, and candle's layers."
)]
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
#[cfg(feature = "graph")]
mod graph;
mod init;
pub mod kernels;
pub mod linalg;
#[cfg(feature = "graph")]
pub mod ops;
mod optimizer;
pub mod parallel;
mod row_update;
mod state;
mod store;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
pub mod train;

/// A node of a graph; candle's tensor under our name. Models use its methods through this name, never the crate.
#[cfg(feature = "graph")]
pub use candle_core::Tensor;
/// The layers and losses of candle, for graphs: `nn::Linear`, `nn::LayerNorm`, `nn::ops`, and [`nn::Module`] to call them by. Their
/// parameters are leaves of a [`Batch`], so that our optimisers step them and our checkpoints keep them.
///
/// ```
/// use rectify_core::rng::Seed;
/// use rectify_tensor::nn::{self, Module};
/// use rectify_tensor::{Graph, GraphError, Init, Optimizer, ParamStore};
///
/// let mut store = ParamStore::new(Seed(1));
/// let weight = store.add_dense("weight", 8, 4, Init::GlorotUniform);
/// let bias = store.add_dense("bias", 1, 4, Init::Zeros);
/// let mut graph = Graph::new();
/// let mut batch = graph.batch(&mut store);
/// // candle keeps a weight as (outputs, inputs) and a bias flat.
/// let layer = nn::Linear::new(batch.dense(weight)?.t()?, Some(batch.dense(bias)?.squeeze(0)?));
/// let y = layer.forward(&rectify_tensor::constant(&[0.5; 16], &[2, 8])?)?;
/// assert!(batch.step(&y.sqr()?.sum_all()?, &Optimizer::adam(1e-2))? > 0.0);
/// # Ok::<(), GraphError>(())
/// ```
#[cfg(feature = "graph")]
pub use candle_nn as nn;
pub use csr::Csr;
pub use dense::DenseParam;
pub use device::{Device, DeviceError};
pub use distinct::DistinctRows;
#[cfg(feature = "graph")]
pub use error::GraphError;
pub use error::{CsrError, ParamError};
#[cfg(feature = "graph")]
pub use graph::{Batch, Graph, constant, variable};
pub use init::Init;
pub use optimizer::{Adagrad, Adam, Optimizer, Sgd};
pub use rectify_core::ConfigError;
pub use row_update::RowUpdate;
pub use store::{DenseKey, ParamStore, RowsKey, Snapshot};
pub use table::RowTable;
