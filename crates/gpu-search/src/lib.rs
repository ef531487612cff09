#![doc = include_str!("../README.md")]

mod exact;
mod exhaustive;
mod select;

pub use exact::{DeviceExactIndex, DeviceRows};
pub use exhaustive::{DeviceScores, DeviceSearch};
pub use rectify_cuda::Gpu;
pub use select::{device_error, select_top_k};

use rectify_cuda::Source;

/// Every kernel file of this crate.
pub const SOURCES: [&Source; 2] = [&select::SOURCE, &rectify_cuda::product::SOURCE];
