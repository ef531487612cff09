//! Losses of one number each, with their gradients.

use super::activation::{sigmoid_body, softplus_body};
use super::kernel;

/// Numbers handled at a time: their losses stay on the stack until they are added in order.
const BLOCK: usize = 64;

/// Adds terms in their order, in double precision.
#[inline(always)]
fn sum_terms(terms: &[f32]) -> f64 {
    let mut total = 0.0;
    for term in terms {
        total += f64::from(*term);
    }
    total
}

#[inline(always)]
fn bce_with_logits_body<const FMA: bool>(logits: &[f32], targets: &[f32], scale: f32, d_logits: &mut [f32]) -> f64 {
    assert_eq!(logits.len(), targets.len(), "each logit needs a target");
    assert_eq!(logits.len(), d_logits.len(), "each logit needs a place for its gradient");
    let mut total = 0.0;
    for ((z, t), d) in logits.chunks(BLOCK).zip(targets.chunks(BLOCK)).zip(d_logits.chunks_mut(BLOCK)) {
        let mut terms = [0.0; BLOCK];
        for (((z, t), d), term) in z.iter().zip(t).zip(&mut *d).zip(&mut terms) {
            // softplus(z) - t·z without the cancellation: t·softplus(-z) + (1 - t)·softplus(z).
            *term = t * softplus_body::<FMA>(-z) + (1.0 - t) * softplus_body::<FMA>(*z);
            *d = scale * (sigmoid_body::<FMA>(*z) - t);
        }
        total += sum_terms(&terms[..z.len()]);
    }
    total
}

#[inline(always)]
fn logistic_body<const FMA: bool>(margins: &[f32], scale: f32, d_margins: &mut [f32]) -> f64 {
    assert_eq!(margins.len(), d_margins.len(), "each margin needs a place for its gradient");
    let mut total = 0.0;
    for (x, d) in margins.chunks(BLOCK).zip(d_margins.chunks_mut(BLOCK)) {
        let mut terms = [0.0; BLOCK];
        for ((x, d), term) in x.iter().zip(d).zip(&mut terms) {
            *term = softplus_body::<FMA>(-x);
            *d = -scale * sigmoid_body::<FMA>(-x);
        }
        total += sum_terms(&terms[..x.len()]);
    }
    total
}

#[inline(always)]
fn hinge_body<const FMA: bool>(margins: &[f32], target: f32, scale: f32, d_margins: &mut [f32]) -> f64 {
    assert_eq!(margins.len(), d_margins.len(), "each margin needs a place for its gradient");
    let mut total = 0.0;
    for (x, d) in margins.chunks(BLOCK).zip(d_margins.chunks_mut(BLOCK)) {
        let mut terms = [0.0; BLOCK];
        for ((x, d), term) in x.iter().zip(d).zip(&mut terms) {
            let gap = target - x;
            // Written so that a NaN is kept.
            *term = if gap < 0.0 { 0.0 } else { gap };
            *d = if gap > 0.0 { -scale } else { 0.0 };
        }
        total += sum_terms(&terms[..x.len()]);
    }
    total
}

kernel! {
    /// Binary cross-entropy on logits: returns `Σ -t·ln σ(z) - (1-t)·ln σ(-z)` in nats, and writes
    /// `d_logits = scale · (σ(z) - t)`.
    ///
    /// Targets may be any number in `[0, 1]`. Finite for every finite logit. The returned sum is not scaled.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn bce_with_logits / bce_with_logits_at(logits: &[f32], targets: &[f32], scale: f32, d_logits: &mut [f32]) -> f64
        = bce_with_logits_body
}
kernel! {
    /// Logistic loss of margins, BPR's when a margin is a difference of scores: returns `Σ -ln σ(x)` in nats, and writes
    /// `d_margins = -scale · σ(-x)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn logistic / logistic_at(margins: &[f32], scale: f32, d_margins: &mut [f32]) -> f64 = logistic_body
}
kernel! {
    /// Hinge: returns `Σ max(0, target - x)`, and writes `d_margins = -scale` where the hinge is active, else 0.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn hinge / hinge_at(margins: &[f32], target: f32, scale: f32, d_margins: &mut [f32]) -> f64 = hinge_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{LENGTHS, assert_close, normals};
    use super::*;

    #[test]
    fn bce_equals_its_definition_at_every_level_and_length() {
        for n in LENGTHS {
            let z = normals("z", n);
            let t: Vec<f32> = (0..n).map(|i| [0.0, 1.0, 0.25][i % 3]).collect();
            let ln_sigmoid = |x: f64| -(-x).exp().ln_1p();
            let want: f64 = z
                .iter()
                .zip(&t)
                .map(|(z, t)| (f64::from(*z), f64::from(*t)))
                .map(|(z, t)| -t * ln_sigmoid(z) - (1.0 - t) * ln_sigmoid(-z))
                .sum();
            for level in Level::available() {
                let mut d = vec![f32::NAN; n];
                let got = bce_with_logits_at(level, &z, &t, 0.5, &mut d);
                assert!((got - want).abs() <= 1e-6 * want.max(1.0), "{got} {want}");
                for i in 0..n {
                    assert_close(&[d[i]], &[0.5 * (1.0 / (1.0 + (-z[i]).exp()) - t[i])], 1e-6);
                }
            }
        }
    }

    #[test]
    fn logistic_is_cross_entropy_with_target_1_at_every_level() {
        let x = normals("x", 130);
        for level in Level::available() {
            let (mut d, mut want_d) = (vec![0.0; 130], vec![0.0; 130]);
            let want = bce_with_logits_at(level, &x, &[1.0; 130], 1.0, &mut want_d);
            let got = logistic_at(level, &x, 1.0, &mut d);
            assert!((got - want).abs() < 1e-4, "{got} {want}");
            assert_close(&d, &want_d, 1e-6);
        }
    }

    #[test]
    fn bce_is_finite_at_logits_of_100() {
        let mut d = [0.0; 4];
        let loss = bce_with_logits(&[100.0, -100.0, 100.0, -100.0], &[1.0, 0.0, 0.0, 1.0], 1.0, &mut d);
        assert!((loss - 200.0).abs() < 1e-6, "{loss}");
        assert_eq!(d, [0.0, 0.0, 1.0, -1.0]);
    }

    #[test]
    fn hinge_is_active_below_its_target_only() {
        for level in Level::available() {
            let mut d = [9.0; 3];
            assert_eq!(hinge_at(level, &[0.5, 1.0, 2.0], 1.0, 2.0, &mut d), 0.5);
            assert_eq!(d, [-2.0, 0.0, 0.0]);
        }
    }
}
