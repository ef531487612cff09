//! Likelihoods of a list's order: relaxed ranking (RRD), its ablations, and ListMLE.

mod likelihood;
#[cfg(test)]
mod tests;

use rectify_tensor::kernels;
use serde::{Deserialize, Serialize};

use crate::error::{check_len, check_rows};
use crate::{ConfigError, LossError};
use likelihood::ranked_likelihood;

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
    of_predictions(relaxed_ranking, scores, shape, weight, grads)
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

/// Ablation (d) for students that predict probabilities: [`full_ranking`] of predictions, as [`relaxed_ranking_of_predictions`].
///
/// # Errors
/// As [`relaxed_ranking`].
pub fn full_ranking_of_predictions(
    scores: &[f32],
    shape: ListShape,
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    of_predictions(full_ranking, scores, shape, weight, grads)
}

/// Ablation (e) for students that predict probabilities: [`interesting_ranking`] of predictions, as
/// [`relaxed_ranking_of_predictions`].
///
/// # Errors
/// As [`relaxed_ranking`].
pub fn interesting_ranking_of_predictions(
    scores: &[f32],
    shape: ListShape,
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    of_predictions(interesting_ranking, scores, shape, weight, grads)
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

/// What all of them look like: scores, shape, weight, gradients.
type Likelihood = fn(&[f32], ListShape, f32, &mut [f32]) -> Result<f64, LossError>;

/// A loss of `σ(s)`, and its gradients with respect to `s`.
fn of_predictions(
    loss: Likelihood,
    scores: &[f32],
    shape: ListShape,
    weight: f32,
    grads: &mut [f32],
) -> Result<f64, LossError> {
    let mut predictions = scores.to_vec();
    kernels::sigmoid_slice(&mut predictions);
    let loss = loss(&predictions, shape, weight, grads)?;
    for (grad, prediction) in grads.iter_mut().zip(predictions) {
        *grad *= prediction * (1.0 - prediction);
    }
    Ok(loss)
}

fn check_lists(scores: &[f32], shape: ListShape, grads: &[f32]) -> Result<(), LossError> {
    ConfigError::check(shape.n_interesting > 0, "n_interesting", "at least 1", shape.n_interesting)?;
    check_rows("scores", shape.len(), scores.len())?;
    check_len("gradients of scores", scores.len(), grads.len())
}
