//! Gumbel noise, from 23 random bits a number: enough for races among hundreds, and far cheaper than 52.

use rectify_core::rng::{Rng, Seed};
use rectify_tensor::kernels::simd::{kernel, ln};

/// No Gumbel variable of this module is larger, or smaller than minus [`GUMBEL_LOW`].
pub(crate) const GUMBEL_HIGH: f64 = 16.7;
/// The uniform below lies in `[2⁻²⁴, 1 - 2⁻²⁴]`: `ln(24 ln 2) < 2.9`, `24 ln 2 < 16.7`.
pub(crate) const GUMBEL_LOW: f64 = 2.9;

/// Uniform in the open interval (0, 1).
#[inline(always)]
fn open_unit(bits: u32) -> f32 {
    ((bits >> 9) as f32 + 0.5) * (1.0 / (1u32 << 23) as f32)
}

/// One Gumbel variable, with portable logarithms: the same bits on every machine.
#[inline]
pub(crate) fn gumbel(rng: &mut Rng) -> f32 {
    -libm::logf(-libm::logf(open_unit(rng.next_u32())))
}

#[inline(always)]
fn gumbel_of_uniform<const FMA: bool>(x: &mut [f32]) {
    for x in x {
        *x = -ln::<FMA>(-ln::<FMA>(*x));
    }
}

kernel! {
    /// `x ← -ln(-ln x)`, in place.
    fn gumbel_slice / gumbel_slice_at(x: &mut [f32]) = gumbel_of_uniform
}

/// Fills `noise` (rows, `width`) with Gumbel variables, fresh for each row of each step.
///
/// Row `r` depends on `seed`, `epoch`, `step` and `r` alone. `seed` should be a stream of its own, such as
/// `Seed(..).stream("experts of users")`. Last bits differ between machines with and without fused multiply-add.
pub fn gumbel_noise(seed: Seed, epoch: u32, step: u32, width: usize, noise: &mut [f32]) {
    if width == 0 {
        return;
    }
    for (r, row) in noise.chunks_mut(width).enumerate() {
        let mut rng = seed.at(epoch, u64::from(step) << 32 | r as u64);
        row.fill_with(|| open_unit(rng.next_u32()));
    }
    gumbel_slice(noise);
}

#[cfg(test)]
mod tests {
    use rectify_tensor::kernels::Level;

    use super::*;

    #[test]
    fn noise_has_the_mean_and_variance_of_gumbel_and_stays_in_bounds() {
        let mut noise = vec![0.0; 100_000];
        gumbel_noise(Seed(1), 2, 3, 50, &mut noise);
        let mean = noise.iter().map(|g| f64::from(*g)).sum::<f64>() / 1e5;
        let variance = noise.iter().map(|g| (f64::from(*g) - mean).powi(2)).sum::<f64>() / 1e5;
        // Mean 0.5772 (Euler), variance π²/6 = 1.6449; three standard errors.
        assert!((mean - 0.577_216).abs() < 0.0122, "{mean}");
        assert!((variance - 1.644_934).abs() < 0.033, "{variance}");
        for bits in [0, u32::MAX, 1 << 31] {
            let unit = open_unit(bits);
            assert!(unit > 0.0 && unit < 1.0);
            let g = -f64::from(-unit.ln()).ln();
            assert!(g < GUMBEL_HIGH && g > -GUMBEL_LOW, "{g}");
        }
    }

    #[test]
    fn rows_steps_and_epochs_draw_apart_and_again_alike() {
        let draw = |epoch, step, rows: usize| {
            let mut noise = vec![0.0; rows * 3];
            gumbel_noise(Seed(9), epoch, step, 3, &mut noise);
            noise
        };
        assert_eq!(draw(0, 0, 2)[..3], draw(0, 0, 1));
        for other in [draw(0, 0, 2)[3..].to_vec(), draw(0, 1, 1), draw(1, 0, 1)] {
            assert_ne!(other, draw(0, 0, 1));
        }
        let mut portable = Seed(9).at(0, 0);
        for g in draw(0, 0, 1) {
            assert!((g - gumbel(&mut portable)).abs() < 2e-6);
        }
    }

    #[test]
    fn every_level_agrees_with_double_precision() {
        let uniform: Vec<f32> = (0..1000).map(|i| open_unit(i * 4_294_967)).collect();
        for level in [Level::Scalar, Level::Avx2, Level::Avx512] {
            let mut x = uniform.clone();
            gumbel_slice_at(level, &mut x);
            for (g, u) in x.iter().zip(&uniform) {
                let want = -(-f64::from(*u).ln()).ln();
                assert!((f64::from(*g) - want).abs() < 2e-6 * want.abs().max(1.0), "{g} against {want}");
            }
        }
    }
}
