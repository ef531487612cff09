//! The crate from outside: against naive twins, other libraries and published numbers.

#![expect(clippy::unwrap_used, reason = "a failure here is the message")]

mod common;
mod comparison;
mod implicit;
mod naive_twin;
mod real_data;
mod refusals;
mod test_part;
