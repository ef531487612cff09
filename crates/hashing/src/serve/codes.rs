//! Binary codes, packed 64 bits a word.

use bitvec::prelude::{BitSlice, BitVec};
use rectify_core::artifact::Array;

use crate::CodesError;

/// Longest code that is served, in bits.
pub const MAX_CODE_BITS: usize = 4096;

/// `n` codes of `code_bits` bits, row-major, each in `words()` whole words; bit `b` of a code is bit `b % 64` of word `b / 64`,
/// and unused bits of the last word are 0.
///
/// Bit 1 stands for +1 and bit 0 for −1, so that `dot = code_bits − 2 · hamming`.
///
/// ```
/// use rectify_hashing::BinaryCodes;
///
/// // DGCN-BinCF: two codes of 8 bits that differ in 3 places.
/// let signs = [1., -1., 1., 1., -1., 1., -1., -1., 1., 1., 1., -1., -1., 1., 1., -1.];
/// let codes = BinaryCodes::from_signs(&signs, 8)?;
/// let hamming = (codes.words_of(0)[0] ^ codes.words_of(1)[0]).count_ones();
/// assert_eq!((hamming, 8 - 2 * hamming), (3, 2));
/// # Ok::<(), rectify_hashing::CodesError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BinaryCodes {
    pub(super) code_bits: usize,
    pub(super) words: Array<u64>,
}

/// Which bit of a byte is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitOrder {
    /// The lowest: `faiss.IndexBinary*`, `numpy.packbits(bitorder="little")`, and the order here.
    #[default]
    Little,
    /// The highest: `numpy.packbits` by itself.
    Big,
}

impl BitOrder {
    /// A byte of this order with its first bit lowest, and the other way round.
    const fn little(self, byte: u8) -> u8 {
        match self {
            Self::Little => byte,
            Self::Big => byte.reverse_bits(),
        }
    }
}

impl PartialEq for BinaryCodes {
    fn eq(&self, other: &Self) -> bool {
        self.code_bits == other.code_bits && self.as_words() == other.as_words()
    }
}

impl Eq for BinaryCodes {}

impl BinaryCodes {
    /// Binarises rows `[n, code_bits]` by sign, with sign(0) = +1.
    ///
    /// # Errors
    /// A width of 0 or above [`MAX_CODE_BITS`], a length that is no multiple of it, or a NaN (named by row).
    pub fn from_signs(rows: &[f32], code_bits: usize) -> Result<Self, CodesError> {
        let mut words = Self::room(rows.len(), code_bits)?;
        let stride = code_bits.next_multiple_of(64);
        for (row, values) in rows.chunks_exact(code_bits).enumerate() {
            let code = &mut words[row * stride..][..code_bits];
            for (bit, &value) in values.iter().enumerate() {
                if value.is_nan() {
                    return Err(CodesError::NotANumber { row, position: bit });
                }
                code.set(bit, value >= 0.0);
            }
        }
        Ok(Self { code_bits, words: words.into_vec().into() })
    }

    /// Packs bits `[n, code_bits]` that stand one after another.
    ///
    /// # Errors
    /// A width of 0 or above [`MAX_CODE_BITS`], or a length that is no multiple of it.
    pub fn from_bits(bits: &BitSlice<u64>, code_bits: usize) -> Result<Self, CodesError> {
        let mut words = Self::room(bits.len(), code_bits)?;
        let stride = code_bits.next_multiple_of(64);
        for (row, source) in bits.chunks_exact(code_bits).enumerate() {
            words[row * stride..][..code_bits].copy_from_bitslice(source);
        }
        Ok(Self { code_bits, words: words.into_vec().into() })
    }

    /// Takes bytes packed elsewhere, each code in `code_bits / 8` of them, rounded up.
    ///
    /// ```
    /// use rectify_hashing::{BinaryCodes, BitOrder};
    ///
    /// // numpy.packbits([1, 0, 0, 0, 0, 0, 1, 1, 1]) is [0b1000_0011, 0b1000_0000].
    /// let codes = BinaryCodes::from_bytes(&[0b1000_0011, 0b1000_0000], 9, BitOrder::Big)?;
    /// assert_eq!(codes.to_signs(), [1., -1., -1., -1., -1., -1., 1., 1., 1.]);
    /// assert_eq!(codes.to_bytes(BitOrder::Big), [0b1000_0011, 0b1000_0000]);
    /// assert_eq!(codes.to_bytes(BitOrder::Little), [0b1100_0001, 0b0000_0001]);
    /// # Ok::<(), rectify_hashing::CodesError>(())
    /// ```
    ///
    /// # Errors
    /// A width of 0 or above [`MAX_CODE_BITS`], a length that is no multiple of a code's bytes, or a set bit beyond `code_bits`
    /// (named by row).
    pub fn from_bytes(bytes: &[u8], code_bits: usize, order: BitOrder) -> Result<Self, CodesError> {
        check_code_bits(code_bits)?;
        let per_code = code_bits.div_ceil(8);
        if !bytes.len().is_multiple_of(per_code) {
            return Err(CodesError::Bytes { code_bits, got: bytes.len() });
        }
        let mut words = vec![0u64; bytes.len() / per_code * code_bits.div_ceil(64)];
        for (code, bytes) in words.chunks_exact_mut(code_bits.div_ceil(64)).zip(bytes.chunks_exact(per_code)) {
            for (at, &byte) in bytes.iter().enumerate() {
                code[at / 8] |= u64::from(order.little(byte)) << (at % 8 * 8);
            }
        }
        Self::from_words(words, code_bits)
    }

    /// The codes as bytes, as [`from_bytes`](Self::from_bytes) takes them.
    #[must_use]
    pub fn to_bytes(&self, order: BitOrder) -> Vec<u8> {
        let per_code = self.code_bits.div_ceil(8);
        let bytes = |row: usize| {
            let code = self.words_of(row);
            (0..per_code).map(move |at| order.little((code[at / 8] >> (at % 8 * 8)) as u8))
        };
        (0..self.len()).flat_map(bytes).collect()
    }

    /// Takes words `[n, words()]` packed elsewhere; a mapped array stays mapped.
    ///
    /// # Errors
    /// As [`from_bits`](Self::from_bits), or a set bit beyond `code_bits` (named by row).
    pub fn from_words(words: impl Into<Array<u64>>, code_bits: usize) -> Result<Self, CodesError> {
        check_code_bits(code_bits)?;
        let words = words.into();
        let per_code = code_bits.div_ceil(64);
        if !words.len().is_multiple_of(per_code) {
            return Err(CodesError::Words { code_bits, got: words.len() });
        }
        let codes = Self { code_bits, words };
        codes.check_tails()?;
        Ok(codes)
    }

    /// Fails if a bit beyond the length of a code is set.
    pub(super) fn check_tails(&self) -> Result<(), CodesError> {
        let (code_bits, last) = (self.code_bits, self.words() - 1);
        let stray = |code: &[u64]| code[last] & !tail_mask(code_bits) != 0;
        match self.as_words().chunks_exact(self.words()).position(stray) {
            Some(row) => Err(CodesError::StrayBits { row, code_bits }),
            None => Ok(()),
        }
    }

    /// Zeroed words for `len` values.
    fn room(len: usize, code_bits: usize) -> Result<BitVec<u64>, CodesError> {
        check_code_bits(code_bits)?;
        if !len.is_multiple_of(code_bits) {
            return Err(CodesError::Values { code_bits, got: len });
        }
        Ok(BitVec::from_vec(vec![0; len / code_bits * code_bits.div_ceil(64)]))
    }

    /// Number of codes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_words().len() / self.words()
    }

    /// Whether there is no code.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_words().is_empty()
    }

    /// Length of a code in bits.
    #[must_use]
    pub const fn code_bits(&self) -> usize {
        self.code_bits
    }

    /// Words a code takes.
    #[must_use]
    pub const fn words(&self) -> usize {
        self.code_bits.div_ceil(64)
    }

    /// All words, `[len, words]`.
    #[must_use]
    pub fn as_words(&self) -> &[u64] {
        &self.words
    }

    /// The words of one code: a query of [`HammingIndex`](crate::HammingIndex).
    ///
    /// # Panics
    /// If `row >= len()`.
    #[must_use]
    pub fn words_of(&self, row: usize) -> &[u64] {
        &self.as_words()[row * self.words()..][..self.words()]
    }

    /// The bits of one code.
    ///
    /// # Panics
    /// If `row >= len()`.
    #[must_use]
    pub fn bits_of(&self, row: usize) -> &BitSlice<u64> {
        &BitSlice::from_slice(self.words_of(row))[..self.code_bits]
    }

    /// The codes as rows of +1 and −1, `[len, code_bits]`.
    #[must_use]
    pub fn to_signs(&self) -> Vec<f32> {
        (0..self.len()).flat_map(|row| self.bits_of(row).iter().map(|bit| if *bit { 1.0 } else { -1.0 })).collect()
    }
}

/// Mask of the used bits in the last word of a code.
pub(super) const fn tail_mask(code_bits: usize) -> u64 {
    match code_bits % 64 {
        0 => u64::MAX,
        used => (1 << used) - 1,
    }
}

pub(super) const fn check_code_bits(code_bits: usize) -> Result<(), CodesError> {
    if code_bits == 0 || code_bits > MAX_CODE_BITS {
        return Err(CodesError::CodeBits { got: code_bits });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_then_unpacking_is_identity(code_bits in 1usize..200, seed in any::<u64>(), n in 0usize..9) {
            let mut rng = rectify_core::rng::Seed(seed).rng();
            let signs: Vec<f32> = (0..n * code_bits).map(|_| if rng.below(2) == 1 { 1.0 } else { -1.0 }).collect();
            let codes = BinaryCodes::from_signs(&signs, code_bits).unwrap();
            prop_assert_eq!(codes.to_signs(), signs);
            prop_assert_eq!(&BinaryCodes::from_words(codes.as_words().to_vec(), code_bits).unwrap(), &codes);
            let mut bits = BitVec::<u64>::new();
            (0..n).for_each(|row| bits.extend_from_bitslice(codes.bits_of(row)));
            prop_assert_eq!(BinaryCodes::from_bits(&bits, code_bits).unwrap(), codes);
        }

        #[test]
        fn dot_is_bits_minus_twice_hamming(code_bits in 1usize..300, seed in any::<u64>()) {
            let mut rng = rectify_core::rng::Seed(seed).rng();
            let signs: Vec<f32> = (0..2 * code_bits).map(|_| if rng.below(2) == 1 { 1.0 } else { -1.0 }).collect();
            let codes = BinaryCodes::from_signs(&signs, code_bits).unwrap();
            let dot: f32 = signs[..code_bits].iter().zip(&signs[code_bits..]).map(|(a, b)| a * b).sum();
            let hamming: u32 = codes.words_of(0).iter().zip(codes.words_of(1)).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert_eq!(dot as i64, code_bits as i64 - 2 * i64::from(hamming));
        }
    }

    #[test]
    fn zero_counts_as_plus_one() {
        let codes = BinaryCodes::from_signs(&[0.0, -0.0, -1e-30], 3).unwrap();
        assert_eq!(codes.to_signs(), [1.0, 1.0, -1.0]);
    }

    #[test]
    fn impossible_shapes_and_values_are_named() {
        assert_eq!(BinaryCodes::from_signs(&[1.0], 0), Err(CodesError::CodeBits { got: 0 }));
        assert_eq!(BinaryCodes::from_signs(&[], 4097), Err(CodesError::CodeBits { got: 4097 }));
        assert!(matches!(BinaryCodes::from_signs(&[1.0; 7], 3), Err(CodesError::Values { got: 7, .. })));
        assert_eq!(
            BinaryCodes::from_signs(&[1.0, 1.0, 1.0, f32::NAN], 2),
            Err(CodesError::NotANumber { row: 1, position: 1 })
        );
        assert_eq!(BinaryCodes::from_words(vec![1, 1 << 5], 5), Err(CodesError::StrayBits { row: 1, code_bits: 5 }));
        assert!(matches!(BinaryCodes::from_words(vec![0; 3], 65), Err(CodesError::Words { got: 3, .. })));
    }
}
