//! Why rows cannot become an index.

use crate::ItemId;

/// Rows that an [`ExactIndex`](super::ExactIndex) cannot be built from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExactError {
    /// Rows of no numbers.
    #[error("rows have dim 0, expected at least 1")]
    ZeroDim,
    /// A number of values that is no whole number of rows.
    #[error("{got} values do not make whole rows: expected a multiple of dim {expected}")]
    Shape {
        /// Width of a row.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// More rows than item ids.
    #[error("{got} rows, expected at most {expected}: item ids have 32 bits")]
    TooManyItems {
        /// Most rows possible.
        expected: usize,
        /// Rows given.
        got: usize,
    },
    /// A value that is NaN or infinite: no inner product with it can be ordered.
    #[error("row of item {item} is not finite at position {position}: {value}")]
    NotFinite {
        /// The row.
        item: ItemId,
        /// Position in the row.
        position: usize,
        /// What stands there.
        value: f32,
    },
}
