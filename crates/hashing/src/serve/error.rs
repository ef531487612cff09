//! What a caller can get wrong with codes.

use crate::MAX_CODE_BITS;

/// Codes that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodesError {
    /// A code length outside the range.
    #[error("code length is {got} bits, expected 1 to {MAX_CODE_BITS}")]
    CodeBits {
        /// Length given.
        got: usize,
    },
    /// Values that are no whole number of codes.
    #[error("codes of {code_bits} bits come in multiples of {code_bits} values, got {got}")]
    Values {
        /// Length of a code, and the values that it takes.
        code_bits: usize,
        /// Values given.
        got: usize,
    },
    /// Words that are no whole number of codes.
    #[error("codes of {code_bits} bits come in multiples of {} words, got {got}", .code_bits.div_ceil(64))]
    Words {
        /// Length of a code.
        code_bits: usize,
        /// Words given.
        got: usize,
    },
    /// Bytes that are no whole number of codes.
    #[error("codes of {code_bits} bits come in multiples of {} bytes, got {got}", .code_bits.div_ceil(8))]
    Bytes {
        /// Length of a code.
        code_bits: usize,
        /// Bytes given.
        got: usize,
    },
    /// A NaN, which has no sign worth keeping.
    #[error("row {row} has NaN at position {position}; only numbers have a sign")]
    NotANumber {
        /// Row of the code.
        row: usize,
        /// Position in the row.
        position: usize,
    },
    /// Bits set beyond the code's length.
    #[error("code {row} has bits set beyond its {code_bits} bits; clear the rest of its last word")]
    StrayBits {
        /// Row of the code.
        row: usize,
        /// Length of a code.
        code_bits: usize,
    },
    /// Tables whose substrings are empty or too long.
    #[error(
        "{got} tables over codes of {code_bits} bits, expected {least} to {code_bits}, so that substrings have 1 to 24 bits"
    )]
    Tables {
        /// Length of a code.
        code_bits: usize,
        /// Fewest tables.
        least: usize,
        /// Tables asked for.
        got: usize,
    },
    /// More codes than ids.
    #[error("{got} codes do not fit 32-bit ids")]
    TooMany {
        /// Codes given.
        got: usize,
    },
}
