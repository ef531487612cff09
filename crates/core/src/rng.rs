//! Random numbers that are a function of where they are drawn.
//!
//! Every draw is keyed by `(seed, stream, epoch, index)` and computed by a counter-based generator, so results depend
//! neither on the order of the work nor on the number of threads, and a resumed run draws what the killed one would have.
//! Generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the one that JAX,
//! TensorFlow and cuRAND use, so a GPU kernel can draw the same numbers.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32: 128 random bits from a 128-bit counter under a 64-bit key.
#[must_use]
#[inline]
pub const fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let mut round = 0;
    while round < 10 {
        let a = MULTIPLIERS[0] as u64 * counter[0] as u64;
        let b = MULTIPLIERS[1] as u64 * counter[2] as u64;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        round += 1;
    }
    counter
}

/// The root of all draws of a run: a seed, and named streams below it.
///
/// ```
/// use rectify_core::rng::Seed;
///
/// let seed = Seed(42).stream("negatives");
/// let mut a = seed.at(3, 17); // epoch 3, sample 17
/// let mut b = seed.at(3, 17);
/// assert_eq!(a.next_u32(), b.next_u32());
/// assert_ne!(seed.at(3, 18).next_u32(), seed.at(3, 17).next_u32());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of an independent stream: one name for one purpose.
    #[must_use]
    pub fn stream(self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        hasher.update(name.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_le_bytes(bytes))
    }

    /// The generator of one place: draw number `index` of `epoch`.
    #[must_use]
    #[inline]
    pub const fn at(self, epoch: u32, index: u64) -> Rng {
        Rng {
            key: [self.0 as u32, (self.0 >> 32) as u32],
            counter: [0, epoch, index as u32, (index >> 32) as u32],
            block: [0; 4],
            used: 4,
        }
    }

    /// The generator of place (0, 0), for a single sequence of draws.
    #[must_use]
    pub const fn rng(self) -> Rng {
        self.at(0, 0)
    }
}

/// A sequence of draws at one place; at most 2³⁴ numbers, which no place needs.
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Rng {
    /// 32 random bits.
    #[inline]
    pub const fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        let value = self.block[self.used];
        self.used += 1;
        value
    }

    /// 64 random bits.
    #[inline]
    pub const fn next_u64(&mut self) -> u64 {
        let low = self.next_u32() as u64;
        low | (self.next_u32() as u64) << 32
    }

    /// Uniform in `0..bound`, without bias (Lemire 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    #[inline]
    pub const fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "an empty range has no element to draw");
        let mut wide = self.next_u32() as u64 * bound as u64;
        if (wide as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (wide as u32) < threshold {
                wide = self.next_u32() as u64 * bound as u64;
            }
        }
        (wide >> 32) as u32
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻²⁴.
    #[inline]
    pub const fn unit_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1u32 << 24) as f32)
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    #[inline]
    pub const fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in the open interval `(0, 1)`: safe under a logarithm.
    #[inline]
    pub const fn open_f64(&mut self) -> f64 {
        ((self.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
    }

    /// Standard normal (Box-Muller, with portable logarithm and cosine).
    #[must_use]
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.open_f64()));
        radius * libm::cos(std::f64::consts::TAU * self.unit_f64())
    }

    /// Standard Gumbel: `-ln(-ln r)`.
    #[must_use]
    pub fn gumbel(&mut self) -> f64 {
        -libm::log(-libm::log(self.open_f64()))
    }

    /// Shuffles in place (Fisher-Yates).
    ///
    /// # Panics
    /// If the slice has 2³² elements or more.
    pub fn shuffle<T>(&mut self, slice: &mut [T]) {
        assert!(u32::try_from(slice.len()).is_ok(), "a shuffle is limited to u32 positions");
        for i in (1..slice.len()).rev() {
            slice.swap(i, self.below(i as u32 + 1) as usize);
        }
    }

    /// `amount` distinct numbers of `0..bound`, each subset equally likely (Floyd), ascending.
    ///
    /// # Panics
    /// If `amount > bound`.
    pub fn sample_distinct(&mut self, bound: u32, amount: u32) -> Vec<u32> {
        assert!(amount <= bound, "cannot draw {amount} distinct numbers below {bound}");
        let mut chosen = std::collections::BTreeSet::new();
        for j in bound - amount..bound {
            let t = self.below(j + 1);
            if !chosen.insert(t) {
                chosen.insert(j);
            }
        }
        chosen.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_known_answers() {
        // Random123 distribution, kat_vectors, philox4x32 10.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn below_is_uniform_within_four_sigma() {
        let mut rng = Seed(1).stream("below").rng();
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        // sigma = sqrt(70000 · 1/7 · 6/7) = 92.6
        for count in counts {
            assert!((i64::from(count) - 10_000).abs() < 371, "{counts:?}");
        }
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut rng = Seed(2).stream("normal").rng();
        let draws: Vec<f64> = (0..100_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.0127 && (variance - 1.0).abs() < 0.018, "{mean} {variance}");
    }

    #[test]
    fn distinct_samples_are_distinct_ascending_and_complete_at_the_limit() {
        let mut rng = Seed(3).rng();
        let some = rng.sample_distinct(1000, 50);
        assert!(some.windows(2).all(|w| w[0] < w[1]) && some.len() == 50 && some[49] < 1000);
        assert_eq!(rng.sample_distinct(5, 5), [0, 1, 2, 3, 4]);
        assert!(rng.sample_distinct(0, 0).is_empty());
    }
}
