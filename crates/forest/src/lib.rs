#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - Serving: [`ForestIndex`] over [`TreeModel`]s, a [`Tree`] with its [`Network`] each; [`ForUsers`] for known users.
//! - Learning (feature `train`): `preference::fit` for a model on a tree, `learn_tree` for a tree by a model, `forest::fit` for both in turn
//!   by DeFoRec's, JTM's or TDM's rules.
//! - The types that these speak in are named here too, so that this crate alone is one dependency.

// Empty without the feature `train`, as its first line says.
mod learn;
mod serve;

#[cfg(feature = "train")]
pub use learn::*;
pub use rectify_core::artifact::{ArtifactError, Overwrite};
pub use rectify_core::{
    Catalogue, FoldIn, ForUsers, Histories, HistoryError, Hit, Index, ItemFilter, ItemId, Provenance, QueryError,
    Retriever, Scorer, TopK, UserId, UsersError, rng::Seed,
};
#[cfg(feature = "cuda")]
pub use serve::device::{self, DeviceForestIndex};
pub use serve::{
    Candidates, Discriminated, ForestError, ForestIndex, Layout, Network, NetworkError, PreferenceShape, SearchConfig,
    Tree, TreeError, TreeModel,
};
