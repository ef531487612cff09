//! What the crate does on machines with and without a GPU and its compiler.

mod compile;
mod emulator;
