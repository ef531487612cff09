//! BCCF (Zhou and Zha, "Learning Binary Codes for Collaborative Filtering", KDD 2012): relaxed rows, a rotation, medians.
//!
//! Rows in [-1, 1]^r minimise `Σ over pairs (s - ½ - b·d / 2r)² + λ (|Σ_u b_u|² + |Σ_i d_i|²)`, s in [0, 1], row after row. Then
//! an orthogonal rotation leaves them nearest to their signs (iterative quantisation), and each bit is 1 for the upper half: its
//! threshold is its median over users, and over items.
//!
//! **Reading**: made for ratings; [`Feedback`] says what implicit feedback becomes, +1 is `s = 1`, -1 is `s = 0`. The rotation is
//! learned on users and items together.

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_tensor::train::{FitReport, TrainRun};
use rectify_tensor::{Csr, Init};
use serde::{Deserialize, Serialize};

use super::alternating::{self, Method};
use super::coordinates::Descent;
use super::vectors::{Vectors, by_sign};
use super::{ConfigError, Feedback, FitError, Side};
use crate::{BinaryFactors, MAX_CODE_BITS};

const MODEL: &str = "bccf";

/// Settings of BCCF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BccfConfig {
    /// Length of a code in bits (r), 1 to 4096. Default 64.
    pub code_bits: usize,
    /// Weight of balanced bits (λ), at least 0. Grid: 0.01 to 0.09. Default 0.01.
    pub balance: f64,
    /// What implicit feedback becomes. Default sampled negatives.
    pub feedback: Feedback,
    /// Rounds of the rotation; 0 takes a random one. Default 50.
    pub rotation_rounds: u32,
    /// Sweeps over the coordinates of a row, at least 1. Default 2.
    pub sweeps: u32,
}

impl Default for BccfConfig {
    fn default() -> Self {
        Self { code_bits: 64, balance: 0.01, feedback: Feedback::SampledNegatives, rotation_rounds: 50, sweeps: 2 }
    }
}

impl BccfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let possible = (1..=MAX_CODE_BITS).contains(&self.code_bits);
        ConfigError::check_of(possible, MODEL, "code_bits", "in 1..=4096", self.code_bits)?;
        let balance = self.balance;
        let sound = balance >= 0.0 && balance.is_finite();
        ConfigError::check_of(sound, MODEL, "balance", "a finite number of at least 0", balance)?;
        ConfigError::check_of(self.sweeps >= 1, MODEL, "sweeps", "at least 1", self.sweeps)
    }
}

/// Learns BCCF's codes. An epoch is one round of users and of items (10 are usual); the loss reported is the squared error of a
/// pair.
///
/// `run.validate` gets the codes after an epoch. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`], [`FitError::Train`], [`FitError::Diverged`].
pub fn fit(
    train: &Interactions,
    config: &BccfConfig,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    let method = Bccf { config, seed: run.seed };
    alternating::fit(&method, train, run)
}

struct Bccf<'a> {
    config: &'a BccfConfig,
    seed: Seed,
}

impl Method for Bccf<'_> {
    fn dim(&self) -> usize {
        self.config.code_bits
    }

    fn feedback(&self) -> Feedback {
        self.config.feedback
    }

    fn init(&self) -> Init {
        Init::Uniform { bound: 1.0 }
    }

    fn turn(&self, _: Side, _: u32, own: &mut [f32], other: &[f32], pairs: &Csr) -> f64 {
        let (dim, balance) = (self.dim(), self.config.balance as f32);
        let scale = 0.5 / dim as f32;
        let mut total = vec![0.0f64; dim];
        for row in own.chunks_exact(dim) {
            total.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        // One row after the other: the balance couples them.
        let (mut descent, mut error) = (Descent::default(), 0.0);
        for (at, row) in own.chunks_exact_mut(dim).enumerate() {
            let (partners, labels) = pairs.row(at);
            total.iter_mut().zip(&*row).for_each(|(sum, x)| *sum -= f64::from(*x));
            let targets = labels.iter().map(|label| 0.5 * label);
            error += descent.run(row, other, partners, targets, scale, self.config.sweeps, 1e-4, |c| {
                let curvature = c.quadratic + balance;
                if curvature > 0.0 {
                    ((c.linear - balance * total[c.k] as f32) / curvature).clamp(-1.0, 1.0)
                } else {
                    c.row[c.k]
                }
            });
            total.iter_mut().zip(&*row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        error
    }

    fn codes(&self, users: &[f32], items: &[f32]) -> Result<BinaryFactors, FitError> {
        let dim = self.dim();
        let mut vectors = Vectors { users: users.to_vec(), items: items.to_vec(), dim };
        vectors.turn(MODEL, self.config.rotation_rounds, self.seed)?;
        let (users, items) = (above_medians(vectors.users, dim), above_medians(vectors.items, dim));
        by_sign(MODEL, self.config, &users, &items, dim)
    }
}

/// Subtracts from each column its median (of an even number the upper one), so that half of its signs are +1.
fn above_medians(mut rows: Vec<f32>, dim: usize) -> Vec<f32> {
    let n = rows.len() / dim;
    for k in 0..dim {
        let mut column: Vec<f32> = rows.iter().skip(k).step_by(dim).copied().collect();
        let (_, median, _) = column.select_nth_unstable_by(n / 2, f32::total_cmp);
        let median = *median;
        rows.iter_mut().skip(k).step_by(dim).for_each(|x| *x -= median);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_each_column_is_at_or_above_its_median() {
        let rows = above_medians(vec![5.0, 1.0, 3.0, 1.0, -2.0, 2.0, 9.0, 7.0], 2);
        let upper = |k: usize| rows.iter().skip(k).step_by(2).filter(|x| **x >= 0.0).count();
        assert_eq!((upper(0), upper(1)), (2, 2));
        assert_eq!(rows, [0.0, -1.0, -2.0, -1.0, -7.0, 0.0, 4.0, 5.0]);
    }
}
