//! PRM-BASE, frozen.

pub(crate) mod config;
mod file;
pub(crate) mod model;
pub(crate) mod network;

pub use config::PrmConfig;
pub use model::Prm;

#[cfg(test)]
mod tests;
