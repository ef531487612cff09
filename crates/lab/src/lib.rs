#![doc = include_str!("../README.md")]

#[cfg(feature = "train")]
pub mod experiment;
pub mod measure;
#[cfg(feature = "train")]
mod measurement;
#[cfg(feature = "train")]
pub mod record;
pub mod refusal;
#[cfg(feature = "train")]
pub mod report;
#[cfg(feature = "train")]
mod reproduce;
#[cfg(feature = "train")]
mod run;

#[cfg(feature = "train")]
pub use reproduce::Reproduction;
