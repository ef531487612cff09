//! Sixteen lanes at a time, at the highest [`Level`] of instruction sets that the CPU has; the level is everybody's, the
//! rest is this crate's.
//!
//! A kernel is written once, generic over `Simd`, as the `Work::run` of a struct that holds its arguments;
//! `Level::run` compiles it for each instruction set and picks one at run time. Everything that `run` calls must be
//! `#[inline(always)]`: a function of its own would be compiled without the instruction set.
//!
//! All levels give the same bits: integer operations are exact, and each float operation is one rounded IEEE operation.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod level;
mod portable;
mod prefetch;

pub use level::Level;
pub use prefetch::prefetch;

/// Lanes of every vector.
pub(crate) const LANES: usize = 16;

/// Operations on vectors of sixteen; a value of the type proves that the CPU has them.
pub(crate) trait Simd: Copy {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Whether there are registers for 24 accumulators, else for 4 of them.
    const WIDE: bool;

    fn splat(self, x: f32) -> Self::F;
    fn load(self, x: &[f32; LANES]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32; LANES]);
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// One bit a lane: not `a <= b`, which holds for `a > b` and where either is NaN.
    fn not_le(self, a: Self::F, b: Self::F) -> u16;

    /// Where an accumulator of [`dot4`](Self::dot4) must start, given the sum of the signed side.
    fn dot4_start(self, sum: i32) -> Self::I;
    /// Adds to lane `i` the products of `codes[4i..][..4] - 128` with the four signed bytes of `word` (lowest first).
    /// No code may be 0 and no byte -128.
    fn dot4(self, sum: Self::I, codes: &[u8; 4 * LANES], word: i32) -> Self::I;
    fn to_f32(self, x: Self::I) -> Self::F;

    /// Transposes sixteen rows: `out[j][lane] = rows[lane][j]`. All rows are as long as `out`.
    fn transpose(self, rows: &[&[f32]; LANES], out: &mut [[f32; LANES]]);
}

/// A kernel with its arguments.
pub(crate) trait Work {
    /// What it computes.
    type Out;
    /// Computes it; must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

impl Level {
    /// Runs a kernel at this level, or at the machine's highest if that is lower.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Out {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = avx512::Avx512::at(self) {
                return simd.run(work);
            }
            if let Some(simd) = avx2::Avx2::at(self) {
                return simd.run(work);
            }
        }
        work.run(portable::Portable)
    }
}

/// Calls `each` with the positions of the set bits, ascending.
#[inline(always)]
pub(crate) fn for_each_bit(mut mask: u16, mut each: impl FnMut(usize)) {
    while mask != 0 {
        each(mask.trailing_zeros() as usize);
        mask &= mask - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    /// Every operation once, over random and special numbers.
    struct Everything<'a> {
        a: &'a [f32; LANES],
        b: &'a [f32; LANES],
        codes: &'a [u8; 4 * LANES],
        word: [i8; 4],
        rows: &'a [Vec<f32>],
    }

    impl Work for Everything<'_> {
        type Out = (Vec<u32>, u16, Vec<u32>);

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Self::Out {
            let (a, b) = (s.load(self.a), s.load(self.b));
            let mut floats = Vec::new();
            let sum = self.word.iter().map(|&w| i32::from(w)).sum();
            let dot = s.dot4(s.dot4_start(sum), self.codes, i32::from_le_bytes(self.word.map(|w| w as u8)));
            for x in [s.mul(a, b), s.fma(a, b, s.splat(0.1)), s.to_f32(dot)] {
                let mut out = [0.0; LANES];
                s.store(x, &mut out);
                floats.extend(out.map(f32::to_bits));
            }
            let rows: [&[f32]; LANES] = std::array::from_fn(|i| &self.rows[i][..]);
            let mut out = vec![[0.0; LANES]; rows[0].len()];
            s.transpose(&rows, &mut out);
            (floats, s.not_le(a, b), out.iter().flatten().map(|x| x.to_bits()).collect())
        }
    }

    #[test]
    fn every_level_gives_the_bits_of_plain_arithmetic() {
        let mut rng = Seed(1).stream("simd").rng();
        let special = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 8.0, f32::MAX, 1.0, -1.0];
        for round in 0..200 {
            let mut draw = || if rng.below(4) == 0 { special[rng.below(8) as usize] } else { rng.normal() as f32 };
            let mut a: [f32; LANES] = std::array::from_fn(|_| draw());
            let b: [f32; LANES] = std::array::from_fn(|_| draw());
            a[0] = b[0];
            a[1] = f32::NAN;
            let codes: [u8; 64] = std::array::from_fn(|_| 1 + rng.below(255) as u8);
            let codes = if round == 0 {
                [255; 64]
            } else if round == 1 {
                [1; 64]
            } else {
                codes
            };
            let word: [i8; 4] = std::array::from_fn(|_| (rng.below(255) as i32 - 127) as i8);
            let word = if round < 2 { [-127; 4] } else { word };
            let dim = round % 40;
            let rows: Vec<Vec<f32>> =
                (0..LANES).map(|lane| (0..dim).map(|j| (lane * 100 + j) as f32).collect()).collect();

            let mut floats: Vec<f32> = (0..LANES).map(|i| a[i] * b[i]).collect();
            floats.extend((0..LANES).map(|i| a[i].mul_add(b[i], 0.1)));
            floats.extend(
                (0..LANES).map(|i| {
                    (0..4).map(|j| (i32::from(codes[4 * i + j]) - 128) * i32::from(word[j])).sum::<i32>() as f32
                }),
            );
            let mask = (0..LANES).filter(|&i| a[i].is_nan() || a[i] > b[i]).map(|i| 1u16 << i).sum::<u16>();
            for level in Level::available() {
                let work = Everything { a: &a, b: &b, codes: &codes, word, rows: &rows };
                let (got, got_mask, transposed) = level.run(work);
                for (i, (got, expected)) in got.iter().zip(&floats).enumerate() {
                    let both_nan = f32::from_bits(*got).is_nan() && expected.is_nan();
                    assert!(both_nan || *got == expected.to_bits(), "{level:?} lane {i}");
                }
                assert_eq!(got_mask, mask, "{level:?}");
                let expected: Vec<u32> =
                    (0..dim).flat_map(|j| (0..LANES).map(move |lane| ((lane * 100 + j) as f32).to_bits())).collect();
                assert_eq!(transposed, expected, "{level:?} dim {dim}");
            }
        }
    }
}
