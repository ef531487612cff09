//! The codewords of a codebook, best first by the bytes of a query's table.

/// Codewords of one codebook in descending order of their bytes, the first of equal ones first.
pub(crate) struct CodewordOrder {
    /// Room for 256 codewords.
    order: [u8; 256],
    /// `at_least[b]`: how many have byte `b` or more.
    at_least: [u16; 257],
}

impl CodewordOrder {
    /// Sorts the codewords of a row of bytes, at most 256.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut at_least = [0u16; 257];
        for &byte in bytes {
            at_least[usize::from(byte)] += 1;
        }
        for byte in (0..256).rev() {
            at_least[byte] += at_least[byte + 1];
        }
        // Where the next codeword of a byte goes: after all with a larger one.
        let mut next = at_least;
        let mut order = [0; 256];
        for (codeword, &byte) in bytes.iter().enumerate() {
            let place = &mut next[usize::from(byte) + 1];
            order[usize::from(*place)] = codeword as u8;
            *place += 1;
        }
        Self { order, at_least }
    }

    /// The codewords whose byte is `least` or more, best first.
    pub(crate) fn reaching(&self, least: u16) -> &[u8] {
        &self.order[..usize::from(self.at_least[usize::from(least.min(256))])]
    }

    /// The largest byte; 0 of no codewords.
    pub(crate) fn largest(&self) -> u8 {
        (0..=255).rev().find(|&byte| self.at_least[usize::from(byte)] > 0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codewords_come_by_their_bytes_and_then_in_their_order() {
        let descending = CodewordOrder::new(&[3, 255, 0, 3, 7]);
        assert_eq!(descending.reaching(0), [1, 4, 0, 3, 2]);
        assert_eq!(descending.reaching(3), [1, 4, 0, 3]);
        assert_eq!(descending.reaching(4), [1, 4]);
        assert_eq!(descending.reaching(255), [1]);
        assert_eq!((descending.reaching(256), descending.reaching(u16::MAX)), (&[][..], &[][..]));
        assert_eq!((descending.largest(), CodewordOrder::new(&[]).largest()), (255, 0));
    }
}
