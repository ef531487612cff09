//! DCF (Zhang et al., "Discrete Collaborative Filtering", SIGIR 2016): codes learned bit by bit, never relaxed.
//!
//! Minimises over codes b, d in {±1}^r
//!
//! ```text
//! Σ over pairs (s - b·d)² - 2 a tr(Bᵀ X) - 2 b tr(Dᵀ Y)
//! ```
//!
//! with targets s in [-r, r] and delegates X, Y (zero column sums, orthogonal columns). Bit k of a user, all else fixed, becomes
//! the sign of `Σ_j (s_j - Σ_{l≠k} b_l d_jl) d_jk + a X_k`; at 0 it stays. Five sweeps a row at most.
//!
//! **Readings**:
//! - Made for ratings. [`Feedback`] says what implicit feedback becomes; +1 is `s = r`, -1 is `s = -r`.
//! - The start solves the relaxed problem (real rows, `a |B|²` instead of the constraint) by the same descent, and takes signs.

use rectify_data::Interactions;
use rectify_tensor::train::{FitReport, TrainRun};
use serde::{Deserialize, Serialize};

use super::dcmf::{DcmfConfig, Features};
use super::discrete::{Discrete, check_weight};
use super::{ConfigError, Feedback, FitError, alternating};
use crate::{BinaryFactors, MAX_CODE_BITS};

/// Settings of DCF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DcfConfig {
    /// Length of a code in bits (r), 1 to 4096. Default 64.
    pub code_bits: usize,
    /// Weight of balanced, decorrelated user bits (a), at least 0. Paper's grid: 1e-4 to 10. Default 0.01.
    pub user_balance: f64,
    /// The same of item bits (b). Default 0.01.
    pub item_balance: f64,
    /// What implicit feedback becomes. Default sampled negatives.
    pub feedback: Feedback,
    /// Rounds of the relaxed problem before the first signs are taken. Default 5.
    pub start_rounds: u32,
    /// Sweeps over the bits of a row, at least 1; fewer if no bit changes. Default 5.
    pub sweeps: u32,
}

impl Default for DcfConfig {
    fn default() -> Self {
        Self {
            code_bits: 64,
            user_balance: 0.01,
            item_balance: 0.01,
            feedback: Feedback::SampledNegatives,
            start_rounds: 5,
            sweeps: 5,
        }
    }
}

impl DcfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check("dcf")
    }

    pub(super) fn check(&self, model: &'static str) -> Result<(), ConfigError> {
        let possible = (1..=MAX_CODE_BITS).contains(&self.code_bits);
        ConfigError::check_of(possible, model, "code_bits", "in 1..=4096", self.code_bits)?;
        check_weight(model, "user_balance", self.user_balance)?;
        check_weight(model, "item_balance", self.item_balance)?;
        ConfigError::check_of(self.sweeps >= 1, model, "sweeps", "at least 1", self.sweeps)
    }
}

/// Learns DCF's codes. An epoch is one turn of users and of items; the loss reported is the squared error of a pair.
///
/// `run.validate` gets the codes after an epoch. The same seed gives the same bits on any number of threads, and after a resume. A
/// user without interactions gets the code that balances the others.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`], [`FitError::Train`].
pub fn fit(
    train: &Interactions,
    config: &DcfConfig,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    let all = DcmfConfig { dcf: config.clone(), interaction: 0.0, ..DcmfConfig::default() };
    let method = Discrete::new("dcf", &all, config, Features::default(), run.seed)?;
    alternating::fit(&method, train, run)
}
