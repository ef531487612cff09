//! The ground that every other crate of rectify stands on, without tensors.
//!
//! - [`UserId`], [`ItemId`]: dense ids. [`Hit`]: an item with its score, in one total order. [`TopK`], [`Selector`],
//!   [`select_top_k`]: the best `k`.
//! - [`Scorer`], [`Retriever`], [`Index`], [`Teacher`]: the four traits that techniques and applications meet at.
//! - [`ItemFilter`]: what a query may return. [`Exhaustive`]: any scorer as a retriever. [`ExactIndex`]: exact search over
//!   vectors.
//! - [`artifact`]: the container of everything on disk. [`rng`]: draws keyed by where they are made.

pub mod artifact;
mod error;
mod exact;
mod exhaustive;
mod filter;
mod hit;
mod ids;
mod names;
pub mod rng;
pub mod simd;
#[cfg(feature = "testing")]
pub mod testing;
mod topk;
mod traits;

pub use error::{QueryError, check_len};
pub use exact::{ExactConfig, ExactError, ExactIndex};
pub use exhaustive::Exhaustive;
pub use filter::{ItemBits, ItemFilter};
pub use hit::Hit;
pub use ids::{DenseId, ItemId, UserId, as_u32s, from_u32s};
pub use names::closest_name;
pub use topk::{Selector, TopK, select_top_k};
pub use traits::{Hidden, HiddenWidths, Index, Retriever, Scorer, Teacher, Violation, check_batch};

/// Compiles the README's examples.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
