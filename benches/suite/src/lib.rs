//! The root README's snippet, compiled as a test.

#[cfg(all(doctest, feature = "train"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
