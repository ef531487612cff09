//! Distillation experts (DE): small decoders that rebuild the teacher's hidden vectors from the student's.

mod block;
mod config;
mod loss;
mod model;
mod selection;
#[cfg(test)]
mod tests;

pub use config::{ExpertsConfig, Selection};
pub use loss::ExpertsWorkspace;
pub use model::Experts;
