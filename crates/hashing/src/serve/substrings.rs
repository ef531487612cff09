//! How a code is cut into substrings, and which of their values lie near one.

/// Widest substring: a table has a start for each of its 2^width values.
pub(super) const MAX_WIDTH: usize = 24;

/// One substring of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// First bit.
    pub(super) start: usize,
    pub(super) width: usize,
    /// Where its table's starts begin.
    pub(super) table: usize,
}

impl Part {
    /// Its bits in a code given word by word.
    #[inline]
    pub(super) fn of(self, word: impl Fn(usize) -> u64) -> usize {
        let (w, shift) = (self.start / 64, self.start % 64);
        let mut bits = word(w) >> shift;
        if shift + self.width > 64 {
            bits |= word(w + 1) << (64 - shift);
        }
        (bits & ((1 << self.width) - 1)) as usize
    }
}

/// Cuts a code into substrings, the longer ones first.
pub(super) fn parts(code_bits: usize, n_tables: usize) -> Vec<Part> {
    let (width, longer) = (code_bits / n_tables, code_bits % n_tables);
    let (mut start, mut table) = (0, 0);
    (0..n_tables)
        .map(|t| {
            let part = Part { start, width: width + usize::from(t < longer), table };
            start += part.width;
            table += (1 << part.width) + 1;
            part
        })
        .collect()
}

/// Number of tables for which a substring has about as many values as there are items.
pub(super) fn usual_tables(code_bits: usize, n_items: usize) -> usize {
    let width = (n_items.max(2) as f64).log2().round().max(1.0) as usize;
    code_bits.div_ceil(width.min(MAX_WIDTH))
}

/// All numbers of `width` bits with `ones` ones.
pub(super) fn masks(width: usize, ones: usize) -> impl Iterator<Item = usize> {
    let mut next = if ones <= width { Some((1usize << ones) - 1) } else { None };
    std::iter::from_fn(move || {
        let mask = next?;
        // The next larger number with as many ones (Gosper).
        next = (mask != 0)
            .then(|| {
                let lowest = mask & mask.wrapping_neg();
                let ripple = mask + lowest;
                ripple | (((mask ^ ripple) >> 2) / lowest)
            })
            .filter(|mask| *mask < 1 << width);
        Some(mask)
    })
}

/// `width` over `ones`, or more than any limit.
pub(super) fn n_masks(width: usize, ones: usize) -> usize {
    (0..ones).fold(1usize, |n, k| n.saturating_mul(width.saturating_sub(k)) / (k + 1))
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;

    #[test]
    fn parts_cover_a_code_without_gap() {
        for (code_bits, n_tables) in [(1, 1), (64, 3), (193, 11), (4096, 171), (70, 70)] {
            let parts = parts(code_bits, n_tables);
            assert_eq!(parts.iter().map(|part| part.width).sum::<usize>(), code_bits);
            assert!(parts.windows(2).all(|w| w[1].start == w[0].start + w[0].width && w[1].width <= w[0].width));
            assert!(parts.iter().all(|part| (1..=MAX_WIDTH).contains(&part.width)));
        }
    }

    #[test]
    fn substrings_are_the_bits_of_the_code() {
        let mut rng = Seed(1).rng();
        let code: Vec<u64> = (0..4).map(|_| rng.next_u64()).collect();
        for part in parts(200, 13) {
            let value = part.of(|w| code[w]);
            for bit in 0..part.width {
                let at = part.start + bit;
                assert_eq!(value >> bit & 1, (code[at / 64] >> (at % 64) & 1) as usize);
            }
        }
    }

    #[test]
    fn masks_are_all_numbers_with_so_many_ones() {
        for (width, ones) in [(1, 0), (1, 1), (5, 2), (8, 8), (10, 3), (3, 4)] {
            let got: Vec<usize> = masks(width, ones).collect();
            let want: Vec<usize> = (0..1usize << width).filter(|x| x.count_ones() as usize == ones).collect();
            assert_eq!((got.len(), got), (n_masks(width, ones), want), "{width} {ones}");
        }
    }
}
