//! The crate seen from outside.

#![expect(clippy::unwrap_used, reason = "a failure here is the message")]

mod conformance;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "train")]
mod learning;
