//! Codes of vectors that somebody else learned: plain signs, or signs after the rotation that rounding likes best.
//!
//! The simplest rivals of learned codes, and often strong ones: BPR's vectors by sign, and by iterative quantisation (Gong and
//! Lazebnik, CVPR 2011).

use rectify_core::rng::Seed;
use rectify_core::{Teacher, UserId};
use serde::{Deserialize, Serialize};

use super::vectors::{by_sign, hidden_vectors};
use super::{Centre, ConfigError, FitError};
use crate::BinaryFactors;

/// Settings of codes by sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignConfig {
    /// Which vectors lose their mean first. Default neither.
    pub centre: Centre,
    /// Rounds of the rotation that users and items share; 0 takes none. It leaves inner products as they are. Default 0.
    pub rotation_rounds: u32,
}

impl SignConfig {
    /// Name of the method: `signs`, or `itq` with a rotation.
    #[must_use]
    pub const fn model(&self) -> &'static str {
        if self.rotation_rounds > 0 { "itq" } else { "signs" }
    }

    /// Checks every setting; all values are possible.
    ///
    /// # Errors
    /// None.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// Rounds the vectors of `teacher` to codes of as many bits as they are wide. There are no epochs: a seed is all that it takes of a
/// run.
///
/// # Errors
/// [`FitError::Teacher`] (no vectors of one width), [`FitError::Query`] (it has fewer users), [`FitError::Codes`] (wider than 4096),
/// [`FitError::Diverged`] (vectors that are not finite).
pub fn fit(
    teacher: &dyn Teacher<Query = UserId>,
    n_users: usize,
    config: &SignConfig,
    seed: Seed,
) -> Result<BinaryFactors, FitError> {
    let mut vectors = hidden_vectors(teacher, n_users)?;
    vectors.centre(config.centre);
    vectors.rotate(config.model(), config.rotation_rounds, seed)?;
    by_sign(config.model(), config, &vectors.users, &vectors.items, vectors.dim)
}
