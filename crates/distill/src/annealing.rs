//! The temperature of the Gumbel-softmax over the epochs.

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// A temperature that falls geometrically: `τ(p) = τ₀ (τ_P / τ₀)^(p / P)`, never below `τ_P`.
///
/// DE-RRD (Kang et al., CIKM 2020), section 4.1.3.
///
/// **Reading**: P is the planned number of epochs, not the one at which training stops early. The authors' code sets the
/// temperature at the end of an epoch with that epoch's index, so that epochs 0 and 1 share `τ₀`; we take the formula.
///
/// ```
/// use rectify_distill::Annealing;
///
/// let annealing = Annealing::default();
/// assert_eq!(annealing.at(0), 1.0);
/// assert!((annealing.at(100) - 0.1).abs() < 1e-7);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Annealing {
    /// Temperature of epoch 0 (`τ₀`), positive; paper: 1.
    pub start: f64,
    /// Temperature of the last planned epoch and after (`τ_P`), positive, at most `start`; paper: 10⁻¹⁰.
    pub end: f64,
    /// Planned epochs (`P`), at least 1; paper: 1000.
    pub n_epochs: u32,
}

impl Default for Annealing {
    fn default() -> Self {
        Self { start: 1.0, end: 1e-10, n_epochs: 1000 }
    }
}

impl Annealing {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range. `end` must not underflow single precision (below 10⁻³⁰).
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.start > 0.0 && self.start.is_finite(), "start", "positive and finite", self.start)?;
        ConfigError::check(self.end >= 1e-30 && self.end <= self.start, "end", "from 1e-30 to start", self.end)?;
        ConfigError::check(self.n_epochs > 0, "n_epochs", "at least 1", self.n_epochs)
    }

    /// The temperature of an epoch, counted from 0.
    #[must_use]
    pub fn at(&self, epoch: u32) -> f32 {
        let progress = f64::from(epoch) / f64::from(self.n_epochs);
        (self.start * libm::pow(self.end / self.start, progress)).max(self.end) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_the_papers_and_stays_at_its_end() {
        let annealing = Annealing::default();
        annealing.validate().unwrap();
        for (p, want) in [(1, 0.977_237_2), (100, 0.1), (250, 0.003_162_3), (500, 1e-5), (1000, 1e-10), (5000, 1e-10)] {
            let got = f64::from(annealing.at(p));
            assert!((got - want).abs() < 1e-5 * want, "p = {p}: {got}");
        }
    }

    #[test]
    fn impossible_schedules_are_refused() {
        for (config, field) in [
            (Annealing { start: 0.0, ..Annealing::default() }, "start"),
            (Annealing { end: 0.0, ..Annealing::default() }, "end"),
            (Annealing { end: 2.0, ..Annealing::default() }, "end"),
            (Annealing { end: f64::NAN, ..Annealing::default() }, "end"),
            (Annealing { n_epochs: 0, ..Annealing::default() }, "n_epochs"),
        ] {
            assert!(config.validate().unwrap_err().to_string().starts_with(field));
        }
    }
}
