//! The law by which ranks are drawn.

use rectify_core::rng::Rng;

use crate::ConfigError;
use crate::noise::{GUMBEL_HIGH, GUMBEL_LOW, gumbel};

/// Draws ranks so that better ones come more often: `p_k ∝ exp(-k / T)`, k = 1, 2, ….
///
/// DE-RRD (Kang et al., CIKM 2020), section 4.2.1, after Ranking Distillation (Tang and Wang, KDD 2018), Eq. 7.
///
/// Draws are without replacement, one after the other in proportion to what is left. Adding a Gumbel variable to each
/// `-k / T` and keeping the `n` largest gives exactly that law (Gumbel top-k; Kool et al., ICML 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankLaw {
    temperature: f64,
}

impl RankLaw {
    /// The law with sharpness `temperature` (`T`).
    ///
    /// # Errors
    /// A temperature that is not positive and finite: at 0 only rank 1 would ever be drawn, and drawing the best `n`
    /// for certain is what `deterministic_top` is for.
    pub fn new(temperature: f64) -> Result<Self, ConfigError> {
        ConfigError::check(
            temperature > 0.0 && temperature.is_finite(),
            "temperature",
            "positive and finite",
            temperature,
        )?;
        Ok(Self { temperature })
    }

    /// `p_k` of the first draw among ranks `1..=n_ranks`; `rank` counts from 1. 0 outside.
    #[must_use]
    pub fn probability(&self, rank: usize, n_ranks: usize) -> f64 {
        if rank == 0 || rank > n_ranks {
            return 0.0;
        }
        // Geometric series: Σ_{k=1..n} e^(-k/T) = e^(-1/T) (1 - e^(-n/T)) / (1 - e^(-1/T)).
        let step = -1.0 / self.temperature;
        libm::exp(step * (rank - 1) as f64) * libm::expm1(step) / libm::expm1(step * n_ranks as f64)
    }

    /// Draws `amount` distinct positions of `0..n_ranks` (position 0 is rank 1), ascending, into `out`.
    ///
    /// # Panics
    /// If `amount > n_ranks`.
    pub fn draw(&self, n_ranks: usize, amount: usize, rng: &mut Rng, out: &mut Vec<u32>) {
        assert!(amount <= n_ranks, "cannot draw {amount} of {n_ranks} ranks");
        out.clear();
        if amount == 0 {
            return;
        }
        // Rank k cannot beat all of the first `amount` once (k - amount)/T exceeds the spread of the noise.
        let reach = (amount as f64 + (GUMBEL_LOW + GUMBEL_HIGH) * self.temperature).ceil();
        let n_running = if reach < n_ranks as f64 { reach as usize } else { n_ranks };
        let mut race: Vec<(f64, u32)> =
            (0..n_running as u32).map(|k| (f64::from(k) / self.temperature - f64::from(gumbel(rng)), k)).collect();
        if amount < race.len() {
            race.select_nth_unstable_by(amount - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        out.extend(race[..amount].iter().map(|(_, k)| k));
        out.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rectify_core::rng::Seed;

    use super::*;

    #[test]
    fn the_law_has_the_masses_of_a_geometric_series() {
        let mass = |t: f64, n: usize| (1..=n).map(|k| RankLaw::new(t).unwrap().probability(k, 500)).sum::<f64>();
        for (t, n, want) in [
            (10.0, 1, 0.095_162_6),
            (10.0, 10, 0.632_120_6),
            (10.0, 40, 0.981_684_4),
            (5.0, 1, 0.181_269_2),
            (5.0, 10, 0.864_664_7),
            (20.0, 1, 0.048_770_6),
            (20.0, 40, 0.864_664_7),
            (1.0, 1, 0.632_120_6),
            (10.0, 500, 1.0),
        ] {
            assert!((mass(t, n) - want).abs() < 1e-7, "T = {t}, n = {n}: {}", mass(t, n));
        }
        let law = RankLaw::new(10.0).unwrap();
        assert!((law.probability(10, 500) - 0.038_690_2).abs() < 1e-7);
        assert_eq!((law.probability(0, 500), law.probability(501, 500)), (0.0, 0.0));
    }

    #[test]
    fn one_draw_follows_the_law() {
        // Chi-square over ranks 1..=40 and the rest: 40 degrees of freedom, 0.9999 quantile 84.
        for t in [1.0, 5.0, 10.0, 20.0] {
            let law = RankLaw::new(t).unwrap();
            let (n, mut counts, mut out) = (60_000u64, [0u32; 41], Vec::new());
            for i in 0..n {
                law.draw(500, 1, &mut Seed(11).stream("law").at(0, i), &mut out);
                counts[(out[0] as usize).min(40)] += 1;
            }
            let mut chi2 = 0.0;
            for (k, count) in counts.iter().enumerate() {
                let p = if k < 40 {
                    law.probability(k + 1, 500)
                } else {
                    (41..=500).map(|k| law.probability(k, 500)).sum()
                };
                let expected = p * n as f64;
                if expected > 5.0 {
                    chi2 += (f64::from(*count) - expected).powi(2) / expected;
                }
            }
            assert!(chi2 < 84.0, "T = {t}: chi-square {chi2}");
        }
    }

    #[test]
    fn successive_draws_follow_the_law_of_what_is_left() {
        // All subsets of 2 out of 4 ranks: P({i, j}) = p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j).
        let law = RankLaw::new(1.5).unwrap();
        let p: Vec<f64> = (1..=4).map(|k| law.probability(k, 4)).collect();
        let n = 100_000u32;
        let mut counts = std::collections::BTreeMap::new();
        let mut out = Vec::new();
        for i in 0..n {
            law.draw(4, 2, &mut Seed(5).stream("pairs").at(1, u64::from(i)), &mut out);
            *counts.entry((out[0] as usize, out[1] as usize)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        for ((i, j), count) in counts {
            let want = p[i] * p[j] * (1.0 / (1.0 - p[i]) + 1.0 / (1.0 - p[j]));
            let sigma = (want * (1.0 - want) / f64::from(n)).sqrt();
            let got = f64::from(count) / f64::from(n);
            assert!((got - want).abs() < 4.5 * sigma, "({i}, {j}): {got} against {want}");
        }
    }

    #[test]
    fn a_bad_temperature_is_refused() {
        for t in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(RankLaw::new(t).unwrap_err().to_string().starts_with("temperature"));
        }
    }

    proptest! {
        #[test]
        fn draws_are_distinct_and_ascending(t in 0.05f64..100.0, n in 1usize..600, share in 0.0f64..=1.0, seed: u64) {
            let amount = (share * n as f64) as usize;
            let mut out = vec![9];
            RankLaw::new(t).unwrap().draw(n, amount, &mut Seed(seed).rng(), &mut out);
            prop_assert_eq!(out.len(), amount);
            prop_assert!(out.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(out.iter().all(|k| (*k as usize) < n));
        }
    }
}
