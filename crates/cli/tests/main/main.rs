//! The program as a user runs it.

#![allow(clippy::unwrap_used, reason = "a failure there is the message")]

mod bad_input;
mod common;
mod fetch;
#[cfg(feature = "train")]
mod recommender;
#[cfg(feature = "train")]
mod reproduce;
mod server;
