#![doc = include_str!("../README.md")]

mod codes;
mod error;
mod index;
mod kernels;
mod select;

pub use codes::{BinaryCodes, MAX_CODE_BITS};
pub use error::CodesError;
pub use index::HammingIndex;
