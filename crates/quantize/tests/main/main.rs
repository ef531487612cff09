//! What the crate promises, of its public side alone.

#![allow(clippy::unwrap_used, reason = "a failure here is the message")]

mod conformance;
#[cfg(feature = "cuda")]
mod device;
mod files;
mod lists;
#[cfg(feature = "train")]
mod quantisers;
