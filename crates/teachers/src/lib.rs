// The README trains.
#![cfg_attr(feature = "train", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "train"), doc = "Heavy, exact recommenders, frozen: built without feature `train`.")]

mod serve;

pub use rectify_core::{ConfigError, Factors, Provenance};
pub use serve::{
    ConvNcf, ConvNcfConfig, Ease, EaseWeights, ItemCf, ItemNeighbours, LocallyLinear, NeuMf, NeuMfConfig, PopRank, Prm,
    PrmConfig, Reduction, RidgeConfig, RidgeFoldIn,
};

/// Everything that learns; the names stand at the root of the crate.
#[cfg(feature = "train")]
mod learn;
#[cfg(feature = "train")]
pub use learn::*;
