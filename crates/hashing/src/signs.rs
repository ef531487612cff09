//! Codes of vectors that somebody else learned: plain signs, or signs after the rotation that rounding likes best.
//!
//! The simplest rivals of learned codes, and often strong ones: BPR's vectors by sign, and by iterative quantisation (Gong and
//! Lazebnik, CVPR 2011).

use rectify_core::rng::Seed;
use rectify_core::{Teacher, UserId};
use serde::{Deserialize, Serialize};

use crate::rotation::{centre, learn, rotate};
use crate::training::{hidden_vectors, signs};
use crate::{BinaryFactors, CodesError, ConfigError, FitError};

/// Settings of codes by sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignConfig {
    /// Whether users lose their mean vector and items theirs before anything else. Default no: it takes from each item a part of its
    /// score, which for many models is its popularity.
    pub centre: bool,
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

/// Rounds the vectors of `teacher` to codes of as many bits as they are wide.
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
    let (mut users, mut items, dim) = hidden_vectors(teacher, n_users)?;
    if config.centre {
        centre(&mut users, dim);
        centre(&mut items, dim);
    }
    if config.rotation_rounds > 0 {
        let rotation = learn(&[&users[..], &items].concat(), dim, config.rotation_rounds, seed);
        let Some(rotation) = rotation else {
            let source = CodesError::NotANumber { row: 0, position: 0 };
            return Err(FitError::Diverged { model: config.model(), source });
        };
        users = rotate(&users, &rotation, dim);
        items = rotate(&items, &rotation, dim);
    }
    signs(config.model(), config, &users, &items, dim)
}
