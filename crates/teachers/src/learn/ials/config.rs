//! Settings of iALS.

use rectify_core::ConfigError;
use serde::{Deserialize, Serialize};

use super::MODEL;

/// Settings of iALS; the names in brackets are those of Rendle et al. 2022.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IalsConfig {
    /// Width of a vector (d), at least 1. Default 64.
    pub embedding_dim: usize,
    /// Weight of an unobserved pair (α₀), above 0; an observed one weighs 1 more. Default 0.1. Hu et al.'s confidence
    /// `1 + α` is α₀ = 1/α.
    pub unobserved_weight: f64,
    /// λ, above 0. Default 0.003. The first thing to tune, by factors of 3.
    pub l2: f64,
    /// How a row's regularisation grows with its weight (ν): `λ (n_u + α₀ n_items)^ν`, in [0, 1]. Default 1; 0 gives every
    /// row the same, as in Hu et al.
    pub frequency_exponent: f64,
    /// Standard deviation of an initial vector's length (σ*), above 0: its entries have `init_std / √d`. Default 0.1.
    pub init_std: f64,
    /// How a row is solved. Default exact.
    pub solver: Solver,
}

/// How the least squares problem of one row is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Solver {
    /// Exactly: n d² / 2 + d³ / 6 multiplications for a row of n interactions.
    #[default]
    Cholesky,
    /// Some steps of conjugate gradient from the row's last solution (Takács et al., RecSys 2011): 2 n d + d² a step. Cheaper
    /// in high dimensions.
    ConjugateGradient {
        /// Steps a row, at least 1; 3 is usual.
        steps: u32,
    },
}

impl Default for IalsConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            unobserved_weight: 0.1,
            l2: 0.003,
            frequency_exponent: 1.0,
            init_std: 0.1,
            solver: Solver::Cholesky,
        }
    }
}

impl IalsConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds, field, expected, got: f64| ConfigError::check_of(holds, MODEL, field, expected, got);
        let positive = |field, x: f64| check(x > 0.0 && x.is_finite(), field, "a finite number above 0", x);
        ConfigError::check_of(self.embedding_dim >= 1, MODEL, "embedding_dim", "at least 1", self.embedding_dim)?;
        positive("unobserved_weight", self.unobserved_weight)?;
        positive("l2", self.l2)?;
        let nu = self.frequency_exponent;
        check((0.0..=1.0).contains(&nu), "frequency_exponent", "in [0, 1]", nu)?;
        positive("init_std", self.init_std)?;
        if let Solver::ConjugateGradient { steps } = self.solver {
            ConfigError::check_of(steps >= 1, MODEL, "solver.steps", "at least 1", steps)?;
        }
        Ok(())
    }
}
