#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - Serving: [`CodeIndex`] and [`InvertedIndex`], with users before them [`CodedFactors`] and [`InvertedFactors`].
//! - Learning (feature `train`): a module a method, each with its `fit`: `light_rec`, `rvq`, `pq`, `opq`.
//! - The types that these speak in are named here too, so that this crate alone is one dependency.

mod learn;
mod serve;

#[cfg(feature = "train")]
pub use learn::*;
pub use rectify_core::artifact::{ArtifactError, Overwrite};
pub use rectify_core::{
    Catalogue, ConfigError, ForUsers, Hit, Index, ItemFilter, ItemId, Provenance, QueryError, Retriever, Scorer, TopK,
    UserId, UserVectors, UsersError,
};
pub use serve::*;
