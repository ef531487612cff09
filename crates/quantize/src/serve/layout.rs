//! Codes on disk and in memory: blocks of 64 items, a codebook's codes side by side.

use rectify_core::artifact::Array;

use crate::CodesError;
use crate::serve::codebooks::CodeShape;

/// Items a block holds: bytes of a 512-bit register.
pub(crate) const BLOCK: usize = 64;

/// Codes in blocks of [`BLOCK`] items: `[block, planes, 64]`, the last block `[planes, rest]`, so that nothing is padded and the
/// payload is exactly `n_items · bytes_per_item`.
///
/// A plane is one codebook's codes, a byte each; with at most 16 codewords two codebooks share a plane, the even one in the
/// low four bits.
#[derive(Clone, Debug)]
pub(crate) struct BlockedCodes {
    pub(crate) n_items: usize,
    pub(crate) planes: usize,
    pub(crate) four_bit: bool,
    pub(crate) bytes: Array<u8>,
}

impl BlockedCodes {
    /// Lays out codes `[n_items, n_codebooks]`, a byte each.
    pub(crate) fn new(shape: &CodeShape, codes: &[u8]) -> Result<Self, CodesError> {
        let b = shape.n_codebooks;
        if !codes.len().is_multiple_of(b) {
            return Err(CodesError::Length {
                what: "codes",
                shape: "items × n_codebooks",
                expected: codes.len().next_multiple_of(b),
                got: codes.len(),
            });
        }
        let n_items = codes.len() / b;
        if u32::try_from(n_items).is_err() {
            return Err(CodesError::TooMany { got: n_items });
        }
        if let Some(at) = codes.iter().position(|&code| usize::from(code) >= shape.n_codewords) {
            let n_codewords = shape.n_codewords;
            return Err(CodesError::CodeRange { item: at / b, codebook: at % b, n_codewords, got: codes[at] });
        }
        Ok(Self::fill(shape, n_items, |item, codebook| codes[item * b + codebook]))
    }

    /// Lays out codes that are known to be in range.
    fn fill(shape: &CodeShape, n_items: usize, code: impl Fn(usize, usize) -> u8) -> Self {
        let mut blocked =
            Self { n_items, planes: shape.bytes_per_item(), four_bit: shape.is_four_bit(), bytes: Vec::new().into() };
        blocked.bytes = Array::filled(n_items * blocked.planes, |bytes| {
            for item in 0..n_items {
                for codebook in 0..shape.n_codebooks {
                    let code = code(item, codebook);
                    if blocked.four_bit {
                        bytes[blocked.position(item, codebook / 2)] |= code << (codebook % 2 * 4);
                    } else {
                        bytes[blocked.position(item, codebook)] = code;
                    }
                }
            }
        });
        blocked
    }

    /// The codes of some items, in that order.
    pub(crate) fn select(&self, shape: &CodeShape, items: &[u32]) -> Self {
        Self::fill(shape, items.len(), |item, codebook| self.code(items[item] as usize, codebook))
    }

    #[inline(always)]
    fn position(&self, item: usize, plane: usize) -> usize {
        let block = item / BLOCK;
        let width = BLOCK.min(self.n_items - block * BLOCK);
        block * BLOCK * self.planes + plane * width + item % BLOCK
    }

    /// The code of an item in a codebook.
    #[inline(always)]
    pub(crate) fn code(&self, item: usize, codebook: usize) -> u8 {
        if self.four_bit {
            self.bytes[self.position(item, codebook / 2)] >> (codebook % 2 * 4) & 15
        } else {
            self.bytes[self.position(item, codebook)]
        }
    }

    /// The bytes of an item, plane by plane.
    #[inline(always)]
    pub(crate) fn planes_of(&self, item: usize) -> impl Iterator<Item = u8> {
        let first = item / BLOCK * BLOCK;
        let width = BLOCK.min(self.n_items - first);
        let block = &self.bytes[first * self.planes..][..width * self.planes];
        block[item - first..].iter().step_by(width).copied()
    }

    /// The whole blocks.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes[..self.n_items / BLOCK * BLOCK * self.planes]
    }

    /// The last items as a whole block, the missing ones with code 0; `None` where no item is left over.
    pub(crate) fn rest(&self) -> Option<Vec<u8>> {
        let rest = self.n_items % BLOCK;
        (rest > 0).then(|| {
            let mut block = vec![0; BLOCK * self.planes];
            for (from, to) in self.bytes[self.whole().len()..].chunks_exact(rest).zip(block.chunks_exact_mut(BLOCK)) {
                to[..rest].copy_from_slice(from);
            }
            block
        })
    }
}
