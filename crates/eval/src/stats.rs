//! How sure one can be: bootstrap intervals and paired tests on plain slices of per-user values.

use rayon::prelude::*;
use rectify_core::ConfigError;
use rectify_core::rng::Seed;
use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

/// Input that no statistic can be made of.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// Fewer values than the statistic needs.
    #[error("{what} needs at least {expected} values, got {got}")]
    TooFew {
        /// Which statistic.
        what: &'static str,
        /// Values needed.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// Columns or pairs of unequal length.
    #[error("paired values must be of the same users: expected {expected}, got {got}")]
    Unpaired {
        /// Length of the first.
        expected: usize,
        /// Length of the other.
        got: usize,
    },
    /// NaN or infinity.
    #[error("value {position} is not finite: {value}")]
    NotFinite {
        /// Where.
        position: usize,
        /// What stands there.
        value: f64,
    },
    /// More values than can be drawn from.
    #[error("{got} values, expected fewer than 2^32")]
    TooMany {
        /// Values given.
        got: usize,
    },
    /// A setting out of its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Arithmetic mean, summed in the order given; NaN for no values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Settings of the percentile bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Number of resamples, at least 1 (default 1000).
    pub resamples: usize,
    /// Confidence level, between 0 and 1 (default 0.95).
    pub confidence: f64,
    /// Seed of the draws (default 0).
    pub seed: Seed,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, confidence: 0.95, seed: Seed(0) }
    }
}

impl Bootstrap {
    /// Checks the settings.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.resamples > 0, "resamples", "at least 1", self.resamples)?;
        let confidence = self.confidence;
        ConfigError::check(confidence > 0.0 && confidence < 1.0, "confidence", "between 0 and 1", confidence)
    }

    /// Interval of the mean: percentiles of the means of resamples drawn with replacement (Efron 1979).
    ///
    /// Percentiles interpolate linearly between order statistics, as NumPy's do. Resample `b` is keyed by `(seed, b)`:
    /// the same bits for any number of threads.
    ///
    /// # Errors
    /// No values, values that are not finite, or settings out of range.
    pub fn mean_interval(&self, values: &[f64]) -> Result<Interval, StatsError> {
        Ok(self.mean_intervals(&[values])?.remove(0))
    }

    /// [`mean_interval`](Self::mean_interval) of several columns over the same users, with one set of draws for all.
    ///
    /// # Errors
    /// As there, or columns of unequal length.
    pub fn mean_intervals(&self, columns: &[&[f64]]) -> Result<Vec<Interval>, StatsError> {
        self.validate()?;
        let Some(n) = columns.first().map(|column| column.len()) else { return Ok(Vec::new()) };
        at_least("bootstrap", 1, n)?;
        let count = u32::try_from(n).map_err(|_| StatsError::TooMany { got: n })?;
        for column in columns {
            same_length(n, column.len())?;
            finite(column)?;
        }
        let stream = self.seed.stream("bootstrap");
        let mut means: Vec<Vec<f64>> = vec![vec![0.0; self.resamples]; columns.len()];
        let resampled: Vec<Vec<f64>> = (0..self.resamples as u64)
            .into_par_iter()
            .map_init(
                || vec![0usize; n],
                |drawn, b| {
                    let mut rng = stream.at(0, b);
                    drawn.fill_with(|| rng.below(count) as usize);
                    columns.iter().map(|column| drawn.iter().map(|&i| column[i]).sum::<f64>() / n as f64).collect()
                },
            )
            .collect();
        for (b, resample) in resampled.iter().enumerate() {
            for (column, mean) in means.iter_mut().zip(resample) {
                column[b] = *mean;
            }
        }
        let tail = (1.0 - self.confidence) / 2.0;
        Ok(means
            .into_iter()
            .map(|mut means| {
                means.sort_by(f64::total_cmp);
                Interval { low: percentile(&means, tail), high: percentile(&means, 1.0 - tail) }
            })
            .collect())
    }
}

/// An interval of a mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Value at share `p` of ascending `sorted`, linear between neighbours.
pub(crate) fn percentile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

/// Result of [`paired_t_test`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// `mean(d) / (sd(d) / √n)` with `d = a − b`; 0 if all `d` are 0, infinite if they are all the same.
    pub t: f64,
    /// Degrees of freedom, `n − 1`.
    pub degrees: usize,
    /// Two-sided.
    pub p_value: f64,
}

/// Student's paired t-test: is the mean of `a − b` zero? Two-sided, as `scipy.stats.ttest_rel`.
///
/// Where SciPy gives NaN (all differences zero), `t` is 0 and `p_value` 1: equal systems do not differ.
///
/// # Errors
/// Unequal lengths, fewer than 2 pairs, or values that are not finite.
pub fn paired_t_test(a: &[f64], b: &[f64]) -> Result<TTest, StatsError> {
    let differences = differences(a, b)?;
    at_least("paired t-test", 2, differences.len())?;
    let n = differences.len() as f64;
    let mean = mean(&differences);
    let variance = differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / (n - 1.0);
    let degrees = differences.len() - 1;
    let t = if mean == 0.0 { 0.0 } else { mean / (variance / n).sqrt() };
    let nu = degrees as f64;
    // P(|T| > t) = I_x(ν/2, 1/2) at x = ν/(ν + t²).
    let p_value = if t.is_infinite() { 0.0 } else { beta_reg(nu / 2.0, 0.5, nu / (nu + t * t)) };
    Ok(TTest { t, degrees, p_value })
}

/// Result of [`wilcoxon_signed_rank`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wilcoxon {
    /// Sum of the ranks of positive differences `a − b`.
    pub w_plus: f64,
    /// Sum of the ranks of negative differences.
    pub w_minus: f64,
    /// Pairs that differ; the others are dropped.
    pub n: usize,
    /// Two-sided.
    pub p_value: f64,
    /// Whether `p_value` comes from the exact distribution and not from the normal approximation.
    pub exact: bool,
}

/// Largest number of differing pairs for which [`wilcoxon_signed_rank`] enumerates the distribution (SciPy's limit too).
const EXACT_PAIRS: usize = 50;

/// Wilcoxon's signed-rank test: are the differences `a − b` symmetric about zero? Two-sided.
///
/// Zero differences are dropped (Wilcoxon's own way, SciPy's default), ties get middle ranks. Up to 50 differing pairs the
/// p-value is exact, given the ties; beyond, it is the normal approximation with tie correction and without continuity
/// correction, as `scipy.stats.wilcoxon(method="asymptotic")`. With no differing pair `p_value` is 1.
///
/// # Errors
/// Unequal lengths, no pair, or values that are not finite.
pub fn wilcoxon_signed_rank(a: &[f64], b: &[f64]) -> Result<Wilcoxon, StatsError> {
    let mut differences = differences(a, b)?;
    at_least("Wilcoxon test", 1, differences.len())?;
    differences.retain(|d| *d != 0.0);
    differences.sort_by(|x, y| x.abs().total_cmp(&y.abs()));
    let n = differences.len();
    // Middle ranks are halves, so twice the rank is a whole number and sums are exact.
    let mut doubled: Vec<usize> = Vec::with_capacity(n);
    let mut ties = 0.0;
    for group in differences.chunk_by(|x, y| x.abs() == y.abs()) {
        let first = doubled.len() + 1;
        doubled.extend(std::iter::repeat_n(2 * first + group.len() - 1, group.len()));
        let size = group.len() as f64;
        ties += size * (size * size - 1.0);
    }
    let plus: usize = doubled.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
    let total: usize = doubled.iter().sum();
    let (w_plus, w_minus) = (plus as f64 / 2.0, (total - plus) as f64 / 2.0);
    let exact = n <= EXACT_PAIRS;
    let p_value = if n == 0 {
        1.0
    } else if exact {
        exact_two_sided(&doubled, plus.min(total - plus))
    } else {
        let count = n as f64;
        let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - ties / 2.0) / 24.0;
        let z = (w_plus.min(w_minus) - count * (count + 1.0) / 4.0) / variance.sqrt();
        libm::erfc(z.abs() / std::f64::consts::SQRT_2)
    };
    Ok(Wilcoxon { w_plus, w_minus, n, p_value, exact })
}

/// `2 · P(sum ≤ smaller)` when each rank is positive or negative with equal chance; at most 1.
fn exact_two_sided(doubled: &[usize], smaller: usize) -> f64 {
    // ways[s]: subsets of the ranks with sum s; at most 2⁵⁰ in all.
    let mut ways = vec![0u64; smaller + 1];
    ways[0] = 1;
    for &rank in doubled {
        for sum in (rank..=smaller).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let below: u64 = ways.iter().sum();
    (2.0 * below as f64 / (1u64 << doubled.len()) as f64).min(1.0)
}

fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>, StatsError> {
    same_length(a.len(), b.len())?;
    finite(a)?;
    finite(b)?;
    Ok(a.iter().zip(b).map(|(a, b)| a - b).collect())
}

const fn same_length(expected: usize, got: usize) -> Result<(), StatsError> {
    if expected == got { Ok(()) } else { Err(StatsError::Unpaired { expected, got }) }
}

const fn at_least(what: &'static str, expected: usize, got: usize) -> Result<(), StatsError> {
    if got >= expected { Ok(()) } else { Err(StatsError::TooFew { what, expected, got }) }
}

fn finite(values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(position) => Err(StatsError::NotFinite { position, value: values[position] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Reference values below: SciPy 1.17.1, NumPy 2.4.6. `seq` there and here:
    //   def seq(n):
    //       x = 12345; out = []
    //       for _ in range(n): x = (1103515245 * x + 12345) % 2**31; out.append(x / 2**31)
    //       return out
    fn seq(n: usize) -> Vec<f64> {
        let mut x = 12345u64;
        (0..n)
            .map(|_| {
                x = (1_103_515_245 * x + 12345) % (1 << 31);
                x as f64 / (1u64 << 31) as f64
            })
            .collect()
    }

    const A: [f64; 10] = [0.61, 0.42, 0.90, 0.15, 0.77, 0.33, 0.58, 0.26, 0.84, 0.49];
    const B: [f64; 10] = [0.55, 0.47, 0.71, 0.16, 0.60, 0.21, 0.50, 0.29, 0.70, 0.34];
    // Hit-rate-like values: many zeros and ties.
    const A2: [f64; 12] = [1.0, 0.0, 1.0, 1.0, 0.0, 0.5, 1.0, 0.0, 1.0, 0.5, 1.0, 1.0];
    const B2: [f64; 12] = [0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.0, 0.0, 0.5, 0.0];

    fn eighths() -> (Vec<f64>, Vec<f64>) {
        // s = seq(400); a = [int(8 * v) / 8 for v in s[:200]]
        // b = [int(8 * v) / 8 - 0.125 * (i % 3 == 0) for i, v in enumerate(s[200:])]
        let s: Vec<f64> = seq(400).iter().map(|v| (8.0 * v).floor() / 8.0).collect();
        let b = s[200..].iter().enumerate().map(|(i, v)| if i % 3 == 0 { v - 0.125 } else { *v }).collect();
        (s[..200].to_vec(), b)
    }

    fn fifty() -> (Vec<f64>, Vec<f64>) {
        // s = seq(100); a = s[:50]; b = [0.9 * v for v in s[50:]]
        let s = seq(100);
        (s[..50].to_vec(), s[50..].iter().map(|v| v * 0.9).collect())
    }

    #[track_caller]
    fn near(got: f64, expected: f64, relative: f64) {
        assert!((got - expected).abs() <= relative * expected.abs(), "got {got:e}, expected {expected:e}");
    }

    #[test]
    fn t_test_gives_scipys_values() {
        // scipy.stats.ttest_rel(a, b)
        let (a3, b3) = eighths();
        let (a4, b4) = fifty();
        // a5 = [0.5 + 0.01 * i for i in range(100)]; b5 = [0.1 * ((i * 7) % 10) / 10 for i in range(100)]
        let a5: Vec<f64> = (0..100).map(|i| 0.5 + 0.01 * f64::from(i)).collect();
        let b5: Vec<f64> = (0..100).map(|i| 0.1 * f64::from((i * 7) % 10) / 10.0).collect();
        let cases: [(&[f64], &[f64], f64, f64); 5] = [
            (&A, &B, 2.9884666141116543, 0.015238779320797377),
            (&A2, &B2, 1.772810520855837, 0.10391572266321406),
            (&a3, &b3, 2.3051953926779816, 0.022186701916627746),
            (&a4, &b4, 2.342725751992593, 0.023248562568995608),
            (&a5, &b5, 32.67220712286774, 7.861936586107876e-55),
        ];
        for (a, b, t, p) in cases {
            let test = paired_t_test(a, b).unwrap();
            assert_eq!(test.degrees, a.len() - 1);
            near(test.t, t, 1e-12);
            near(test.p_value, p, 1e-9);
            let swapped = paired_t_test(b, a).unwrap();
            assert_eq!((swapped.t, swapped.p_value), (-test.t, test.p_value));
        }
    }

    #[test]
    fn wilcoxon_gives_scipys_values() {
        // scipy.stats.wilcoxon(A, B)
        let small = wilcoxon_signed_rank(&A, &B).unwrap();
        assert_eq!((small.w_plus, small.w_minus, small.n, small.exact), (49.0, 6.0, 10, true));
        near(small.p_value, 0.02734375, 1e-15);
        // scipy.stats.wilcoxon(A2, B2, method=scipy.stats.PermutationMethod(n_resamples=np.inf))
        let tied = wilcoxon_signed_rank(&A2, &B2).unwrap();
        assert_eq!((tied.w_plus, tied.w_minus, tied.n, tied.exact), (35.5, 9.5, 9, true));
        near(tied.p_value, 0.15625, 1e-15);
        // scipy.stats.wilcoxon(a4, b4, method="exact")
        let (a4, b4) = fifty();
        let limit = wilcoxon_signed_rank(&a4, &b4).unwrap();
        assert_eq!((limit.w_minus, limit.n, limit.exact), (418.0, 50, true));
        near(limit.p_value, 0.033687793845592395, 1e-12);
        // scipy.stats.wilcoxon(a3, b3, method="asymptotic")
        let (a3, b3) = eighths();
        let large = wilcoxon_signed_rank(&a3, &b3).unwrap();
        assert_eq!((large.w_plus, large.w_minus, large.n, large.exact), (8847.0, 6031.0, 172, false));
        near(large.p_value, 0.030613376537177817, 1e-12);
    }

    #[test]
    fn exact_wilcoxon_equals_the_enumeration_of_all_signs() {
        for n in 1..=12usize {
            let a: Vec<f64> = seq(n).iter().map(|v| (6.0 * v).floor() - 2.0).collect();
            let got = wilcoxon_signed_rank(&a, &vec![0.0; n]).unwrap();
            let mut sizes: Vec<f64> = a.iter().map(|v| v.abs()).filter(|v| *v != 0.0).collect();
            sizes.sort_by(f64::total_cmp);
            let rank = |v: f64| {
                let (less, equal) =
                    (sizes.iter().filter(|s| **s < v).count(), sizes.iter().filter(|s| **s == v).count());
                less as f64 + (equal as f64 + 1.0) / 2.0
            };
            let ranks: Vec<f64> = sizes.iter().map(|v| rank(*v)).collect();
            let smaller = got.w_plus.min(got.w_minus);
            let below = (0..1u32 << ranks.len())
                .filter(|signs| {
                    let sum: f64 = ranks.iter().enumerate().filter(|(i, _)| signs >> i & 1 == 1).map(|(_, r)| r).sum();
                    sum <= smaller
                })
                .count();
            let expected = (2.0 * below as f64 / f64::from(1u32 << ranks.len())).min(1.0);
            assert_eq!(got.p_value, expected, "n = {n}");
        }
    }

    #[test]
    fn equal_systems_do_not_differ_and_a_constant_gain_is_certain() {
        let test = paired_t_test(&A, &A).unwrap();
        assert_eq!((test.t, test.p_value), (0.0, 1.0));
        assert_eq!(wilcoxon_signed_rank(&A, &A).unwrap().p_value, 1.0);
        let test = paired_t_test(&[1.0; 5], &[0.5; 5]).unwrap();
        assert_eq!((test.t, test.p_value), (f64::INFINITY, 0.0));
    }

    #[test]
    fn bootstrap_interval_is_near_that_of_scipy_with_many_resamples() {
        // scipy.stats.bootstrap((np.array(seq(500)),), np.mean, n_resamples=200000, method="percentile", random_state=1)
        //   low 0.46781647866242565, high 0.5188015706295847; standard error of the mean 0.0130425
        let settings = Bootstrap { resamples: 20_000, ..Bootstrap::default() };
        let interval = settings.mean_interval(&seq(500)).unwrap();
        // The error of a 2.5 % point from 20,000 draws is sqrt(p(1-p)/B) / density = 0.019 standard errors; four of them.
        assert!((interval.low - 0.467816).abs() < 0.001, "{interval:?}");
        assert!((interval.high - 0.518802).abs() < 0.001, "{interval:?}");
    }

    #[test]
    fn bootstrap_has_the_same_bits_for_any_number_of_threads_and_for_columns_together() {
        let (a, b) = fifty();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Bootstrap::default().mean_intervals(&[&a, &b]).unwrap())
        };
        assert_eq!(run(1), run(3));
        assert_eq!(run(1)[1], Bootstrap::default().mean_interval(&b).unwrap());
        let other = Bootstrap { seed: Seed(1), ..Bootstrap::default() }.mean_interval(&b).unwrap();
        assert_ne!(run(1)[1], other);
    }

    #[test]
    fn bootstrap_of_a_constant_is_that_constant() {
        let interval = Bootstrap::default().mean_interval(&[0.25; 9]).unwrap();
        assert_eq!(interval, Interval { low: 0.25, high: 0.25 });
    }

    #[test]
    fn percentiles_interpolate_as_numpy_does() {
        // np.percentile([1, 2, 4, 8], [2.5, 50, 97.5]) = [1.075, 3.0, 7.7]
        let sorted = [1.0, 2.0, 4.0, 8.0];
        near(percentile(&sorted, 0.025), 1.075, 1e-15);
        near(percentile(&sorted, 0.5), 3.0, 1e-15);
        near(percentile(&sorted, 0.975), 7.7, 1e-15);
        assert_eq!(percentile(&[5.0], 0.3), 5.0);
    }

    #[test]
    fn bad_input_is_refused_by_cause() {
        assert_eq!(paired_t_test(&[1.0], &[2.0, 3.0]).unwrap_err(), StatsError::Unpaired { expected: 1, got: 2 });
        assert!(matches!(paired_t_test(&[1.0], &[2.0]), Err(StatsError::TooFew { expected: 2, got: 1, .. })));
        assert!(matches!(wilcoxon_signed_rank(&[], &[]), Err(StatsError::TooFew { .. })));
        assert!(matches!(
            wilcoxon_signed_rank(&[0.0, f64::NAN], &[0.0, 1.0]),
            Err(StatsError::NotFinite { position: 1, .. })
        ));
        let bootstrap = Bootstrap::default();
        assert!(matches!(bootstrap.mean_interval(&[]), Err(StatsError::TooFew { .. })));
        assert!(matches!(bootstrap.mean_intervals(&[&[1.0], &[1.0, 2.0]]), Err(StatsError::Unpaired { .. })));
        for confidence in [0.0, 1.0, f64::NAN] {
            let refused = Bootstrap { confidence, ..bootstrap }.mean_interval(&[1.0]);
            let named = |error: &ConfigError| error.field == "confidence";
            assert!(matches!(&refused, Err(StatsError::Config(error)) if named(error)), "{refused:?}");
        }
        let refused = Bootstrap { resamples: 0, ..bootstrap }.mean_interval(&[1.0]);
        assert_eq!(refused.unwrap_err().to_string(), "resamples is 0, expected at least 1");
    }
}
