#![doc = include_str!("../README.md")]

mod annealing;
mod error;
mod experts;
mod hint;
mod listwise;
mod math;
mod noise;
mod pointwise;
pub mod sampling;

pub use annealing::Annealing;
pub use error::{ConfigError, LossError, SampleError};
pub use experts::{Experts, ExpertsConfig, ExpertsWorkspace, Selection};
pub use hint::{InnerProductHint, euclidean_hint};
pub use listwise::{ListShape, full_ranking, interesting_ranking, list_distillation, list_mle, relaxed_ranking};
pub use noise::gumbel_noise;
pub use pointwise::{RankWeights, collaborative, knowledge, ranking_distillation, soft_targets};
