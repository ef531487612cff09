#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - Losses: functions of slices ([`relaxed_ranking`], [`ranking_distillation`], [`collaborative`], [`list_distillation`],
//!   [`euclidean_hint`], …), and two with state, [`Experts`] and [`InnerProductHint`].
//! - [`sampling`]: the lists that they are taken over. [`Distillation`]: both put together, as guides of a training.
//! - The types that these speak in are named here too, so that this crate alone is one dependency.

mod annealing;
mod error;
mod experts;
mod guides;
mod hint;
mod list_distillation;
mod math;
mod noise;
mod pointwise;
mod relaxed;
pub mod sampling;

pub use annealing::Annealing;
pub use error::{LossError, SampleError};
pub use experts::{Experts, ExpertsConfig, ExpertsWorkspace, Selection};
pub use guides::{Collaborative, Distillation, ExpertsGuide, ExpertsTerm, GuideError, ListGuide, ListLoss, ListTerm};
pub use hint::{InnerProductHint, euclidean_hint};
pub use list_distillation::list_distillation;
pub use noise::gumbel_noise;
pub use pointwise::{RankWeights, collaborative, knowledge, ranking_distillation, soft_targets};
pub use rectify_core::rng::Seed;
pub use rectify_core::{ConfigError, Hidden, HiddenWidths, ItemId, QueryError, Scorer, Teacher, UserId};
pub use rectify_tensor::train::{BoxError, Entities, Guide, Guides, Lists, Student};
pub use rectify_tensor::{DenseKey, Optimizer, ParamStore};
pub use relaxed::{
    ListShape, full_ranking, full_ranking_of_predictions, interesting_ranking, interesting_ranking_of_predictions,
    list_mle, relaxed_ranking, relaxed_ranking_of_predictions,
};
