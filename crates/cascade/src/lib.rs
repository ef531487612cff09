#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - Serving: [`CascadeIndex`] with its [`Rejection`] rule, asked by user id; [`CascadeItems`], asked by anybody's vector;
//!   [`BatchWise`], the paper's way to search.
//! - Learning (feature `train`): a module a method; there is one, `hdn`, with its `fit` and its settings.
//! - The types that these speak in are named here too, so that this crate alone is one dependency.

// Empty without the feature `train`, as its first line says.
mod learn;
mod serve;

#[cfg(feature = "train")]
pub use learn::*;
pub use serve::*;

pub use rectify_core::artifact::{Array, ArtifactError, Overwrite};
pub use rectify_core::{
    Catalogue, Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, Violation,
};
