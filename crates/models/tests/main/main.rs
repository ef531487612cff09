//! What programs build on.

#![allow(clippy::unwrap_used, reason = "a failure there is the message")]

#[cfg(feature = "train")]
mod own_kind;
#[cfg(feature = "train")]
mod training;
