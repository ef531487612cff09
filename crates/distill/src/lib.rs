#![doc = include_str!("../README.md")]

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
pub use rectify_tensor::ConfigError;
pub use relaxed::{
    ListShape, full_ranking, full_ranking_of_predictions, interesting_ranking, interesting_ranking_of_predictions,
    list_mle, relaxed_ranking, relaxed_ranking_of_predictions,
};
