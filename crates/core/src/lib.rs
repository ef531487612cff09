//! The ground that every other crate of rectify stands on, without tensors.
//!
//! - [`UserId`], [`ItemId`]: dense ids. [`Hit`]: an item with its score, in one total order. [`TopK`], [`Selector`],
//!   [`select_top_k`]: the best `k`.
//! - [`Scorer`], [`Retriever`], [`Index`], [`Teacher`]: the four traits that techniques and applications meet at.
//! - [`ItemFilter`]: what a query may return. [`Exhaustive`]: any scorer as a retriever. [`ExactIndex`]: exact search over
//!   vectors.
//! - [`ForUsers`]: an index before which known users stand ([`UserSide`]); [`Factors`] is one. [`FoldIn`]: people that were not
//!   trained on. [`Rerank`]: two stages. [`IdMap`]: own ids. [`Provenance`]: where a model comes from.
//! - [`artifact`]: the container of everything on disk. [`rng`]: draws keyed by where they are made.

pub mod artifact;
mod config_error;
mod error;
mod exact;
mod exhaustive;
mod filter;
mod hit;
mod id_map;
mod ids;
mod names;
mod provenance;
mod rerank;
pub mod rng;
pub mod simd;
#[cfg(feature = "testing")]
pub mod testing;
mod topk;
mod traits;
mod users;

pub use config_error::ConfigError;
pub use error::{Fault, QueryError, check_len};
pub use exact::{ExactConfig, ExactError, ExactIndex};
pub use exhaustive::Exhaustive;
pub use filter::{ItemBits, ItemFilter};
pub use hit::Hit;
pub use id_map::{DuplicateName, IdMap};
pub use ids::{DenseId, ItemId, UserId, as_u32s, from_u32s};
pub use names::{UnknownName, closest_name, with_suggestion};
pub use provenance::{DataFacts, Measured, Provenance};
pub use rerank::Rerank;
pub use topk::{Selector, TopK, select_top_k};
pub use traits::{
    Catalogue, Format, Hidden, HiddenWidths, Index, ItemVectors, Retriever, Scorer, Teacher, Violation, all_or_none,
    check_batch,
};
pub use users::{
    Factors, FactorsError, FoldIn, ForUsers, Histories, HistoryError, UserSide, UserVectors, UsersError, WithUsers,
};

/// Compiles the README's examples.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
