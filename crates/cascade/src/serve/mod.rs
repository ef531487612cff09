//! A cascade as it is served: its stages, its file, what it costs.

mod batch_wise;
mod budget;
mod cost;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod file;
mod gradient;
mod index;
mod items;
mod kernels;
mod limits;
mod network;
mod ratios;
mod rejection;
mod share;
mod stages;

pub use batch_wise::{BatchWise, Stage};
pub use budget::{BudgetError, Measure, MeasureError, Plan, Trial};
pub use cost::Cost;
#[cfg(feature = "cuda")]
pub use device::{DeviceCascade, DeviceCascadeIndex};
pub use error::{CascadeError, PartName};
pub use index::CascadeIndex;
pub use items::CascadeItems;
pub use network::{CascadeParts, ModuleParts};
pub use ratios::RejectionRatios;
pub use rejection::{REJECTED, Rejection};

#[cfg(feature = "cuda")]
pub use rectify_cuda::Gpu;

#[cfg(feature = "train")]
pub(crate) use network::{MAX_DIM, MAX_MODULES, input_dim};
