#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - Serving: [`BinaryCodes`], [`HammingIndex`], [`MultiIndex`], [`RerankIndex`], and [`BinaryFactors`], which users ask by id.
//! - Learning (feature `train`): a module a method, each with its `fit`, its settings and what it reads differently from its
//!   paper.
//! - The types that these speak in are named here too, so that this crate alone is one dependency.

mod learn;
mod serve;

#[cfg(feature = "train")]
pub use learn::*;
pub use rectify_core::artifact::{ArtifactError, Overwrite};
pub use rectify_core::{
    Catalogue, Hit, Index, ItemFilter, ItemId, Provenance, QueryError, Retriever, Scorer, TopK, UserId, UsersError,
};
pub use serve::*;
