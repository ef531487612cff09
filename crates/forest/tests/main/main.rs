//! The crate from outside.
#![expect(clippy::unwrap_used, reason = "a failure here is the message")]

#[cfg(feature = "cuda")]
mod device;
mod files;
mod random;
