//! PPH (Zhang et al., "Preference Preserving Hashing for Efficient Recommendation", SIGIR 2014): signs, and two bits for the
//! length of an item's vector.
//!
//! Real rows minimise `Σ over pairs (s - ½ - b·d)² + λ Σ (|b|² - ½)² + λ Σ (|d|² - ½)²` for targets s in [0, 1] (`s_max = 1`).
//! The code is the signs, then two bits: items whose squared length lies below mean − deviation get (−1, −1), above mean + deviation
//! (+1, +1), the others (−1, +1); users always (+1, +1).
//!
//! **Reading**: made for ratings; [`Feedback`] says what implicit feedback becomes, +1 is `s = 1`, -1 is `s = 0`.

use rectify_data::Interactions;
use rectify_tensor::kernels::squared_norm;
use rectify_tensor::train::{FitReport, TrainRun};
use rectify_tensor::{Csr, Init};
use serde::{Deserialize, Serialize};

use super::alternating::{self, Method, each_row};
use super::vectors::by_sign;
use super::{ConfigError, Feedback, FitError, Side};
use crate::{BinaryFactors, MAX_CODE_BITS};

const MODEL: &str = "pph";
/// Half of the highest target: targets lie this far from 0, and so do squared lengths.
const HALF: f32 = 0.5;

/// Settings of PPH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PphConfig {
    /// Length of a code in bits, 3 to 4096; two of them tell lengths. Default 64.
    pub code_bits: usize,
    /// Weight of vectors of one length (λ), above 0. Grid: 0.01 to 16. Default 1.
    pub length: f64,
    /// What implicit feedback becomes. Default sampled negatives.
    pub feedback: Feedback,
    /// Sweeps over the coordinates of a row, at least 1. Default 2.
    pub sweeps: u32,
}

impl Default for PphConfig {
    fn default() -> Self {
        Self { code_bits: 64, length: 1.0, feedback: Feedback::SampledNegatives, sweeps: 2 }
    }
}

impl PphConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let possible = (3..=MAX_CODE_BITS).contains(&self.code_bits);
        ConfigError::check_of(possible, MODEL, "code_bits", "in 3..=4096", self.code_bits)?;
        let length = self.length;
        ConfigError::check_of(length > 0.0 && length.is_finite(), MODEL, "length", "a finite number above 0", length)?;
        ConfigError::check_of(self.sweeps >= 1, MODEL, "sweeps", "at least 1", self.sweeps)
    }
}

/// Learns PPH's codes. An epoch is one turn of users and of items; the loss reported is the squared error of a pair.
///
/// `run.validate` gets the codes after an epoch. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`], [`FitError::Train`], [`FitError::Diverged`].
pub fn fit(
    train: &Interactions,
    config: &PphConfig,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    alternating::fit(&Pph { config }, train, run)
}

struct Pph<'a> {
    config: &'a PphConfig,
}

impl Method for Pph<'_> {
    fn dim(&self) -> usize {
        self.config.code_bits - 2
    }

    fn feedback(&self) -> Feedback {
        self.config.feedback
    }

    /// Rows of the length that the loss asks for.
    fn init(&self) -> Init {
        Init::Normal { std: (HALF / self.dim() as f32).sqrt() }
    }

    fn turn(&self, _: Side, _: u32, own: &mut [f32], other: &[f32], pairs: &Csr) -> f64 {
        let (dim, weight) = (self.dim(), self.config.length);
        each_row(own, dim, pairs, |descent, _, row, (partners, labels)| {
            let targets = labels.iter().map(|label| HALF * label);
            descent.run(row, other, partners, targets, 1.0, self.config.sweeps, 1e-4, |c| {
                let rest = f64::from(squared_norm(c.row)) - f64::from(c.row[c.k]).powi(2) - f64::from(HALF);
                lowest(f64::from(c.quadratic), f64::from(c.linear), weight, rest) as f32
            })
        })
    }

    fn codes(&self, users: &[f32], items: &[f32]) -> Result<BinaryFactors, FitError> {
        let dim = self.dim();
        let lengths: Vec<f64> = items.chunks_exact(dim).map(|row| f64::from(squared_norm(row))).collect();
        let n = lengths.len() as f64;
        let mean = lengths.iter().sum::<f64>() / n;
        let deviation = (lengths.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let with = |rows: &[f32], tail: &dyn Fn(usize) -> [f32; 2]| -> Vec<f32> {
            rows.chunks_exact(dim).enumerate().flat_map(|(at, row)| row.iter().copied().chain(tail(at))).collect()
        };
        let users = with(users, &|_| [1.0, 1.0]);
        let items = with(items, &|at| length_bits(lengths[at], mean, deviation));
        by_sign(MODEL, self.config, &users, &items, dim + 2)
    }
}

/// The two bits of an item's length.
fn length_bits(length: f64, mean: f64, deviation: f64) -> [f32; 2] {
    if length < mean - deviation {
        [-1.0, -1.0]
    } else if length > mean + deviation {
        [1.0, 1.0]
    } else {
        [-1.0, 1.0]
    }
}

/// The x that minimises `q x² - 2 l x + w (c + x²)²`: the best real root of `x³ + p x + r`, `p = (q + 2 w c) / 2w`, `r = -l / 2w`.
fn lowest(q: f64, l: f64, w: f64, c: f64) -> f64 {
    let (p, r) = ((q + 2.0 * w * c) / (2.0 * w), -l / (2.0 * w));
    let value = |x: f64| q * x * x - 2.0 * l * x + w * (c + x * x).powi(2);
    let inside = r * r / 4.0 + p * p * p / 27.0;
    if inside >= 0.0 {
        // One real root (Cardano); the sum is taken where nothing cancels.
        let root = inside.sqrt();
        let u = (if r > 0.0 { -r / 2.0 - root } else { -r / 2.0 + root }).cbrt();
        return if u == 0.0 { 0.0 } else { u - p / (3.0 * u) };
    }
    // Three (Viète).
    let radius = 2.0 * (-p / 3.0).sqrt();
    let angle = (3.0 * r / (p * radius)).clamp(-1.0, 1.0).acos() / 3.0;
    let roots = [0.0, 1.0, 2.0].map(|k| radius * (angle - std::f64::consts::TAU * k / 3.0).cos());
    roots.into_iter().fold(roots[0], |best, x| if value(x) < value(best) { x } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_point_of_a_coordinate_beats_a_fine_grid() {
        for (q, l, w, c) in [
            (1.0, 0.5, 1.0, 0.2),
            (1.0, 0.5, 1.0, -3.0),
            (0.0, 0.0, 2.0, -1.0),
            (0.0, 0.3, 0.01, -0.4),
            (5.0, -2.0, 16.0, -0.5),
            (2.0, 0.0, 1.0, 1.0),
        ] {
            let value = |x: f64| q * x * x - 2.0 * l * x + w * (c + x * x) * (c + x * x);
            let best = (-40_000..=40_000).map(|k| f64::from(k) * 1e-4).map(value).fold(f64::INFINITY, f64::min);
            let x = lowest(q, l, w, c);
            assert!(value(x) <= best + 1e-9, "{q} {l} {w} {c}: {x}, {} {best}", value(x));
        }
    }

    #[test]
    fn lengths_become_two_bits_by_one_deviation() {
        let bits = [0.1, 0.4, 0.6, 0.9].map(|length| length_bits(length, 0.5, 0.2));
        assert_eq!(bits, [[-1.0, -1.0], [-1.0, 1.0], [-1.0, 1.0], [1.0, 1.0]]);
    }
}
