//! What a batch's losses are multiplied with.

use crate::Reduction;

impl Reduction {
    /// The factor of each of `n` samples.
    pub(super) fn scale(self, n: usize) -> f32 {
        match self {
            Self::Mean => 1.0 / n as f32,
            Self::Sum => 1.0,
        }
    }
}
