//! What is served: trees with their preference models, searched by beam; no tensors.

mod beam;
#[cfg(feature = "cuda")]
pub mod device;
mod error;
mod index;
mod layout;
pub(crate) mod model;
mod pair;
mod tree;

pub use error::{ForestError, NetworkError, TreeError};
pub use index::{Candidates, Discriminated, ForestIndex, SearchConfig};
pub use layout::Layout;
pub use model::{Network, PreferenceShape};
pub use pair::TreeModel;
pub use tree::Tree;
