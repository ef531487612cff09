#![doc = include_str!("../README.md")]

mod codebooks;
mod error;
mod index;
mod kernels;
mod layout;
mod quick;

pub use codebooks::{CodeShape, Composition};
pub use error::CodesError;
pub use index::CodeIndex;
