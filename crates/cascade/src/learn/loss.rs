//! Losses of a cascade; the score loss of implicit data is [`rectify_distill::collaborative`].

use rectify_core::ConfigError;
use rectify_distill::LossError;

fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), LossError> {
    if expected == got { Ok(()) } else { Err(LossError::Shape { what, expected, got }) }
}

/// Decision distillation: `Σ max(0, 1 − D d)` with labels d of −1 (accept) and +1 (reject).
///
/// HDN, Eq. 14. **Shapes**: all (n).
/// - **Returns** the sum; **writes** `weight ·` its subgradient, `−d` where the margin is violated, else 0.
/// - **Reading**: Eq. 15 gives +1 to items at the threshold or above, against the text; here a positive D rejects, and items at the
///   threshold or above are accepted.
/// - **Edges**: no pairs give 0; NaN is kept, not hidden.
///
/// # Errors
/// Sizes that differ.
pub fn decision_hinge(decisions: &[f32], labels: &[f32], weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    check_len("labels", decisions.len(), labels.len())?;
    check_len("grads", decisions.len(), grads.len())?;
    let mut total = 0.0;
    for ((decision, label), grad) in decisions.iter().zip(labels).zip(grads) {
        let gap = 1.0 - decision * label;
        // Written so that a NaN is kept.
        total += f64::from(if gap <= 0.0 { 0.0 } else { gap });
        *grad = if gap > 0.0 { -weight * label } else { 0.0 };
    }
    Ok(total)
}

/// Score distillation of ratings: `Σ ln(s₂/s₁) + (s₁² + (m₁ − m₂)²) / (2 s₂²) − ½`, the divergence of the student's normal law (m₂, s₂)
/// from the teacher's (m₁, s₁).
///
/// HDN, Eq. 11. **Shapes**: `teacher`, `student` (means) and `grads` (n); `spreads` are (s₁, s₂), the same for all pairs, as the student
/// emits none.
/// - **Returns** the sum, in nats; **writes** `weight · (m₂ − m₁) / s₂²`.
///
/// # Errors
/// Sizes that differ; spreads that are not positive and finite.
pub fn score_gaussian(
    teacher: &[f32],
    student: &[f32],
    spreads: (f64, f64),
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    check_len("teacher", student.len(), teacher.len())?;
    check_len("grads", student.len(), grads.len())?;
    for (field, spread) in [("teacher's spread", spreads.0), ("student's spread", spreads.1)] {
        ConfigError::check(spread > 0.0 && spread.is_finite(), field, "a finite number above 0", spread)?;
    }
    let (s1, s2) = spreads;
    let constant = (s2 / s1).ln() + s1 * s1 / (2.0 * s2 * s2) - 0.5;
    let mut total = 0.0;
    for ((m1, m2), grad) in teacher.iter().zip(student).zip(grads) {
        let gap = f64::from(*m2) - f64::from(*m1);
        total += constant + gap * gap / (2.0 * s2 * s2);
        *grad = weight * (gap / (s2 * s2)) as f32;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use rectify_distill::{collaborative, soft_targets};

    use super::*;

    #[test]
    fn the_hinge_is_that_of_the_worked_example() {
        let decisions = [-2.0, 0.5, 0.25, -0.5, 1.5, -1.0, 0.0, 2.0];
        let labels = [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        let mut grads = [f32::NAN; 8];
        assert_eq!(decision_hinge(&decisions, &labels, 1.0, &mut grads).unwrap(), 5.75);
        assert_eq!(grads, [0.0, -1.0, -1.0, 1.0, 0.0, 0.0, -1.0, 1.0]);
        let terms: Vec<f64> = (0..8)
            .map(|i| decision_hinge(&decisions[i..=i], &labels[i..=i], 0.5, &mut grads[i..=i]).unwrap())
            .collect();
        assert_eq!(terms, [0.0, 0.5, 0.75, 0.5, 0.0, 0.0, 1.0, 3.0]);
        assert_eq!(grads[1], -0.5);
    }

    #[test]
    fn the_bernoulli_loss_is_that_of_the_worked_example() {
        let at = |student: f32| {
            let (mut target, mut grad) = ([0.0], [0.0]);
            soft_targets(&[1.0], 1.0, 0.0, &mut target).unwrap();
            let loss = collaborative(&[student], &target, 1.0, &mut grad).unwrap();
            (loss, f64::from(grad[0]))
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 3e-7, "{a} {b}");
        close(at(0.5).0, 0.608_547_7);
        close(at(0.5).1, -0.108_599_2);
        close(at(1.0).0, 0.582_203_1);
        close(at(1.0).1, 0.0);
        close(at(0.5).0 - at(1.0).0, 0.026_344_6);
    }

    #[test]
    fn the_gaussian_loss_is_that_of_the_worked_example_and_its_gradient_follows_it() {
        let at = |m1: f32, m2: f32, spreads| {
            let mut grad = [f32::NAN];
            (score_gaussian(&[m1], &[m2], spreads, 1.0, &mut grad).unwrap(), grad[0])
        };
        assert!((at(0.5, 0.0, (1.0, 2.0)).0 - 0.349_397_2).abs() < 1e-7);
        assert_eq!(at(0.5, 0.5, (1.5, 1.5)), (0.0, 0.0));
        let slope = (at(0.5, 0.25, (1.0, 2.0)).0 - at(0.5, -0.25, (1.0, 2.0)).0) / 0.5;
        assert!((slope - f64::from(at(0.5, 0.0, (1.0, 2.0)).1)).abs() < 1e-7);
    }

    #[test]
    fn sizes_and_spreads_that_do_not_fit_are_named() {
        let error = decision_hinge(&[0.0], &[], 1.0, &mut [0.0]).unwrap_err().to_string();
        assert_eq!(error, "labels has 0 values, expected 1");
        assert!(decision_hinge(&[0.0], &[1.0], 1.0, &mut []).is_err());
        assert!(score_gaussian(&[], &[1.0], (1.0, 1.0), 1.0, &mut [0.0]).is_err());
        let error = score_gaussian(&[1.0], &[1.0], (1.0, 0.0), 1.0, &mut [0.0]).unwrap_err().to_string();
        assert_eq!(error, "student's spread is 0, expected a finite number above 0");
        assert!(decision_hinge(&[f32::NAN], &[1.0], 1.0, &mut [0.0]).unwrap().is_nan());
    }
}
