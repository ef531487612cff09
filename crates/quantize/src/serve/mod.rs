//! Serving: codes in memory and on disk, and their search by table look-up.

mod byte_table;
mod codebooks;
mod codeword_order;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod factors;
mod index;
mod inverted;
mod kernels;
mod kth_sum;
mod layout;
mod search;

pub use codebooks::{CodeShape, Composition};
#[cfg(feature = "cuda")]
pub use device::{DeviceCodeIndex, DeviceCodes};
pub use error::CodesError;
pub use factors::{CodedFactors, InvertedFactors};
pub use index::CodeIndex;
pub use inverted::InvertedIndex;
