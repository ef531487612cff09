//! What the crate shows to others: trainings on a device, and files that older versions wrote.
#![expect(clippy::unwrap_used, reason = "a failure here is the message")]

#[cfg(all(feature = "cuda", feature = "train"))]
mod device;
mod files;
