//! The crate from outside: its container of artifacts, and the conformance kit on its own implementations.

mod artifact;
mod conformance;
