//! How codes are served: packed, searched, saved. No tensors.

mod codes;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod factors;
mod index;
mod kernels;
mod multi_index;
mod rerank;
mod select;
mod substrings;

pub use codes::{BinaryCodes, BitOrder, MAX_CODE_BITS};
#[cfg(feature = "cuda")]
pub use device::{DeviceBits, DeviceHammingIndex};
pub use error::CodesError;
pub use factors::BinaryFactors;
pub use index::HammingIndex;
pub use multi_index::MultiIndex;
pub use rerank::{RerankError, RerankIndex};
