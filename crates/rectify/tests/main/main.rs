//! The facade as a program uses it.

#![allow(clippy::unwrap_used, reason = "a failure there is the message")]

mod common;
mod file;
mod golden;
mod new_items;
mod own_kind;
mod questions;
#[cfg(feature = "train")]
mod training;
