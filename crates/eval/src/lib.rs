#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! - [`Metric`]: a [`Measure`] with a [`Cut`]; of one user's [`Outcome`], usable alone.
//! - [`evaluate`], [`evaluate_test`]: a [`System`] on held-out items against [`Candidates`]; gives an [`Evaluation`].
//! - [`stats`]: bootstrap intervals, paired t-test, Wilcoxon's signed-rank test, on plain slices.
//! - [`overlap`]: how much of a teacher's lists a student's lists hold.
//! - [`Latency`], [`bytes_per_item`]: what answers cost.

mod cost;
mod discount;
mod error;
mod evaluate;
mod evaluation;
mod metric;
mod outcome;
mod overlap;
mod ranks;
pub mod stats;

pub use cost::{Latency, bytes_per_item};
pub use error::{CompareError, EvalError, ListFault};
pub use evaluate::{Candidates, System, evaluate, evaluate_test};
pub use evaluation::{Comparison, Counts, Evaluation, Summary};
pub use metric::{Cut, Measure, Metric, MetricError};
pub use outcome::Outcome;
pub use overlap::overlap;
