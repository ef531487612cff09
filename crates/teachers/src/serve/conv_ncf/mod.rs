//! ConvNCF, frozen.

pub(crate) mod config;
mod file;
pub(crate) mod model;
pub(crate) mod network;

pub use config::ConvNcfConfig;
pub use model::ConvNcf;

#[cfg(test)]
mod tests;
