//! Everything that learns: one module a method, each with its settings and its `fit`.

mod co_counts;
pub mod conv_ncf;
mod convolution;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "graph")]
pub mod dssm;
pub mod ease;
mod error;
mod factors;
#[cfg(test)]
mod fixture;
pub mod gcn_cf;
mod graph;
pub mod ials;
pub mod item_cf;
pub mod light_gcn;
pub mod mf;
pub mod neumf;
pub mod pop_rank;
pub mod prm;
mod reduction;
pub mod spectral_cf;
#[cfg(feature = "graph")]
pub mod towers;
mod triples;

pub use ease::EaseConfig;
pub use error::FitError;
pub use item_cf::{ItemCfConfig, Similarity};
pub use rectify_core::rng::Seed;
pub use rectify_data::{Interactions, WordCounts};
pub use rectify_tensor::train::{
    Checkpoint, EpochRecord, Event, FitConfig, FitReport, Guides, Observer, Silent, StopReason, TrainRun, Validate,
};
pub use rectify_tensor::{Adagrad, Adam, Optimizer, RowUpdate, Sgd};

/// What each user has, ascending.
fn histories(train: &Interactions) -> rectify_core::Histories {
    rectify_core::Histories::from_rows(train.users().map(|user| train.items_of(user)))
}
