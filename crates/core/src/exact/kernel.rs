//! The inner product in its fixed order of summation.

/// The score of a row: a chain of fused multiply-adds over ascending positions.
pub(super) fn dot(query: &[f32], row: &[f32]) -> f32 {
    query.iter().zip(row).fold(0.0, |sum, (q, x)| q.mul_add(*x, sum))
}
