//! From the selection network's outputs to mixture weights, and back.

use super::Selection;
use crate::math::{Real, max_of, sum_by};

/// What keeps the logarithm of a vanishing probability finite.
const EPSILON: f64 = 1e-10;

/// Mixture weights below this (times the temperature, if below 1) change neither value nor gradient beyond the rounding
/// of single precision, and are set to 0. As the temperature falls, nearly all are, and their experts need not run.
const NEGLIGIBLE: f64 = 1e-9;

/// `x ← softmax(x)`, in place.
#[inline(always)]
pub(super) fn softmax<R: Real, const FMA: bool>(x: &mut [R]) {
    let max = max_of(x);
    for x in x.iter_mut() {
        *x = (*x - max).exp::<FMA>();
    }
    let scale = R::ONE / sum_by(x, |x| x);
    for x in x {
        *x *= scale;
    }
}

/// Mixture weights `z` of one entity from its specialisation scores `alpha = softmax(S(t))`.
///
/// DE-RRD Eq. 7: `z = softmax((ln α + g) / τ)`.
#[inline(always)]
pub(super) fn mix<R: Real, const FMA: bool>(
    selection: Selection,
    alpha: &[R],
    noise: &[R],
    temperature: R,
    z: &mut [R],
) {
    let cut = match selection {
        Selection::Average => {
            z.fill(R::ONE / R::of(z.len() as f64));
            return;
        }
        Selection::Attention => {
            z.copy_from_slice(alpha);
            R::of(NEGLIGIBLE)
        }
        Selection::Gumbel => {
            for ((z, a), g) in z.iter_mut().zip(alpha).zip(noise) {
                *z = (*a + R::of(EPSILON)).ln::<FMA>() + *g;
            }
            // The largest is taken off before the division, or a low temperature would round the differences away.
            let max = max_of(z);
            for z in z.iter_mut() {
                *z = (*z - max) / temperature;
            }
            softmax::<R, FMA>(z);
            R::of(NEGLIGIBLE) * if temperature < R::ONE { temperature } else { R::ONE }
        }
    };
    for z in z {
        if *z < cut {
            *z = R::ZERO;
        }
    }
}

/// From `q = z · ∂l/∂z` to the gradient of the selection network's outputs, in place.
#[inline(always)]
pub(super) fn mix_backward<R: Real>(selection: Selection, alpha: &[R], z: &[R], temperature: R, q: &mut [R]) {
    let total = sum_by(q, |q| q);
    match selection {
        Selection::Average => {}
        // z = α, so both softmax rules are one.
        Selection::Attention => {
            for (q, z) in q.iter_mut().zip(z) {
                *q = *q - *z * total;
            }
        }
        Selection::Gumbel => {
            for ((q, z), a) in q.iter_mut().zip(z).zip(alpha) {
                *q = (*q - *z * total) / temperature * (*a / (*a + R::of(EPSILON)));
            }
            let total = sum_by(q, |q| q);
            for (q, a) in q.iter_mut().zip(alpha) {
                *q = *q - *a * total;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::testing::assert_close;

    fn gumbel(noise: [f32; 3], temperature: f32) -> [f32; 3] {
        let mut z = [0.0; 3];
        mix::<f32, false>(Selection::Gumbel, &[0.7, 0.2, 0.1], &noise, temperature, &mut z);
        z
    }

    #[test]
    fn the_gumbel_softmax_gives_the_worked_examples() {
        assert_close(&gumbel([0.0, 0.5, 1.0], 1.0), &[0.537_811, 0.253_343, 0.208_846], 1e-6);
        assert_close(&gumbel([0.0, 0.5, 1.0], 0.5), &[0.728_493, 0.161_653, 0.109_855], 1e-6);
        assert_close(&gumbel([0.0, 0.5, 1.0], 0.1), &[0.999_384, 0.000_538, 0.000_078], 1e-6);
        assert_close(&gumbel([0.0, 1.5, 0.0], 1.0), &[0.412_654, 0.528_396, 0.058_951], 1e-6);
    }

    #[test]
    fn a_low_temperature_chooses_one_expert_exactly() {
        assert_eq!(gumbel([0.0, 0.5, 1.0], 1e-10), [1.0, 0.0, 0.0]);
        assert_eq!(gumbel([0.0, 1.5, 0.0], 1e-10), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn attention_ignores_noise_and_average_everything() {
        let (alpha, mut z) = ([0.7, 0.2, 0.1], [0.0; 3]);
        mix::<f32, false>(Selection::Attention, &alpha, &[], 0.1, &mut z);
        assert_eq!(z, alpha);
        mix::<f32, false>(Selection::Average, &[], &[], 0.1, &mut z);
        assert_eq!(z, [1.0 / 3.0; 3]);
    }

    #[test]
    fn negligible_weights_are_dropped_only_below_rounding() {
        let mut z = [0.0f32; 3];
        mix::<f32, false>(Selection::Attention, &[1.0, 1e-8, 1e-10], &[], 1.0, &mut z);
        assert_eq!(z, [1.0, 1e-8, 0.0]);
    }
}
