//! Frozen models: they answer, are saved and opened. Nothing here learns, and nothing needs data or a graph.

pub(crate) mod conv_ncf;
mod ease;
mod history;
mod item_cf;
pub(crate) mod neumf;
mod pop_rank;
pub(crate) mod prm;
mod reduction;
mod ridge;
mod scores;

pub use conv_ncf::{ConvNcf, ConvNcfConfig};
pub use ease::{Ease, EaseWeights};
pub use item_cf::{ItemCf, ItemNeighbours};
pub use neumf::{NeuMf, NeuMfConfig};
pub use pop_rank::PopRank;
pub use prm::{Prm, PrmConfig};
pub use reduction::Reduction;
pub use ridge::{LocallyLinear, RidgeConfig, RidgeFoldIn};
