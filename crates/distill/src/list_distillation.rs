//! The teacher's law over a list, as a whole.

use rectify_tensor::kernels::simd::kernel;

use crate::error::check_len;
use crate::math::{Real, max_of, sum_by};
use crate::{ConfigError, LossError};

/// List-wise rank distillation: the cross entropy between the teacher's and the student's law over a list.
///
/// DGCN-BinCF (Wang et al., IJCAI 2019), Eq. 15, and LightRec (Lian et al., WWW 2020), Eq. 11:
/// `-Σ_{i∈S} softmax_S(tᵢ / T) ln softmax_S(sᵢ / T)`.
///
/// - **Shapes**: `student`, `teacher`, `grads` (n); list `j` is `offsets[j]..offsets[j + 1]`, so lists may differ in
///   length: a user's positives, or its drawn negatives.
/// - **Returns** the sum over lists, in nats; **writes** `weight ·` its gradient, `(softmax(s/T) - softmax(t/T)) / T`.
///   Multiply `weight` by T² to keep gradients alike at all temperatures.
/// - **Edges**: lists of one item or none have loss 0. Equal laws leave the teacher's entropy, with gradient 0.
/// - **Reading**: Eq. 15 sums over pairs; the softmax must run over the items of one user.
///
/// # Errors
/// A temperature that is not positive and finite; offsets that do not ascend from 0 to n; sizes that differ.
pub fn list_distillation(
    student: &[f32],
    teacher: &[f32],
    offsets: &[usize],
    temperature: f32,
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    ConfigError::check(
        temperature > 0.0 && temperature.is_finite(),
        "temperature",
        "positive and finite",
        temperature,
    )?;
    check_len("teacher scores", student.len(), teacher.len())?;
    check_len("gradients of scores", student.len(), grads.len())?;
    let n_scores = student.len();
    let ends_right = offsets.first() == Some(&0) && offsets.last() == Some(&n_scores);
    if let Some(at) = offsets.windows(2).position(|w| w[0] > w[1]) {
        return Err(LossError::Offsets { position: at + 1, n_scores });
    }
    if !ends_right {
        let position = if offsets.first() == Some(&0) { offsets.len() - 1 } else { 0 };
        return Err(LossError::Offsets { position, n_scores });
    }
    Ok(list_cross_entropy(student, teacher, offsets, temperature, weight, grads))
}

kernel! {
    fn list_cross_entropy / list_cross_entropy_at(
        student: &[f32], teacher: &[f32], offsets: &[usize], temperature: f32, weight: f32, grads: &mut [f32],
    ) -> f64 = list_cross_entropy_f32
}

#[inline(always)]
fn list_cross_entropy_f32<const FMA: bool>(
    student: &[f32],
    teacher: &[f32],
    offsets: &[usize],
    temperature: f32,
    weight: f32,
    grads: &mut [f32],
) -> f64 {
    list_cross_entropy_body::<f32, FMA>(student, teacher, offsets, temperature, weight, grads)
}

#[inline(always)]
fn list_cross_entropy_body<R: Real, const FMA: bool>(
    student: &[R],
    teacher: &[R],
    offsets: &[usize],
    temperature: R,
    weight: R,
    grads: &mut [R],
) -> f64 {
    let scale = R::ONE / temperature;
    let longest = offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    let mut law = vec![R::ZERO; longest];
    let mut total = 0.0;
    for list in offsets.windows(2).map(|w| w[0]..w[1]).filter(|list| !list.is_empty()) {
        let (s, t, g) = (&student[list.clone()], &teacher[list.clone()], &mut grads[list]);
        let law = &mut law[..s.len()];
        let (s_max, t_max) = (max_of(s), max_of(t));
        for (p, t) in law.iter_mut().zip(t) {
            *p = ((*t - t_max) * scale).exp::<FMA>();
        }
        for (q, s) in g.iter_mut().zip(s) {
            *q = ((*s - s_max) * scale).exp::<FMA>();
        }
        let (p_sum, q_sum) = (sum_by(law, |p| p), sum_by(g, |q| q));
        let log_q_sum = q_sum.ln::<FMA>();
        let mut loss = R::ZERO;
        for ((q, p), s) in g.iter_mut().zip(&*law).zip(s) {
            let p = *p / p_sum;
            loss += p * (log_q_sum - (*s - s_max) * scale);
            *q = weight * scale * (*q / q_sum - p);
        }
        total += loss.wide();
    }
    total
}

#[cfg(test)]
mod tests {
    use rectify_tensor::kernels::Level;

    use super::*;
    use crate::math::testing::{assert_close, assert_gradient, narrow, normals};

    #[test]
    fn list_distillation_gives_the_worked_examples_of_both_papers() {
        let mut grads = [0.0; 3];
        let loss = list_distillation(&[1.0, 1.0, -1.0], &[2.0, 1.0, 0.0], &[0, 3], 1.0, 1.0, &mut grads).unwrap();
        assert!((loss - 0.938_684_8).abs() < 2e-7);
        assert_close(&grads, &[-0.196_930, 0.223_582, -0.026_652], 1e-6);
        let loss = list_distillation(&[1.0, 1.0, -1.0], &[2.0, 1.0, 0.0], &[0, 3], 2.0, 4.0, &mut grads).unwrap();
        assert!((loss - 1.048_318_5).abs() < 2e-7);
        assert_close(&grads, &[-0.168_323, 0.230_246, -0.061_923], 1e-6);
        // Equal scores: the teacher's entropy.
        let loss = list_distillation(&[2.0, 1.0, 0.0], &[2.0, 1.0, 0.0], &[0, 3], 1.0, 1.0, &mut grads).unwrap();
        assert!((loss - 0.832_395_6).abs() < 2e-7);
        assert!(grads.iter().all(|g| g.abs() < 1e-7));
        // LightRec's, T = 0.5.
        let loss = list_distillation(&[0.8, 0.2, 0.4], &[1.0, 0.5, 0.0], &[0, 3], 0.5, 1.0, &mut grads).unwrap();
        assert!((loss - 0.925_613_3).abs() < 2e-7);
        assert_close(&grads, &[-0.187_966, -0.145_338, 0.333_304], 1e-6);
    }

    #[test]
    fn lists_of_one_or_no_item_have_no_loss_and_lists_do_not_mix() {
        let mut grads = [9.0; 4];
        let loss =
            list_distillation(&[5.0, 1.0, 1.0, -1.0], &[1.0, 2.0, 1.0, 0.0], &[0, 1, 1, 4], 1.0, 1.0, &mut grads)
                .unwrap();
        assert!((loss - 0.938_684_8).abs() < 2e-7);
        assert_close(&grads, &[0.0, -0.196_930, 0.223_582, -0.026_652], 1e-6);
    }

    #[test]
    fn list_distillation_gradient_matches_central_differences_and_all_levels() {
        let (s, t) = (normals("s", 23), normals("t", 23));
        let offsets = [0, 1, 18, 18, 23];
        let value = |s: &[f64]| list_cross_entropy_body::<f64, false>(s, &t, &offsets, 0.7, 1.0, &mut [0.0; 23]);
        let mut grads = [0.0; 23];
        let want = list_cross_entropy_body::<f64, false>(&s, &t, &offsets, 0.7, 1.0, &mut grads);
        assert_gradient(&s, &grads, value);
        for level in [Level::Scalar, Level::Avx2, Level::Avx512] {
            let mut got = [0.0; 23];
            let loss = list_cross_entropy_at(level, &narrow(&s), &narrow(&t), &offsets, 0.7, 1.0, &mut got);
            assert!((loss - want).abs() < 1e-5);
            assert_close(&got, &grads, 2e-6);
        }
        let mut far = [f32::NAN; 3];
        let loss =
            list_distillation(&[100.0, -100.0, 0.0], &[-100.0, 100.0, 0.0], &[0, 3], 0.1, 1.0, &mut far).unwrap();
        assert!(loss.is_finite() && far.iter().all(|g| g.is_finite()));
    }

    #[test]
    fn bad_offsets_and_temperatures_are_errors() {
        let call = |offsets: &[usize], t| list_distillation(&[0.0; 3], &[0.0; 3], offsets, t, 1.0, &mut [0.0; 3]);
        for (offsets, position) in [(&[0, 2][..], 1), (&[1, 3], 0), (&[0, 3, 2, 3], 2), (&[], 0), (&[0, 4], 1)] {
            assert_eq!(call(offsets, 1.0), Err(LossError::Offsets { position, n_scores: 3 }), "{offsets:?}");
        }
        for t in [0.0, -1.0, f32::NAN] {
            assert!(matches!(call(&[0, 3], t), Err(LossError::Config(_))));
        }
    }
}
