//! Losses on one item at a time: knowledge (KD), collaborative (CD) and ranking distillation (RD).

use rectify_tensor::kernels;
use serde::{Deserialize, Serialize};

use crate::error::{check_len, check_rows};
use crate::math::Real;
use crate::{ConfigError, LossError};

/// Knowledge distillation with soft labels: binary cross entropy against the teacher's softened probabilities.
///
/// Hinton et al., "Distilling the knowledge in a neural network" (2015), section 2, for binary relevance:
/// `T² Σ -[q ln σ(s/T) + (1 - q) ln(1 - σ(s/T))]` with `q = σ(t / T)`. The factor T² keeps gradients alike at all T.
///
/// - **Shapes**: `student`, `teacher` (logits) and `grads` (n).
/// - **Returns** the sum over items, in nats; **writes** `weight ·` its gradient, `T (σ(s/T) - q)`.
/// - **Edges**: no items give 0; finite for any finite logits. T = 1 is [`collaborative`] without bias.
///
/// # Errors
/// A temperature that is not positive and finite; sizes that differ.
pub fn knowledge(
    student: &[f32],
    teacher: &[f32],
    temperature: f32,
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    check_temperature("temperature", temperature.wide())?;
    check_len("teacher logits", student.len(), teacher.len())?;
    check_len("gradients of scores", student.len(), grads.len())?;
    let scale = 1.0 / temperature;
    let mut total = 0.0;
    for ((s, t), g) in student.iter().zip(teacher).zip(grads) {
        let (loss, slope) = soft_label(s * scale, Real::sigmoid(t * scale));
        total += loss.wide();
        *g = weight * temperature * slope;
    }
    Ok(total * (temperature * temperature).wide())
}

/// The teacher's soft targets of collaborative distillation: `q = σ(t / temperature + bias)`.
///
/// CD (Lee et al., ICDM 2019), section III.B. **Shapes**: `teacher` (logits) and `targets` (n). The public default is
/// temperature 1 and bias 0; temperature 2 occurs in re-implementations.
///
/// # Errors
/// A temperature that is not positive and finite; a bias that is not finite; sizes that differ.
pub fn soft_targets(teacher: &[f32], temperature: f32, bias: f32, targets: &mut [f32]) -> Result<(), LossError> {
    check_temperature("temperature", temperature.wide())?;
    ConfigError::check(bias.is_finite(), "bias", "finite", bias)?;
    check_len("targets", teacher.len(), targets.len())?;
    for (q, t) in targets.iter_mut().zip(teacher) {
        *q = t / temperature + bias;
    }
    kernels::sigmoid_slice(targets);
    Ok(())
}

/// Collaborative distillation: binary cross entropy against soft targets on drawn, unobserved items.
///
/// CD (Lee et al., ICDM 2019), as DE-RRD Eq. 3: `-Σ [q ln σ(s) + (1 - q) ln(1 - σ(s))]`.
///
/// - **Shapes**: `scores` (before the sigmoid), `targets` ([`soft_targets`], in `[0, 1]`) and `grads` (n).
/// - **Returns** the sum over items, in nats; **writes** `weight ·` its gradient, `σ(s) - q`.
/// - **Edges**: no items give 0; finite for any finite scores.
/// - **Which items**: [`ListSamplerConfig::collaborative`](crate::sampling::ListSamplerConfig::collaborative) draws them
///   by rank, from the teacher's [`Rankings`](crate::sampling::Rankings) (teacher-guided, the default here) or from the
///   student's own, made anew every few epochs (student-guided). The DE-RRD paper does not say which it compares with.
///
/// # Errors
/// Sizes that differ.
pub fn collaborative(scores: &[f32], targets: &[f32], weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    check_len("targets", scores.len(), targets.len())?;
    check_len("gradients of scores", scores.len(), grads.len())?;
    Ok(kernels::bce_with_logits(scores, targets, weight, grads))
}

/// Cross entropy of a logit against a soft label, and its slope. `softplus(s) - q s` is its stable form.
#[inline(always)]
fn soft_label<R: Real>(s: R, q: R) -> (R, R) {
    (s.softplus() - q * s, s.sigmoid() - q)
}

/// Ranking distillation: the teacher's best unobserved items as extra, weighted positives.
///
/// RD (Tang and Wang, KDD 2018), Eq. 4, as DE-RRD Eq. 2: `-Σₖ wₖ ln σ(s(u, πₖ))`.
///
/// - **Shapes**: `scores` (before the sigmoid), `weights` ([`RankWeights::weights_into`]) and `grads` (users · K).
/// - **Returns** the sum, in nats; **writes** `weight ·` its gradient, `-wₖ σ(-s)`. Weights carry no gradient.
/// - **Edges**: no items give 0; finite for any finite scores.
///
/// # Errors
/// Sizes that differ.
pub fn ranking_distillation(scores: &[f32], weights: &[f32], weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    check_len("weights", scores.len(), weights.len())?;
    check_len("gradients of scores", scores.len(), grads.len())?;
    let mut total = 0.0;
    for ((s, w), g) in scores.iter().zip(weights).zip(grads) {
        let (loss, slope) = weighted_positive(*s, *w);
        total += loss.wide();
        *g = weight * slope;
    }
    Ok(total)
}

#[inline(always)]
fn weighted_positive<R: Real>(s: R, w: R) -> (R, R) {
    (w * (-s).softplus(), -w * (-s).sigmoid())
}

/// How [`ranking_distillation`] weighs the teacher's best K items.
///
/// Ranking Distillation (Tang and Wang, KDD 2018), section 3.3:
/// - static, Eq. 7: `wₖ = exp(-k / T) / Σ`, k = 1..K;
/// - dynamic, Eqs. 8 and 9, after the warm-up: `vₖ = max(0, tanh(μ (r̂ₖ - (k - 1))))`, where the student's rank of item k
///   is estimated as `r̂ₖ = floor((I - 1) c)` from the share `c` of drawn unobserved items that outscore it. An item that
///   the student ranks high enough already is not pushed further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankWeights {
    /// Items of a user (`K`), at least 1; public default 10, DE-RRD's grid 10 to 50.
    pub n_top: usize,
    /// Sharpness of the static weights (`T`), positive; public default 1, DE-RRD's grid 1, 5, 10, 20.
    pub temperature: f64,
    /// Slope of the dynamic weights (`μ`), not negative; public default 0.1.
    pub mu: f64,
    /// Unobserved items that a rank is estimated with, at least 1; public default 100, DE-RRD's grid 50, 100.
    pub n_estimate: usize,
    /// Epochs with static weights alone; public default 10, DE-RRD's grid 30, 50, 100.
    pub warm_up_epochs: u32,
    /// Scales each user's dynamic weights to sum 1 (as the text of RD has it); the authors' code does not.
    pub renormalise: bool,
}

impl Default for RankWeights {
    fn default() -> Self {
        Self { n_top: 10, temperature: 1.0, mu: 0.1, n_estimate: 100, warm_up_epochs: 10, renormalise: false }
    }
}

impl RankWeights {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.n_top > 0, "n_top", "at least 1", self.n_top)?;
        ConfigError::check(self.n_estimate > 0, "n_estimate", "at least 1", self.n_estimate)?;
        ConfigError::check(self.mu >= 0.0 && self.mu.is_finite(), "mu", "finite and not negative", self.mu)?;
        check_temperature("temperature", self.temperature)
    }

    /// The static weights, `n_top` of them, summing to 1.
    ///
    /// # Errors
    /// A bad setting.
    pub fn static_weights(&self) -> Result<Vec<f32>, ConfigError> {
        self.validate()?;
        // Relative to k = 1, which keeps the sum above 0 at any temperature.
        let laws: Vec<f64> = (0..self.n_top).map(|k| libm::exp(-(k as f64) / self.temperature)).collect();
        let sum: f64 = laws.iter().sum();
        Ok(laws.iter().map(|law| (law / sum) as f32).collect())
    }

    /// The weights of `epoch` for a batch of users.
    ///
    /// - **Shapes**: `scores` (users, `n_top`), the student's scores of the teacher's best items, best first;
    ///   `estimates` (users, `n_estimate`), its scores of drawn unobserved items
    ///   ([`ListSamplerConfig::ranking_distillation`](crate::sampling::ListSamplerConfig::ranking_distillation)), unused
    ///   and possibly empty during warm-up; `weights` (users, `n_top`); `n_items` is the catalogue's size (`I`).
    /// - **Edges**: a user whose items all rank high enough gets weights 0, renormalised or not.
    ///
    /// # Errors
    /// A bad setting; sizes that do not agree.
    pub fn weights_into(
        &self,
        epoch: u32,
        scores: &[f32],
        estimates: &[f32],
        n_items: usize,
        weights: &mut [f32],
    ) -> Result<(), LossError> {
        let static_weights = self.static_weights()?;
        let n_users = check_rows("scores", self.n_top, scores.len())?;
        check_len("weights", scores.len(), weights.len())?;
        for row in weights.chunks_exact_mut(self.n_top) {
            row.copy_from_slice(&static_weights);
        }
        if epoch < self.warm_up_epochs {
            return Ok(());
        }
        check_len("scores of the items that ranks are estimated with", n_users * self.n_estimate, estimates.len())?;
        let rows = weights.chunks_exact_mut(self.n_top).zip(scores.chunks_exact(self.n_top));
        for ((row, scores), estimates) in rows.zip(estimates.chunks_exact(self.n_estimate)) {
            for (k, (w, s)) in row.iter_mut().zip(scores).enumerate() {
                let n_above = estimates.iter().filter(|e| *e > s).count();
                let rank = n_items.saturating_sub(1) * n_above / self.n_estimate;
                *w *= self.dynamic_weight(k, rank) as f32;
            }
            let sum: f32 = row.iter().sum();
            if self.renormalise && sum > 0.0 {
                for w in row {
                    *w /= sum;
                }
            }
        }
        Ok(())
    }

    /// `v` of the item at position `k` (from 0) that the student ranks at `rank` (from 0).
    fn dynamic_weight(&self, k: usize, rank: usize) -> f64 {
        libm::tanh(self.mu * (rank as f64 - k as f64)).max(0.0)
    }
}

fn check_temperature(field: &'static str, temperature: f64) -> Result<(), ConfigError> {
    ConfigError::check(temperature > 0.0 && temperature.is_finite(), field, "positive and finite", temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::testing::{assert_close, assert_gradient, normals};

    #[test]
    fn collaborative_distillation_gives_the_worked_example() {
        let (mut q, mut grads) = ([0.0; 2], [0.0; 2]);
        soft_targets(&[2.0, -1.0], 1.0, 0.0, &mut q).unwrap();
        assert_close(&q, &[0.880_797, 0.268_941], 1e-6);
        let loss = collaborative(&[1.0, 0.0], &q, 1.0, &mut grads).unwrap();
        assert!((loss - 1.125_611_8).abs() < 2e-7, "{loss}");
        assert_close(&grads, &[-0.149_738, 0.231_059], 1e-6);
        // Knowledge distillation at temperature 1 is the same loss.
        let mut again = [0.0; 2];
        assert!((knowledge(&[1.0, 0.0], &[2.0, -1.0], 1.0, 1.0, &mut again).unwrap() - loss).abs() < 1e-7);
        assert_close(&again, &grads.map(f64::from), 1e-7);
    }

    #[test]
    fn temperature_and_bias_move_the_targets() {
        let mut q = [0.0; 2];
        soft_targets(&[2.0, -1.0], 2.0, 0.5, &mut q).unwrap();
        assert_close(&q, &[1.0 / (1.0 + (-1.5f64).exp()), 0.5], 1e-7);
    }

    #[test]
    fn static_weights_and_their_loss_are_the_papers() {
        let config = |temperature| RankWeights { n_top: 3, temperature, ..RankWeights::default() };
        let w = config(1.0).static_weights().unwrap();
        assert_close(&w, &[0.665_241, 0.244_728, 0.090_031], 1e-6);
        assert_close(&config(10.0).static_weights().unwrap(), &[0.367_165, 0.332_225, 0.300_610], 1e-6);
        let loss = ranking_distillation(&[1.0, 0.0, -1.0], &w, 1.0, &mut [0.0; 3]).unwrap();
        assert!((loss - 0.496_261_1).abs() < 2e-7, "{loss}");
        assert_eq!(config(1e-3).static_weights().unwrap(), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn dynamic_weights_fade_out_items_that_the_student_ranks_well() {
        let config = RankWeights { n_top: 3, n_estimate: 2, ..RankWeights::default() };
        let v: Vec<f32> = [50, 1, 0].iter().enumerate().map(|(k, r)| config.dynamic_weight(k, *r) as f32).collect();
        assert_close(&v, &[0.999_909, 0.0, 0.0], 1e-6);
        // One of two drawn items outscores the first: rank floor(100 · ½) = 50; none outscores the others.
        let (scores, estimates) = ([1.0, 3.0, 3.0], [2.0, 0.0]);
        let mut weights = [0.0; 3];
        config.weights_into(10, &scores, &estimates, 101, &mut weights).unwrap();
        assert_close(&weights, &[0.665_241 * 0.999_909, 0.0, 0.0], 1e-6);
        // Before the warm-up ends, estimates are not needed.
        config.weights_into(9, &scores, &[], 101, &mut weights).unwrap();
        assert_close(&weights, &[0.665_241, 0.244_728, 0.090_031], 1e-6);
        let renormalised = RankWeights { renormalise: true, ..config };
        renormalised.weights_into(10, &scores, &estimates, 101, &mut weights).unwrap();
        assert_close(&weights, &[1.0, 0.0, 0.0], 1e-6);
        renormalised.weights_into(10, &[3.0; 3], &estimates, 101, &mut weights).unwrap();
        assert_eq!(weights, [0.0; 3]);
    }

    #[test]
    fn point_wise_gradients_match_central_differences() {
        let (s, q) = (normals("s", 9), normals("q", 9));
        let targets: Vec<f64> = q.iter().map(|q| 1.0 / (1.0 + (-q).exp())).collect();
        for pair in [soft_label::<f64>, weighted_positive::<f64>] as [fn(_, _) -> _; 2] {
            let loss = |s: &[f64]| s.iter().zip(&targets).map(|(s, q)| pair(*s, *q).0).sum();
            let grads: Vec<f64> = s.iter().zip(&targets).map(|(s, q)| pair(*s, *q).1).collect();
            assert_gradient(&s, &grads, loss);
        }
        // The temperature's chain rule, on the single-precision function itself.
        let (student, teacher) = ([0.7f32, -1.2], [1.5f32, 0.3]);
        let twin = |s: &[f64]| -> f64 {
            s.iter().zip(teacher).map(|(s, t)| 9.0 * soft_label(s / 3.0, (f64::from(t) / 3.0).sigmoid()).0).sum()
        };
        let mut grads = [0.0; 2];
        let loss = knowledge(&student, &teacher, 3.0, 1.0, &mut grads).unwrap();
        let wide = student.map(f64::from);
        assert!((loss - twin(&wide)).abs() < 1e-5);
        let exact: Vec<f64> = wide
            .iter()
            .zip(teacher)
            .map(|(s, t)| 3.0 * soft_label(s / 3.0, (f64::from(t) / 3.0).sigmoid()).1)
            .collect();
        assert_gradient(&wide, &exact, twin);
        assert_close(&grads, &exact, 1e-6);
    }

    #[test]
    fn logits_of_plus_and_minus_100_stay_finite() {
        let s = [100.0, -100.0, 100.0, -100.0];
        let t = [-100.0, 100.0, 100.0, -100.0];
        let mut g = [f32::NAN; 4];
        let mut q = [f32::NAN; 4];
        soft_targets(&t, 1.0, 0.0, &mut q).unwrap();
        for loss in [
            knowledge(&s, &t, 1.0, 1.0, &mut g).unwrap(),
            collaborative(&s, &q, 1.0, &mut g).unwrap(),
            ranking_distillation(&s, &[1.0; 4], 1.0, &mut g).unwrap(),
        ] {
            assert!((loss - 200.0).abs() < 1e-3, "{loss}");
        }
        assert!(g.iter().all(|g| g.is_finite()));
    }

    #[test]
    fn bad_settings_and_sizes_are_errors() {
        for t in [0.0, -1.0, f32::NAN] {
            assert!(matches!(knowledge(&[0.0], &[0.0], t, 1.0, &mut [0.0]), Err(LossError::Config(_))));
            assert!(matches!(soft_targets(&[0.0], t, 0.0, &mut [0.0]), Err(LossError::Config(_))));
        }
        assert!(soft_targets(&[0.0], 1.0, f32::NAN, &mut [0.0]).is_err());
        assert!(collaborative(&[0.0], &[], 1.0, &mut [0.0]).is_err());
        assert!(ranking_distillation(&[0.0], &[0.0], 1.0, &mut []).is_err());
        let fields = [
            (RankWeights { n_top: 0, ..RankWeights::default() }, "n_top"),
            (RankWeights { temperature: 0.0, ..RankWeights::default() }, "temperature"),
            (RankWeights { mu: -1.0, ..RankWeights::default() }, "mu"),
            (RankWeights { n_estimate: 0, ..RankWeights::default() }, "n_estimate"),
        ];
        for (config, field) in fields {
            assert!(config.validate().unwrap_err().to_string().starts_with(field));
        }
        let config = RankWeights { warm_up_epochs: 0, ..RankWeights::default() };
        assert!(config.weights_into(0, &[0.0; 10], &[0.0; 99], 5, &mut [0.0; 10]).is_err());
        assert!(config.weights_into(0, &[0.0; 9], &[0.0; 100], 5, &mut [0.0; 9]).is_err());
    }
}
