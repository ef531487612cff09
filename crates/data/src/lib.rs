//! Data for recommenders: readers, cleaning, splits, samplers, manifests, synthetic data.

mod builder;
mod clean;
mod dataset;
mod features;
mod holdout;
mod ids;
mod interactions;
mod ragged;
pub mod read;
pub mod samplers;
mod saved;
mod split;
mod synthetic;

pub use builder::{Duplicates, InteractionsBuilder, InteractionsError};
pub use clean::{CleanError, Cleaning, KCore, clean};
pub use dataset::{Dataset, Provenance, Step};
pub use features::{Categories, WordCounts};
pub use holdout::{Holdout, SealedTest, Split};
pub use ids::{IdMap, IdMaps};
pub use interactions::Interactions;
pub use ragged::Ragged;
pub use read::{Format, ReadError, ReadOptions, load_path};
pub use split::{
    Amount, ColdItems, FilesSplit, FixedSplit, PerUser, Pick, Protocol, Rounding, SplitError, UserDisjoint, split,
};
pub use synthetic::{SyntheticConfig, SyntheticError};
