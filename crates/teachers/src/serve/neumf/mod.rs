//! GMF, MLP and NeuMF, frozen.

mod config;
mod file;
mod first_pass;
mod hidden;
pub(crate) mod kernels;
mod model;
pub(crate) mod parts;
mod scores;

pub use config::NeuMfConfig;
pub use model::NeuMf;

#[cfg(test)]
mod tests;
