//! Losses of one score or margin each.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::support::{expect_shape, output, slice, tensor_like, with_values};
use crate::{GraphError, kernels};

/// A sum of terms whose slopes come with the forward pass, and wait for the backward one.
pub(super) struct SumLoss<F> {
    name: &'static str,
    /// From inputs: the sum, and the slope of each.
    kernel: F,
    slopes: Mutex<Vec<f32>>,
}

impl<F> SumLoss<F> {
    pub(super) fn new(name: &'static str, kernel: F) -> Self {
        Self { name, kernel, slopes: Mutex::new(Vec::new()) }
    }
}

impl<F: Fn(&[f32], &mut [f32]) -> f64> CustomOp1 for SumLoss<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let inputs = slice(storage, layout)?;
        let mut slopes = vec![0.0; inputs.len()];
        let sum = (self.kernel)(inputs, &mut slopes);
        *self.slopes.lock().expect("no kernel panics while it holds the slopes") = slopes;
        Ok(output(vec![sum as f32], ()))
    }

    fn bwd(&self, inputs: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let upstream = with_values(grad, |g| Ok(g[0]))?;
        // Copied, not taken: a graph may be walked twice.
        let mut slopes = self.slopes.lock().expect("no kernel panics while it holds the slopes").clone();
        kernels::scale(upstream, &mut slopes);
        tensor_like(slopes, inputs).map(Some)
    }
}

/// BPR: `Σ -ln σ(positive - negative)` in nats; both of one shape → scalar.
///
/// # Errors
/// Two shapes, or tensors that are not f32.
pub fn bpr(positive: &Tensor, negative: &Tensor) -> std::result::Result<Tensor, GraphError> {
    expect_shape("negative", negative, positive.dims())?;
    let margins = (positive - negative)?.contiguous()?;
    Ok(margins.apply_op1(SumLoss::new("bpr", |x: &[f32], d: &mut [f32]| kernels::logistic(x, 1.0, d)))?)
}

/// Binary cross-entropy on logits: `Σ -t ln σ(z) - (1-t) ln σ(-z)` in nats; logits of any shape, as many targets → scalar.
///
/// # Errors
/// Another number of targets, a target outside `[0, 1]`, or logits that are not f32.
pub fn bce_with_logits(logits: &Tensor, targets: &[f32]) -> std::result::Result<Tensor, GraphError> {
    if logits.elem_count() != targets.len() {
        let (expected, got) = (logits.elem_count(), targets.len());
        return Err(GraphError::Count { what: "targets", of: "numbers", expected, got });
    }
    if let Some(position) = targets.iter().position(|t| !(0.0..=1.0).contains(t)) {
        return Err(GraphError::Number { what: "targets", position, expected: "in [0, 1]", got: targets[position] });
    }
    let targets = targets.to_vec();
    let kernel = move |z: &[f32], d: &mut [f32]| kernels::bce_with_logits(z, &targets, 1.0, d);
    Ok(logits.contiguous()?.apply_op1(SumLoss::new("bce-with-logits", kernel))?)
}

/// Hinge: `Σ max(0, target - x)`; margins of any shape → scalar. At the kink the slope is 0.
///
/// # Errors
/// Margins that are not f32.
pub fn hinge(margins: &Tensor, target: f32) -> std::result::Result<Tensor, GraphError> {
    let kernel = move |x: &[f32], d: &mut [f32]| kernels::hinge(x, target, 1.0, d);
    Ok(margins.contiguous()?.apply_op1(SumLoss::new("hinge", kernel))?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, leaf, tensor};
    use super::super::to_vec;
    use super::*;

    /// ln(1 + eˣ) of candle ops, for moderate x.
    fn softplus(x: &Tensor) -> Result<Tensor> {
        (x.exp()? + 1.0)?.log()
    }

    #[test]
    fn bpr_equals_its_composition() {
        check(
            &[leaf("p", &[70]), leaf("n", &[70])],
            |x| Ok((bpr(&x[0], &x[1])? * 0.3)?),
            |x| Ok((softplus(&(&x[1] - &x[0])?)?.sum_all()? * 0.3)?),
        );
    }

    #[test]
    fn bce_equals_its_composition() {
        let targets: Vec<f32> = (0..66).map(|i| (i % 4) as f32 / 3.0).collect();
        check(
            &[leaf("z", &[6, 11])],
            |x| bce_with_logits(&x[0], &targets),
            |x| Ok((softplus(&x[0])? - (&x[0] * tensor(&targets, &[6, 11]))?)?.sum_all()?),
        );
    }

    #[test]
    fn hinge_equals_its_composition() {
        check(&[leaf("x", &[40])], |x| hinge(&x[0], 0.5), |x| Ok(x[0].affine(-1.0, 0.5)?.relu()?.sum_all()?));
    }

    #[test]
    fn losses_and_gradients_are_finite_at_100() {
        let x = candle_core::Var::from_tensor(&tensor(&[100.0, -100.0], &[2])).unwrap();
        for loss in [
            bpr(&x, &tensor(&[-100.0, 100.0], &[2])).unwrap(),
            bce_with_logits(&x, &[0.0, 1.0]).unwrap(),
            hinge(&x, 1.0).unwrap(),
        ] {
            let grads = loss.backward().unwrap();
            let slope = to_vec(grads.get(&x).unwrap()).unwrap();
            let value = loss.to_scalar::<f32>().unwrap();
            assert!(value.is_finite() && slope.iter().all(|s| s.is_finite()), "{value} {slope:?}");
            // Each has one sample that is wrong by 100 at least.
            assert!(value >= 100.0 && slope.iter().any(|s| s.abs() == 1.0), "{value} {slope:?}");
        }
    }

    #[test]
    fn pairs_of_two_scores_give_the_value_worked_by_hand() {
        // Margins 1 and -1: ln(1 + e⁻¹) + ln(1 + e) = 1.6265234.
        let loss = bpr(&tensor(&[2.0, 0.5], &[2]), &tensor(&[1.0, 1.5], &[2])).unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() - 1.626_523_4).abs() < 1e-6);
    }

    #[test]
    fn targets_that_are_no_probabilities_are_refused() {
        let z = tensor(&[0.0, 1.0], &[2]);
        let error = bce_with_logits(&z, &[0.5, 1.5]).unwrap_err().to_string();
        assert_eq!(error, "targets: at position 1 found 1.5, expected in [0, 1]");
        assert!(bce_with_logits(&z, &[0.5]).is_err());
        assert!(bce_with_logits(&z, &[f32::NAN, 0.0]).is_err());
    }
}
