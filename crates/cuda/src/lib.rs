#![doc = include_str!("../README.md")]

mod args;
mod buffer;
mod compile;
#[cfg(feature = "emulator")]
mod emulator;
mod error;
mod gpu;
pub mod product;
mod shape;
#[cfg(feature = "emulator")]
pub mod testing;

pub use args::Args;
pub use buffer::{Buffer, Element};
pub use compile::{Architecture, Source, compile};
pub use error::{EmulatorError, GpuError};
pub use gpu::{Description, Gpu, Kernel};
pub use shape::Shape;
