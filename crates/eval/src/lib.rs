#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - [`Metric`]: a [`Measure`] with a [`Cut`]; of one user's [`Outcome`], usable alone.
//! - [`evaluate`], [`evaluate_test`]: a [`System`] on held-out items against [`Candidates`]; gives an [`Evaluation`].
//! - [`stats`]: bootstrap intervals, paired t-test, Wilcoxon's signed-rank test, on plain slices.
//! - [`kept`]: how much of a teacher's lists a student's lists hold.
//! - [`Rerank`]: any retriever's best, scored again by any scorer. [`Latency`], [`bytes_per_item`]: what answers cost.

mod cost;
mod discount;
mod error;
mod evaluate;
mod evaluation;
mod kept;
mod metric;
mod outcome;
mod ranks;
mod rerank;
pub mod stats;

pub use cost::{Latency, bytes_per_item};
pub use error::{CompareError, EvalError};
pub use evaluate::{Candidates, System, evaluate, evaluate_test};
pub use evaluation::{Comparison, Counts, Evaluation, Summary};
pub use kept::kept;
pub use metric::{Cut, Measure, Metric, MetricError};
pub use outcome::Outcome;
pub use rerank::Rerank;
