//! Which instruction set kernels run with, found at run time.

use std::sync::atomic::{AtomicU8, Ordering};

/// A rung of the ladder of instruction sets; each has everything below it.
///
/// A kernel compiled for a rung is called after `level.usable() >= Level::…`, which is what makes that call sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Whatever the build targets (on AArch64 that has NEON); no fused multiply-add.
    Scalar = 1,
    /// x86-64 with `popcnt`.
    Popcnt = 2,
    /// AVX2 and FMA: Haswell, Zen.
    Avx2 = 3,
    /// AVX-512 F, BW, CD, DQ and VL: Skylake-X.
    Avx512 = 4,
    /// And VNNI: Cascade Lake.
    Avx512Vnni = 5,
    /// And VBMI and VPOPCNTDQ: Ice Lake, Zen 4.
    Avx512Vbmi = 6,
}

impl Level {
    /// All rungs, lowest first.
    pub const ALL: [Self; 6] =
        [Self::Scalar, Self::Popcnt, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Avx512Vbmi];

    /// The highest rung of this machine, found once.
    #[must_use]
    #[inline]
    pub fn best() -> Self {
        static FOUND: AtomicU8 = AtomicU8::new(0);
        match FOUND.load(Ordering::Relaxed) {
            1 => Self::Scalar,
            2 => Self::Popcnt,
            3 => Self::Avx2,
            4 => Self::Avx512,
            5 => Self::Avx512Vnni,
            6 => Self::Avx512Vbmi,
            _ => {
                let level = Self::detect();
                FOUND.store(level as u8, Ordering::Relaxed);
                level
            }
        }
    }

    /// This rung, or the machine's highest if that is lower.
    #[must_use]
    #[inline]
    pub fn usable(self) -> Self {
        self.min(Self::best())
    }

    /// Every rung of this machine, lowest first: what tests compare.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| *level <= Self::best())
    }

    #[cfg(target_arch = "x86_64")]
    #[cold]
    fn detect() -> Self {
        if !is_x86_feature_detected!("popcnt") {
            return Self::Scalar;
        }
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            return Self::Popcnt;
        }
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if !avx512 {
            return Self::Avx2;
        }
        if !is_x86_feature_detected!("avx512vnni") {
            return Self::Avx512;
        }
        if !(is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512vpopcntdq")) {
            return Self::Avx512Vnni;
        }
        Self::Avx512Vbmi
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[cold]
    fn detect() -> Self {
        Self::Scalar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_above_the_machine_is_usable() {
        assert_eq!(Level::best(), Level::best());
        assert!(Level::ALL.is_sorted());
        assert_eq!(Level::available().next(), Some(Level::Scalar));
        assert_eq!(Level::available().last(), Some(Level::best()));
        for level in Level::ALL {
            assert!(level.usable() <= Level::best());
            assert!(level > Level::best() || level.usable() == level);
        }
    }
}
