//! How good a ranking is: metrics whose names say their convention, intervals, paired tests, and re-ranking.
//!
//! - [`Metric`]: `ndcg@20`, `ndcg_hits@20`, `map_min@100`, …; of one user's [`Outcome`], usable alone.
//! - [`stats`]: bootstrap intervals, paired t-test, Wilcoxon's signed-rank test, on plain slices.
//! - [`Rerank`]: any retriever's best, scored again by any scorer.

mod discount;
mod metric;
mod outcome;
mod rerank;
pub mod stats;

pub use metric::{Cut, Measure, Metric, MetricError};
pub use outcome::Outcome;
pub use rerank::Rerank;
