//! The crate from outside.
#![expect(clippy::unwrap_used, reason = "a failure here is the message")]

mod guides;
mod sampling;
mod training;
