//! What a caller can get wrong with codes and codebooks.

/// Codes or codebooks that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodesError {
    /// A number of codewords that no code width fits.
    #[error("codebooks have {got} codewords, expected a power of two from 2 to 256")]
    Codewords {
        /// Codewords given.
        got: usize,
    },
    /// A size that is zero.
    #[error("{what} is 0, expected at least 1")]
    Zero {
        /// Which size.
        what: &'static str,
    },
    /// An array of another length than its shape says.
    #[error("{what} has {got} values, expected {expected} ({shape})")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its shape in words.
        shape: &'static str,
        /// Values expected.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// A width that the codebooks do not divide evenly.
    #[error("{n_codebooks} product codebooks cannot share {embedding_dim} dimensions evenly; choose a divisor")]
    Subspaces {
        /// Codebooks.
        n_codebooks: usize,
        /// Width to be shared.
        embedding_dim: usize,
    },
    /// A code that names no codeword.
    #[error("item {item} has code {got} in codebook {codebook}, expected less than {n_codewords}")]
    CodeRange {
        /// Row of the item.
        item: usize,
        /// Codebook.
        codebook: usize,
        /// Codewords there are.
        n_codewords: usize,
        /// Code found.
        got: u8,
    },
    /// A codeword with NaN or infinity.
    #[error("codebook {codebook} has a value that is not finite in codeword {codeword}")]
    NotFinite {
        /// Codebook.
        codebook: usize,
        /// Codeword.
        codeword: usize,
    },
    /// A user vector with NaN or infinity.
    #[error("the vector of user {user} has a value that is not finite")]
    UserNotFinite {
        /// The user.
        user: usize,
    },
    /// More items than ids.
    #[error("{got} items do not fit 32-bit item ids")]
    TooMany {
        /// Items given.
        got: usize,
    },
}
