//! Data for recommenders: readers, cleaning, splits, samplers, manifests, synthetic data.

mod builder;
mod dataset;
mod features;
mod holdout;
mod ids;
mod interactions;
mod ragged;
pub mod samplers;
mod saved;
mod split;
mod synthetic;

pub use builder::{Duplicates, InteractionsBuilder, InteractionsError};
pub use dataset::Dataset;
pub use features::{Categories, WordCounts};
pub use holdout::{Holdout, SealedTest, Split};
pub use ids::{IdMap, IdMaps};
pub use interactions::Interactions;
pub use ragged::Ragged;
pub use split::{
    Amount, ColdItems, FilesSplit, FixedSplit, PerUser, Pick, Protocol, Rounding, SplitError, UserDisjoint, split,
};
pub use synthetic::{SyntheticConfig, SyntheticError};
