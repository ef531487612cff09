//! The one likelihood behind all of them: forward and gradient of many lists at once.

use rectify_tensor::kernels::simd::kernel;

use crate::math::{Real, max_of, min_of, sum_by};

kernel! {
    /// All three likelihoods: of each row of `len` scores, the first `used` take part, the first `ranked` in order.
    pub(super) fn ranked_likelihood / ranked_likelihood_at(
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
pub(super) mod tests {
    use rectify_tensor::kernels::Level;

    use super::*;
    use crate::math::testing::{assert_close, assert_gradient, narrow, normals};

    /// The formula as printed (with the sum from K + 1), term by term.
    pub(in crate::relaxed) fn naive(row: &[f64], ranked: usize, used: usize) -> f64 {
        (0..ranked).map(|k| row[k..used].iter().map(|s| (s - row[k]).exp()).sum::<f64>().ln()).sum()
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
}
