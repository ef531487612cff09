//! The crate from outside: readers, manifests, downloads, laws of splits and samplers, counts of real data.

#[cfg(feature = "fetch")]
mod fetch;
mod laws;
mod manifests;
mod readers;
mod real_data;
// Where the tests of the command line find it, too.
#[cfg(feature = "fetch")]
#[path = "../server/mod.rs"]
mod server;
