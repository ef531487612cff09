#![doc = include_str!("../README.md")]

mod error;
mod layout;
#[cfg(feature = "train")]
mod start;
mod tree;

pub use error::TreeError;
pub use layout::Layout;
#[cfg(feature = "train")]
pub use start::InitialTree;
pub use tree::Tree;
