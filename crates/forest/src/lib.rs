#![doc = include_str!("../README.md")]

mod beam;
mod error;
mod histories;
mod index;
mod layout;
mod model;
mod pair;
#[cfg(feature = "train")]
mod start;
mod tree;

pub use error::{ForestError, HistoryError, NetworkError, TreeError};
pub use histories::{ForUsers, Histories};
pub use index::{Candidates, Discriminated, ForestIndex, SearchConfig};
pub use layout::Layout;
pub use model::{Network, PreferenceShape};
pub use pair::TreeModel;
#[cfg(feature = "train")]
pub use start::InitialTree;
pub use tree::Tree;
