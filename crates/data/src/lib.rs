#![doc = include_str!("../README.md")]

mod builder;
mod clean;
mod data_source;
mod dataset;
mod describe;
mod features;
#[cfg(feature = "fetch")]
pub mod fetch;
mod holdout;
mod interactions;
mod manifest;
mod ragged;
pub mod read;
mod recipe;
pub mod samplers;
mod saved;
mod split;
mod synthetic;

pub use builder::{Duplicates, InteractionsBuilder, InteractionsError};
pub use clean::{CleanError, Cleaning, KCore, clean};
pub use data_source::{DataSource, DataSourceError, FileOptions, Places, SYNTHETIC};
pub use dataset::{Dataset, IdMaps, Provenance, Step};
pub use describe::{Description, Quantiles, describe};
pub use features::{Categories, WordCounts};
pub use holdout::{Holdout, SealedTest, Split};
pub use interactions::{Interactions, NoTimes};
pub use manifest::{
    ArchiveEntry, Expected, FileCheck, FileEntry, Manifest, ManifestError, Role, search_dirs, user_cache_dir,
};
pub use ragged::Ragged;
pub use read::{Format, ReadError, ReadOptions, load_path};
pub use recipe::{PrepareError, Prepared, Recipe};
pub use split::{
    Amount, ColdItems, FilesSplit, FixedSplit, PerUser, Pick, Protocol, Rounding, SplitError, UserDisjoint, split,
};
pub use synthetic::{SyntheticConfig, SyntheticError};
