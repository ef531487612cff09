//! Seeded initial values.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use serde::{Deserialize, Serialize};

/// How a matrix (rows, columns) starts. `fan_in` is the number of rows, `fan_out` of columns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Init {
    /// All 0.
    Zeros,
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f32,
    },
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// Half the width.
        bound: f32,
    },
    /// Uniform with bound `√(6 / (fan_in + fan_out))` (Glorot and Bengio, AISTATS 2010; "Xavier").
    GlorotUniform,
    /// Normal with standard deviation `√(2 / (fan_in + fan_out))`.
    GlorotNormal,
    /// Uniform with bound `√(3 / fan_in)` (LeCun et al. 1998).
    LecunUniform,
}

impl Init {
    /// Draws a matrix (rows, columns), row-major. Each row has its own place in the stream, so the draws do not
    /// depend on the number of threads.
    #[must_use]
    pub fn draw(self, rows: usize, columns: usize, seed: Seed) -> Vec<f32> {
        let (fan_in, fan_out) = (rows as f64, columns as f64);
        let mut values = vec![0.0f32; rows * columns];
        if values.is_empty() {
            return values;
        }
        let normal = |values: &mut [f32], std: f64| {
            values.par_chunks_mut(columns).enumerate().for_each(|(row, out)| {
                let mut rng = seed.at(0, row as u64);
                out.iter_mut().for_each(|x| *x = (std * rng.normal()) as f32);
            });
        };
        let uniform = |values: &mut [f32], bound: f64| {
            values.par_chunks_mut(columns).enumerate().for_each(|(row, out)| {
                let mut rng = seed.at(0, row as u64);
                out.iter_mut().for_each(|x| *x = (bound * (2.0 * rng.unit_f64() - 1.0)) as f32);
            });
        };
        match self {
            Self::Zeros => {}
            Self::Normal { std } => normal(&mut values, f64::from(std)),
            Self::Uniform { bound } => uniform(&mut values, f64::from(bound)),
            Self::GlorotUniform => uniform(&mut values, (6.0 / (fan_in + fan_out)).sqrt()),
            Self::GlorotNormal => normal(&mut values, (2.0 / (fan_in + fan_out)).sqrt()),
            Self::LecunUniform => uniform(&mut values, (3.0 / fan_in).sqrt()),
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_named_spread_and_repeat() {
        let seed = Seed(5).stream("w");
        for (init, std, bound) in [
            (Init::Zeros, 0.0, 0.0),
            (Init::Normal { std: 0.1 }, 0.1, 1.0),
            (Init::Uniform { bound: 0.3 }, 0.3 / 3f64.sqrt(), 0.3),
            (Init::GlorotUniform, (2.0 / 300.0f64).sqrt(), (6.0 / 300.0f64).sqrt()),
            (Init::GlorotNormal, (2.0 / 300.0f64).sqrt(), 1.0),
            (Init::LecunUniform, (1.0 / 200.0f64).sqrt(), (3.0 / 200.0f64).sqrt()),
        ] {
            let values = init.draw(200, 100, seed);
            let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / 2e4;
            let got = (values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / 2e4).sqrt();
            // Four standard errors of a mean and of a deviation of 20,000 draws.
            assert!(mean.abs() <= 0.0284 * std && (got - std).abs() <= 0.02 * std, "{init:?}: {mean} {got}");
            assert!(values.iter().all(|x| f64::from(x.abs()) <= bound + 1e-7));
            assert_eq!(values, init.draw(200, 100, seed));
        }
        let normal = Init::Normal { std: 1.0 };
        assert_eq!(normal.draw(200, 100, seed)[..500], normal.draw(5, 100, seed)[..]);
    }
}
