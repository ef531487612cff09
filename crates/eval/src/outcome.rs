//! Where a user's true items came out: all that a metric needs to know.

/// One user's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Ranks of the true items that are in the list, counted from 1, strictly ascending.
    pub hit_ranks: &'a [u32],
    /// Number of true items, those outside the list included.
    pub n_true: usize,
    /// Length of the list.
    pub n_listed: usize,
}
