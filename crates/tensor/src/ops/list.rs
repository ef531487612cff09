//! Short lists of scores: two softmax laws, and suffix sums of exponentials.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::loss::SumLoss;
use super::support::{matrix, output, slice, tensor_like, with_values};
use crate::{GraphError, kernels};

/// Cross-entropy of two softmax laws: `Σ_rows -Σ_j p_j ln q_j` in nats, `p = softmax(teacher / T)`,
/// `q = softmax(student / T)`; student (rows, n) → scalar.
///
/// The gradient goes to the student alone. It shrinks as 1/T² when T grows; multiply the loss by T² to make up for it, as
/// Hinton et al. 2015 do. Lists that are no law of their own (top-1 probabilities of ListNet) have T = 1.
///
/// # Errors
/// A teacher of another size, a temperature that is not above 0, or a student that is no f32 matrix.
pub fn softmax_cross_entropy(
    student: &Tensor,
    teacher: &[f32],
    temperature: f32,
) -> std::result::Result<Tensor, GraphError> {
    let (_, width) = matrix("student", student)?;
    if teacher.len() != student.elem_count() {
        let (expected, got) = (student.elem_count(), teacher.len());
        return Err(GraphError::Count { what: "teacher", of: "numbers", expected, got });
    }
    check_temperature(temperature)?;
    let teacher = teacher.to_vec();
    let kernel = move |s: &[f32], d: &mut [f32]| kernels::softmax_cross_entropy(s, &teacher, width, temperature, d);
    Ok(student.contiguous()?.apply_op1(SumLoss::new("softmax-cross-entropy", kernel))?)
}

pub(super) fn check_temperature(temperature: f32) -> std::result::Result<(), GraphError> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(());
    }
    let expected = "a finite number above 0";
    Err(GraphError::Number { what: "temperature", position: 0, expected, got: temperature })
}

struct SuffixLogSumExp {
    sizes: (usize, usize),
}

impl CustomOp2 for SuffixLogSumExp {
    fn name(&self) -> &'static str {
        "suffix-log-sum-exp"
    }

    fn cpu_fwd(&self, sa: &CpuStorage, la: &Layout, sb: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (slice(sa, la)?, slice(sb, lb)?);
        let mut out = vec![0.0; a.len()];
        kernels::suffix_log_sum_exp(a, b, self.sizes, &mut out);
        Ok(output(out, la.shape().clone()))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, out: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut da, mut db) = (vec![0.0; a.elem_count()], vec![0.0; b.elem_count()]);
        with_values(a, |a| {
            with_values(b, |b| {
                with_values(out, |out| {
                    with_values(grad, |g| {
                        let forward = (a, b, out);
                        kernels::suffix_log_sum_exp_backward(forward, self.sizes, g, &mut da, &mut db);
                        Ok(())
                    })
                })
            })
        })?;
        Ok((Some(tensor_like(da, a)?), Some(tensor_like(db, b)?)))
    }
}

/// `out[k] = ln(Σ_{i>=k} exp a[i] + Σ_j exp b[j])` of each row; a (rows, K), b (rows, L) → (rows, K).
///
/// All denominators of a Plackett-Luce law over the list a, with b behind it: the relaxed ranking loss of DE-RRD (Kang et
/// al., CIKM 2020, Eq. 9) is `Σ (suffix_log_sum_exp(a, b) - a)`, ListMLE is the same with L = 0.
///
/// # Errors
/// Two numbers of rows, or tensors that are no f32 matrices.
pub fn suffix_log_sum_exp(a: &Tensor, b: &Tensor) -> std::result::Result<Tensor, GraphError> {
    let ((rows, k), (b_rows, l)) = (matrix("a", a)?, matrix("b", b)?);
    if rows != b_rows {
        return Err(GraphError::Count { what: "b", of: "rows", expected: rows, got: b_rows });
    }
    Ok(a.contiguous()?.apply_op2(&b.contiguous()?, SuffixLogSumExp { sizes: (k, l) })?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, leaf, tensor};
    use super::super::to_vec;
    use super::*;
    use candle_core::{D, Var};

    /// RRD of one user, with its gradient over (a, b).
    fn rrd(a: &[f32], b: &[f32]) -> (f32, Vec<f32>) {
        let a = Var::from_tensor(&tensor(a, &[1, a.len()])).unwrap();
        let b = Var::from_tensor(&tensor(b, &[1, b.len()])).unwrap();
        let loss = (suffix_log_sum_exp(&a, &b).unwrap() - a.as_tensor()).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let mut d = to_vec(grads.get(&a).unwrap()).unwrap();
        d.extend(to_vec(grads.get(&b).unwrap()).unwrap());
        (loss.to_scalar().unwrap(), d)
    }

    #[test]
    fn relaxed_ranking_gives_the_values_worked_by_hand() {
        let (loss, d) = rrd(&[2.0, 1.0, 0.5], &[0.0, -1.0]);
        assert!((loss - 1.925_135_8).abs() < 1e-6, "{loss}");
        for (got, want) in d.iter().zip([-0.436_979, -0.318_885, -0.040_334, 0.582_067, 0.214_131]) {
            assert!((got - want).abs() < 2e-6, "{d:?}");
        }
        assert!(d.iter().sum::<f32>().abs() < 1e-6);
        // All scores + 10; b swapped; a₁ and a₂ swapped; K = L = 1; all equal.
        for (a, b, want) in [
            (&[12.0, 11.0, 10.5][..], &[10.0, 9.0][..], 1.925_135_8),
            (&[2.0, 1.0, 0.5], &[-1.0, 0.0], 1.925_135_8),
            (&[1.0, 2.0, 0.5], &[0.0, -1.0], 2.520_918_1),
            (&[1.5], &[-0.5], 0.126_928),
            (&[0.3, 0.3], &[0.3, 0.3], 2.484_906_6),
        ] {
            assert!((rrd(a, b).0 - want).abs() < 5e-6, "{a:?} {b:?}");
        }
    }

    #[test]
    fn suffix_sums_equal_their_composition() {
        check(
            &[leaf("a", &[3, 5]), leaf("b", &[3, 4])],
            |x| Ok((suffix_log_sum_exp(&x[0], &x[1])? * &x[0])?.sum_all()?),
            |x| {
                let mut columns = vec![];
                for k in 0..5 {
                    let all = Tensor::cat(&[&x[0].narrow(1, k, 5 - k)?, &x[1]], 1)?;
                    columns.push(all.exp()?.sum_keepdim(1)?.log()?);
                }
                Ok((Tensor::cat(&columns, 1)? * &x[0])?.sum_all()?)
            },
        );
    }

    #[test]
    fn two_laws_equal_their_composition() {
        let teacher = to_vec(&leaf("teacher", &[4, 6])).unwrap();
        check(
            &[leaf("student", &[4, 6])],
            |x| softmax_cross_entropy(&x[0], &teacher, 2.0),
            |x| {
                let p = candle_nn::ops::softmax(&(tensor(&teacher, &[4, 6]) / 2.0)?, D::Minus1)?;
                let q = candle_nn::ops::log_softmax(&(&x[0] / 2.0)?, D::Minus1)?;
                Ok((p * q)?.sum_all()?.neg()?)
            },
        );
    }

    #[test]
    fn lists_are_finite_at_100() {
        let (loss, d) = rrd(&[-100.0, 100.0], &[100.0, -100.0]);
        // The first chosen is 200 below two equals, the second is one of them.
        assert!((loss - (200.0 + 2.0 * 2f32.ln())).abs() < 1e-4, "{loss}");
        assert!(d.iter().all(|x| x.is_finite()), "{d:?}");
        let s = Var::from_tensor(&tensor(&[100.0, -100.0], &[1, 2])).unwrap();
        let loss = softmax_cross_entropy(&s, &[-100.0, 100.0], 1.0).unwrap();
        assert!((loss.to_scalar::<f32>().unwrap() - 200.0).abs() < 1e-3);
        assert_eq!(to_vec(loss.backward().unwrap().get(&s).unwrap()).unwrap(), [1.0, -1.0]);
    }

    #[test]
    fn a_temperature_of_zero_is_refused() {
        let s = tensor(&[0.0, 1.0], &[1, 2]);
        let error = softmax_cross_entropy(&s, &[0.0, 1.0], 0.0).unwrap_err().to_string();
        assert_eq!(error, "temperature: at position 0 found 0, expected a finite number above 0");
    }
}
