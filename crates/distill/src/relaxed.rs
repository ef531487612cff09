//! Likelihoods of a list's order: relaxed ranking (RRD), its ablations, and ListMLE.

use rectify_tensor::kernels;
use rectify_tensor::kernels::simd::kernel;
use serde::{Deserialize, Serialize};

use crate::error::{check_len, check_rows};
use crate::math::{Real, max_of, min_of, sum_by};
use crate::{ConfigError, LossError};

/// How many items a list of [`relaxed_ranking`] has of each kind; interesting ones come first, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListShape {
    /// Interesting items (`K`), at least 1.
    pub n_interesting: usize,
    /// Uninteresting items (`L`), may be 0.
    pub n_uninteresting: usize,
}

impl ListShape {
    /// Length of a list, `K + L`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.n_interesting + self.n_uninteresting
    }

    /// Whether lists have no items.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Relaxed ranking distillation: keeps the order of the interesting items and puts them above the others, whose own
/// order is ignored.
///
/// DE-RRD (Kang et al., CIKM 2020), Eq. 9: `p = ∏ₖ exp(aₖ) / (Σ_{i=k..K} exp aᵢ + Σ_{j=1..L} exp bⱼ)`, with the
/// student's scores `a₁ … a_K` of the interesting items in the teacher's order and `b₁ … b_L` of the others.
///
/// - **Shapes**: `scores` (users, K + L), each row `a₁ … a_K b₁ … b_L`; `grads` the same.
/// - **Returns** the sum over users of `-ln p`, in nats; **writes** `weight ·` its gradient:
///   `∂/∂aᵢ = -1 + Σ_{k≤i} exp(aᵢ) / D_k`, `∂/∂bⱼ = Σ_k exp(bⱼ) / D_k`, where `D_k` is the k-th denominator. Each row's
///   gradient sums to zero. O(K + L) a user, by one suffix sum and one prefix sum.
/// - **Edges**: no users give 0. L = 0 is [`list_mle`]. Finite for any finite scores; a NaN score makes its row NaN.
/// - **Reading**: the text prints the second sum from j = K, which counts item K twice; it starts at K + 1. The text
///   averages over the users of a batch, the authors' code sums; we sum, as the published λ are fitted to sums.
///
/// # Errors
/// K = 0, scores that are no whole rows, gradients of another size.
///
/// ```
/// use rectify_distill::{ListShape, relaxed_ranking};
///
/// let shape = ListShape { n_interesting: 3, n_uninteresting: 2 };
/// let scores = [2.0, 1.0, 0.5, /* uninteresting: */ 0.0, -1.0];
/// let mut grads = [0.0; 5];
/// let loss = relaxed_ranking(&scores, shape, 1.0, &mut grads)?;
/// assert!((loss - 1.925_135_8).abs() < 1e-6);
/// assert!(grads.iter().sum::<f32>().abs() < 1e-6);
/// # Ok::<(), rectify_distill::LossError>(())
/// ```
pub fn relaxed_ranking(scores: &[f32], shape: ListShape, weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    check_lists(scores, shape, grads)?;
    Ok(ranked_likelihood(scores, shape.len(), shape.n_interesting, shape.len(), weight, grads))
}

/// [`relaxed_ranking`] of what a student predicts, `σ(s)`, instead of its scores `s`: for students with a cross-entropy loss, as NeuMF.
///
/// All differences of predictions lie within ±1, so the loss stays near its value for equal ones, `Σₖ ln(K + L - k + 1)`, however well a list is
/// learned, and only items between certain and hopeless are moved.
///
/// - **Shapes, edges**: as [`relaxed_ranking`]; the gradients are those of the scores `s`, `σ'(s)` times those of the predictions.
/// - **Reading**: DE-RRD, section 4.2.2, has "a ranking score predicted by the student"; NeuMF predicts probabilities, BPR scores. Of scores the weight that
///   the paper finds best for NeuMF, 0.1 with a loss ten times the base loss, is no good; of predictions it is.
///
/// # Errors
/// As [`relaxed_ranking`].
///
/// ```
/// use rectify_distill::{ListShape, relaxed_ranking_of_predictions};
///
/// let shape = ListShape { n_interesting: 1, n_uninteresting: 1 };
/// let mut grads = [0.0; 2];
/// // The least loss of a pair: predictions of 1 and 0.
/// let loss = relaxed_ranking_of_predictions(&[40.0, -40.0], shape, 1.0, &mut grads)?;
/// assert!((loss - (1.0 + (-1f64).exp()).ln()).abs() < 1e-6);
/// # Ok::<(), rectify_distill::LossError>(())
/// ```
pub fn relaxed_ranking_of_predictions(
    scores: &[f32],
    shape: ListShape,
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    let mut predictions = scores.to_vec();
    kernels::sigmoid_slice(&mut predictions);
    let loss = relaxed_ranking(&predictions, shape, weight, grads)?;
    for (grad, prediction) in grads.iter_mut().zip(predictions) {
        *grad *= prediction * (1.0 - prediction);
    }
    Ok(loss)
}

/// Ablation (d) of DE-RRD, *full ranking*: the likelihood of the complete order of all K + L items.
///
/// As [`relaxed_ranking`], but the uninteresting items must stand in the teacher's order too
/// ([`DrawnLists::sort_uninteresting`](crate::sampling::DrawnLists::sort_uninteresting)). DE-RRD, section 5.3.
///
/// # Errors
/// As [`relaxed_ranking`].
pub fn full_ranking(scores: &[f32], shape: ListShape, weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    check_lists(scores, shape, grads)?;
    Ok(ranked_likelihood(scores, shape.len(), shape.len(), shape.len(), weight, grads))
}

/// Ablation (e) of DE-RRD, *interesting ranking*: the likelihood of the order of the K interesting items alone.
///
/// As [`relaxed_ranking`] with the uninteresting scores left out; their gradients are 0. DE-RRD, section 5.3.
///
/// # Errors
/// As [`relaxed_ranking`].
pub fn interesting_ranking(scores: &[f32], shape: ListShape, weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    check_lists(scores, shape, grads)?;
    Ok(ranked_likelihood(scores, shape.len(), shape.n_interesting, shape.n_interesting, weight, grads))
}

/// List-wise likelihood of an order: `-Σₖ [sₖ - ln Σ_{i≥k} exp sᵢ]`.
///
/// ListMLE (Xia et al., "Listwise approach to learning to rank", ICML 2008), Eq. 9 with φ = exp.
///
/// - **Shapes**: `scores` (lists, `list_len`), each row in the order to be learned; `grads` the same.
/// - **Returns** the sum over lists, in nats; **writes** `weight ·` its gradient.
/// - **Edges**: lists of one item have loss 0.
///
/// # Errors
/// `list_len` 0, scores that are no whole rows, gradients of another size.
pub fn list_mle(scores: &[f32], list_len: usize, weight: f32, grads: &mut [f32]) -> Result<f64, LossError> {
    full_ranking(scores, ListShape { n_interesting: list_len, n_uninteresting: 0 }, weight, grads)
}

fn check_lists(scores: &[f32], shape: ListShape, grads: &[f32]) -> Result<(), LossError> {
    ConfigError::check(shape.n_interesting > 0, "n_interesting", "at least 1", shape.n_interesting)?;
    check_rows("scores", shape.len(), scores.len())?;
    check_len("gradients of scores", scores.len(), grads.len())
}

kernel! {
    /// All three likelihoods: of each row of `len` scores, the first `used` take part, the first `ranked` in order.
    fn ranked_likelihood / ranked_likelihood_at(
        scores: &[f32], len: usize, ranked: usize, used: usize, weight: f32, grads: &mut [f32],
    ) -> f64 = ranked_likelihood_f32
}

#[inline(always)]
fn ranked_likelihood_f32<const FMA: bool>(
    scores: &[f32],
    len: usize,
    ranked: usize,
    used: usize,
    weight: f32,
    grads: &mut [f32],
) -> f64 {
    ranked_likelihood_body::<f32, FMA>(scores, len, ranked, used, weight, grads)
}

/// Lists that go through the registers side by side.
const LANES: usize = 16;

#[inline(always)]
fn ranked_likelihood_body<R: Real, const FMA: bool>(
    scores: &[R],
    len: usize,
    ranked: usize,
    used: usize,
    weight: R,
    grads: &mut [R],
) -> f64 {
    let zeros = || vec![[R::ZERO; LANES]; used];
    let mut tile = Tile { scores: zeros(), exps: zeros(), factor: [R::ZERO; LANES], ranked };
    let mut denominators = vec![R::ZERO; ranked];
    let mut total = 0.0;
    for (rows, grads) in scores.chunks(LANES * len).zip(grads.chunks_mut(LANES * len)) {
        let range = tile.load(rows, len);
        let losses = tile.run::<FMA>(weight);
        tile.store(grads, len);
        for (lane, (row, grad)) in rows.chunks_exact(len).zip(grads.chunks_exact_mut(len)).enumerate() {
            let loss = if range[lane] <= R::SAFE_RANGE {
                losses[lane]
            } else if range[lane] > R::SAFE_RANGE {
                log_domain::<R, FMA>(&row[..used], &mut denominators, weight, &mut grad[..used])
            } else {
                grad[..used].fill(range[lane]);
                range[lane]
            };
            total += loss.wide();
        }
    }
    total
}

/// One vector: a whole loop of its own, so that each becomes one instruction and none is turned inside out.
#[inline(always)]
fn lanes<R>(f: impl Fn(usize) -> R) -> [R; LANES] {
    std::array::from_fn(f)
}

/// Lists whose scores lie close together, transposed: position j of all lists is one vector, so that the running sums
/// along a list are plain vector additions. Every exponential is taken once, relative to the list's largest score.
struct Tile<R> {
    /// Scores less the largest of their list, then inverse denominators (used, lists).
    scores: Vec<[R; LANES]>,
    /// Their exponentials, then gradients (used, lists).
    exps: Vec<[R; LANES]>,
    /// What the exponentials of unranked scores are still to be multiplied by (lists).
    factor: [R; LANES],
    ranked: usize,
}

impl<R: Real> Tile<R> {
    /// Takes up to 16 lists; returns the range of the scores of each, NaN for a list with a NaN.
    #[inline(always)]
    fn load(&mut self, rows: &[R], len: usize) -> [R; LANES] {
        let mut range = [R::ZERO; LANES];
        for (lane, row) in rows.chunks_exact(len).enumerate() {
            let row = &row[..self.scores.len()];
            let max = max_of(row);
            // Extremes pass over NaN, a sum does not.
            let sum = sum_by(row, |s| s - max);
            range[lane] = if sum.wide().is_nan() { sum } else { max - min_of(row) };
            for (vector, s) in self.scores.iter_mut().zip(row) {
                vector[lane] = *s - max;
            }
        }
        range
    }

    /// Losses; leaves the gradients where the exponentials were, but for a factor of the unranked ones.
    #[inline(always)]
    fn run<const FMA: bool>(&mut self, weight: R) -> [R; LANES] {
        for (e, s) in self.exps.as_flattened_mut().iter_mut().zip(self.scores.as_flattened()) {
            *e = s.exp::<FMA>();
        }
        let mut suffix = [R::ZERO; LANES];
        for e in &self.exps[self.ranked..] {
            suffix = lanes(|l| suffix[l] + e[l]);
        }
        let mut losses = [R::ZERO; LANES];
        for (e, s) in self.exps[..self.ranked].iter().zip(&mut self.scores).rev() {
            suffix = lanes(|l| suffix[l] + e[l]);
            let logs = lanes(|l| suffix[l].ln::<FMA>());
            losses = lanes(|l| losses[l] + (logs[l] - s[l]));
            *s = lanes(|l| R::ONE / suffix[l]);
        }
        let mut prefix = [R::ZERO; LANES];
        for (e, inverse) in self.exps[..self.ranked].iter_mut().zip(&self.scores) {
            prefix = lanes(|l| prefix[l] + inverse[l]);
            *e = lanes(|l| weight * (e[l] * prefix[l] - R::ONE));
        }
        self.factor = lanes(|l| weight * prefix[l]);
        losses
    }

    /// Writes the gradients; those of unused scores are 0.
    #[inline(always)]
    fn store(&self, grads: &mut [R], len: usize) {
        let (ranked, tail) = self.exps.split_at(self.ranked);
        for (lane, grad) in grads.chunks_exact_mut(len).enumerate() {
            let (first, rest) = grad.split_at_mut(ranked.len());
            let (second, unused) = rest.split_at_mut(tail.len());
            for (g, vector) in first.iter_mut().zip(ranked) {
                *g = vector[lane];
            }
            for (g, vector) in second.iter_mut().zip(tail) {
                *g = vector[lane] * self.factor[lane];
            }
            unused.fill(R::ZERO);
        }
    }
}

/// One list of far-apart scores: suffix log-sum-exp of scores, prefix log-sum-exp of negative log-denominators.
#[inline(always)]
fn log_domain<R: Real, const FMA: bool>(row: &[R], denominators: &mut [R], weight: R, grad: &mut [R]) -> R {
    let (ranked, tail) = row.split_at(denominators.len());
    let mut max = max_of(tail);
    let mut sum = sum_by(tail, |s| (s - max).exp::<FMA>());
    for (d, s) in denominators.iter_mut().zip(ranked).rev() {
        if *s > max {
            sum = sum * (max - *s).exp::<FMA>() + R::ONE;
            max = *s;
        } else {
            sum += (*s - max).exp::<FMA>();
        }
        *d = max + sum.ln::<FMA>();
    }
    let mut prefix = R::of(f64::NEG_INFINITY);
    let mut loss = R::ZERO;
    let (grad_ranked, grad_tail) = grad.split_at_mut(ranked.len());
    for ((g, s), d) in grad_ranked.iter_mut().zip(ranked).zip(&*denominators) {
        loss += *d - *s;
        // Denominators fall with k, so the newest term is the largest.
        prefix = (R::ONE + (prefix + *d).exp::<FMA>()).ln::<FMA>() - *d;
        *g = weight * ((*s + prefix).exp::<FMA>() - R::ONE);
    }
    for (g, s) in grad_tail.iter_mut().zip(tail) {
        *g = weight * (*s + prefix).exp::<FMA>();
    }
    loss
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rectify_tensor::kernels::Level;

    use super::*;
    use crate::math::testing::{assert_close, assert_gradient, narrow, normals};

    const ORACLE: [f32; 5] = [2.0, 1.0, 0.5, 0.0, -1.0];
    const SHAPE: ListShape = ListShape { n_interesting: 3, n_uninteresting: 2 };

    fn loss_of(scores: &[f32]) -> f64 {
        relaxed_ranking(scores, SHAPE, 1.0, &mut [0.0; 5]).unwrap()
    }

    /// The formula as printed (with the sum from K + 1), term by term.
    fn naive(row: &[f64], ranked: usize, used: usize) -> f64 {
        (0..ranked).map(|k| row[k..used].iter().map(|s| (s - row[k]).exp()).sum::<f64>().ln()).sum()
    }

    #[test]
    fn the_worked_example_of_five_items_comes_out() {
        let mut grads = [0.0; 5];
        let loss = relaxed_ranking(&ORACLE, SHAPE, 1.0, &mut grads).unwrap();
        assert!((loss - 1.925_135_8).abs() < 5e-7, "{loss}");
        assert_close(&grads, &[-0.436_979, -0.318_885, -0.040_334, 0.582_067, 0.214_131], 1e-6);
        assert!(grads.iter().sum::<f32>().abs() < 1e-6);
        // Term by term: a list of one ranked item against those behind it.
        for (k, want) in [(0, 0.574_437_9), (1, 0.746_567_3), (2, 0.604_130_6)] {
            let shape = ListShape { n_interesting: 1, n_uninteresting: 4 - k };
            let term = relaxed_ranking(&ORACLE[k..], shape, 1.0, &mut grads[k..]).unwrap();
            assert!((term - want).abs() < 2e-7, "{term}");
        }
    }

    #[test]
    fn shifting_all_scores_or_swapping_uninteresting_ones_changes_nothing_and_swapping_interesting_ones_does() {
        assert!((loss_of(&ORACLE.map(|s| s + 10.0)) - 1.925_135_8).abs() < 2e-6);
        assert!((loss_of(&[2.0, 1.0, 0.5, -1.0, 0.0]) - 1.925_135_8).abs() < 5e-7);
        assert!((loss_of(&[1.0, 2.0, 0.5, 0.0, -1.0]) - 2.520_918_1).abs() < 5e-7);
    }

    #[test]
    fn the_denominator_does_not_count_item_k_twice() {
        let literal: f64 = (0..3)
            .map(|k| {
                let interesting: f64 = ORACLE[k..3].iter().map(|s| f64::from(*s).exp()).sum();
                let others: f64 = ORACLE[2..].iter().map(|s| f64::from(*s).exp()).sum();
                (interesting + others).ln() - f64::from(ORACLE[k])
            })
            .sum();
        assert!((literal - 2.732_196_9).abs() < 1e-6);
        assert!((loss_of(&ORACLE) - literal).abs() > 0.5);
    }

    #[test]
    fn one_item_of_each_kind_is_bpr_and_equal_scores_give_factorials() {
        let pair = ListShape { n_interesting: 1, n_uninteresting: 1 };
        let loss = relaxed_ranking(&[1.5, -0.5], pair, 1.0, &mut [0.0; 2]).unwrap();
        assert!((loss - 0.126_928_0).abs() < 1e-7);
        let four = ListShape { n_interesting: 2, n_uninteresting: 2 };
        let loss = relaxed_ranking(&[0.3; 4], four, 1.0, &mut [0.0; 4]).unwrap();
        assert!((loss - (4f64.ln() + 3f64.ln())).abs() < 1e-6);
    }

    #[test]
    fn predictions_are_ranked_as_their_formula_says_and_gradients_are_those_of_the_scores() {
        let loss_at = |scores: &[f64]| {
            let predictions: Vec<f64> = scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).collect();
            naive(&predictions, 3, 5)
        };
        let mut grads = [0.0; 5];
        let loss = relaxed_ranking_of_predictions(&ORACLE, SHAPE, 2.0, &mut grads).unwrap();
        let scores = ORACLE.map(f64::from);
        assert!((loss - loss_at(&scores)).abs() < 1e-6, "{loss}");
        for (i, grad) in grads.into_iter().enumerate() {
            let at = |step: f64| {
                let mut moved = scores;
                moved[i] += step;
                loss_at(&moved)
            };
            let slope = 2.0 * (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!((f64::from(grad) - slope).abs() < 1e-6, "{i}: {grad}, {slope}");
        }
        // Equal predictions, and scores so far out that predictions are 0 and 1.
        let loss = relaxed_ranking_of_predictions(&[0.7; 5], SHAPE, 1.0, &mut grads).unwrap();
        assert!((loss - 60f64.ln()).abs() < 1e-6, "ln 5 + ln 4 + ln 3, not {loss}");
        let far = [f32::MAX, 1e3, -1e3, -1e30, f32::MIN];
        assert!(relaxed_ranking_of_predictions(&far, SHAPE, 1.0, &mut grads).unwrap().is_finite());
        assert_eq!(grads, [0.0; 5]);
        assert!(relaxed_ranking_of_predictions(&far[1..], SHAPE, 1.0, &mut grads).is_err());
    }

    #[test]
    fn ablations_d_and_e_give_their_published_values() {
        let mut grads = [9.0; 5];
        assert!((full_ranking(&ORACLE, SHAPE, 1.0, &mut grads).unwrap() - 2.238_397_5).abs() < 5e-7);
        assert!((list_mle(&ORACLE, 5, 1.0, &mut grads).unwrap() - 2.238_397_5).abs() < 5e-7);
        assert!((interesting_ranking(&ORACLE, SHAPE, 1.0, &mut grads).unwrap() - 0.938_445_8).abs() < 5e-7);
        assert_eq!(grads[3..], [0.0, 0.0]);
    }

    #[test]
    fn all_three_gradients_match_central_differences() {
        for (k, used, len) in [(3, 5, 5), (5, 5, 5), (3, 3, 5), (1, 40, 40), (40, 80, 80)] {
            for spread in [1.0, 100.0] {
                let row: Vec<f64> = normals("row", len).iter().map(|x| x * spread).collect();
                // Far apart scores make terms of which differences see nothing but rounding.
                let mut grads = vec![0.0; len];
                let loss = ranked_likelihood_body::<f64, false>(&row, len, k, used, 1.0, &mut grads);
                assert!((loss - naive(&row, k, used)).abs() <= 1e-12 * loss.max(1.0));
                assert_gradient(&row, &grads, |row| naive(row, k, used));
            }
        }
    }

    #[test]
    fn every_level_and_both_paths_agree_with_double_precision() {
        for (k, used, len) in [(3, 5, 5), (17, 17, 17), (40, 80, 80), (16, 16, 33)] {
            for spread in [0.1, 3.0, 12.0, 40.0] {
                let scores: Vec<f64> = normals("scores", 37 * len).iter().map(|x| x * spread).collect();
                let narrow = narrow(&scores);
                let wide: Vec<f64> = narrow.iter().map(|x| f64::from(*x)).collect();
                let mut want = vec![0.0; wide.len()];
                let want_loss = ranked_likelihood_body::<f64, false>(&wide, len, k, used, 0.5, &mut want);
                for level in [Level::Scalar, Level::Avx2, Level::Avx512] {
                    let mut grads = vec![f32::NAN; narrow.len()];
                    let loss = ranked_likelihood_at(level, &narrow, len, k, used, 0.5, &mut grads);
                    assert!((loss - want_loss).abs() <= 1e-5 * want_loss.max(1.0), "{loss} against {want_loss}");
                    assert_close(&grads, &want, if spread > 10.0 { 2e-4 } else { 1e-5 });
                }
            }
        }
    }

    #[test]
    fn scores_of_plus_and_minus_100_stay_finite() {
        for scores in [[100.0, -100.0, 100.0, -100.0, 100.0], [-100.0, 100.0, -100.0, 100.0, -100.0], [100.0; 5]] {
            for loss in [relaxed_ranking, full_ranking, interesting_ranking] {
                let mut grads = [f32::NAN; 5];
                let value = loss(&scores, SHAPE, 1.0, &mut grads).unwrap();
                assert!(value.is_finite() && grads.iter().all(|g| g.is_finite()), "{value} {grads:?}");
                let sum: f32 = grads.iter().sum();
                assert!(sum.abs() < 1e-4, "{sum}");
            }
        }
    }

    #[test]
    fn a_nan_score_spoils_its_own_list_alone() {
        for at in 0..5 {
            let mut scores = [ORACLE; 3].concat();
            scores[5 + at] = f32::NAN;
            let mut grads = [0.0; 15];
            assert!(relaxed_ranking(&scores, SHAPE, 1.0, &mut grads).unwrap().is_nan());
            assert!(grads[5..10].iter().all(|g| g.is_nan()), "{grads:?}");
            let mut alone = [0.0; 5];
            relaxed_ranking(&ORACLE, SHAPE, 1.0, &mut alone).unwrap();
            assert_eq!((&grads[..5], &grads[10..]), (&alone[..], &alone[..]));
        }
    }

    #[test]
    fn no_users_give_no_loss_and_wrong_shapes_are_errors() {
        assert_eq!(relaxed_ranking(&[], SHAPE, 1.0, &mut []), Ok(0.0));
        assert!(matches!(
            relaxed_ranking(&[0.0; 7], SHAPE, 1.0, &mut [0.0; 7]),
            Err(LossError::Rows { row: 5, got: 7, .. })
        ));
        assert!(matches!(relaxed_ranking(&[0.0; 5], SHAPE, 1.0, &mut [0.0; 4]), Err(LossError::Shape { .. })));
        let none = ListShape { n_interesting: 0, n_uninteresting: 2 };
        assert!(matches!(relaxed_ranking(&[0.0; 2], none, 1.0, &mut [0.0; 2]), Err(LossError::Config(_))));
    }

    proptest! {
        #[test]
        fn permuting_uninteresting_items_leaves_loss_and_gradient_unchanged(
            scores in proptest::collection::vec(-9.0f32..9.0, 9), seed: u64,
        ) {
            let shape = ListShape { n_interesting: 4, n_uninteresting: 5 };
            let mut order: Vec<usize> = (4..9).collect();
            rectify_core::rng::Seed(seed).rng().shuffle(&mut order);
            let permuted: Vec<f32> = scores[..4].iter().copied().chain(order.iter().map(|i| scores[*i])).collect();
            let (mut a, mut b) = ([0.0; 9], [0.0; 9]);
            let before = relaxed_ranking(&scores, shape, 1.0, &mut a).unwrap();
            let after = relaxed_ranking(&permuted, shape, 1.0, &mut b).unwrap();
            prop_assert!((before - after).abs() < 1e-5 * before.max(1.0));
            for (j, i) in order.iter().enumerate() {
                prop_assert!((a[*i] - b[4 + j]).abs() < 1e-5);
            }
            prop_assert!(a.iter().sum::<f32>().abs() < 1e-5);
        }
    }
}
