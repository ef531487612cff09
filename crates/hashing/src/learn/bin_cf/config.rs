//! Settings of DGCN-BinCF.

use rectify_tensor::Optimizer;
use serde::{Deserialize, Serialize};

use crate::learn::{Centre, ConfigError};

/// Settings of DGCN-BinCF; with `ranking_weight` 0 it is BinCF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinCfConfig {
    /// Weight of the distillation loss (α), at least 0; 0 learns from interactions alone. Paper: 10. Default 0.3.
    pub ranking_weight: f64,
    /// Divisor of both models' scores in the distillation loss (T), above 0. Paper: 1.
    pub temperature: f64,
    /// Factor on the inner products of codes in both losses, above 0. Those of d bits reach ±d, those of real vectors a few: at 1
    /// most triples are soon decided beyond doubt, and what is left to learn is noise. Paper: 1. Default 0.05, for 200 bits or so.
    pub score_scale: f64,
    /// Items of a list at most, at least 2; users with more learn from a fresh random part each epoch. Default 256.
    pub list_limit: usize,
    /// How real rows become bits while training. Default [`Relaxation::Corners`].
    pub relaxation: Relaxation,
    /// Weight of the pull to the corners (β), at least 0; [`Relaxation::Corners`] alone has it. Paper: 0.001.
    pub corner_weight: f64,
    /// Weight of the noise of rounding (ν), at least 0. Paper: 0.001.
    pub noise_weight: f64,
    /// Sharpness of the rounding law (τ), above 0. Paper: 0.2.
    pub noise_temperature: f64,
    /// Where codes start. Default [`Start::Teacher`].
    pub start: Start,
    /// What the teacher's vectors lose before they are a start. Its graph layers are positive, so that as they are two thirds of
    /// the bits begin alike for everybody. Paper: nothing. Default users and items their means.
    pub centre: Centre,
    /// Rounds of the rotation (iterative quantisation) that the start's users and items share; 0 takes none. It leaves inner
    /// products as they are and gives every bit its part of them. Paper: none. Default 50.
    pub rotation_rounds: u32,
    /// Users a step, at least 1, with all their interactions. Default 64.
    pub batch_users: usize,
    /// Rule of the steps; a row that a batch does not touch still follows its momentum. Default Adam with learning rate 0.01.
    pub optimizer: Optimizer,
}

/// How real rows become bits while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relaxation {
    /// `x = tanh(p)`, drawn to ±1 by a penalty (Eq. 18).
    #[default]
    Corners,
    /// Bits drawn with `P(+1) = σ(x / τ)`, gradients straight through (Eq. 17).
    Stochastic,
}

/// Where codes start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Start {
    /// At the teacher's vectors, whose width is then the code length.
    #[default]
    Teacher,
    /// At random, which allows any code length.
    Random {
        /// Length of a code in bits.
        code_bits: usize,
        /// Standard deviation, above 0; 0.1 is usual.
        std: f64,
    },
}

impl Default for BinCfConfig {
    fn default() -> Self {
        Self {
            ranking_weight: 0.3,
            temperature: 1.0,
            score_scale: 0.05,
            list_limit: 256,
            relaxation: Relaxation::Corners,
            corner_weight: 1e-3,
            noise_weight: 1e-3,
            noise_temperature: 0.2,
            start: Start::Teacher,
            centre: Centre::Both,
            rotation_rounds: 50,
            batch_users: 64,
            optimizer: Optimizer::adam(1e-2),
        }
    }
}

impl BinCfConfig {
    /// Name of the method: `dgcn-bincf`, or `bincf` without distillation.
    #[must_use]
    pub fn model(&self) -> &'static str {
        if self.ranking_weight > 0.0 { "dgcn-bincf" } else { "bincf" }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let model = self.model();
        let positive =
            |field, x: f64| ConfigError::check_of(x > 0.0 && x.is_finite(), model, field, "a finite number above 0", x);
        let weight = |field, x: f64| {
            ConfigError::check_of(x >= 0.0 && x.is_finite(), model, field, "a finite number of at least 0", x)
        };
        weight("ranking_weight", self.ranking_weight)?;
        positive("temperature", self.temperature)?;
        positive("score_scale", self.score_scale)?;
        ConfigError::check_of(self.list_limit >= 2, model, "list_limit", "at least 2", self.list_limit)?;
        weight("corner_weight", self.corner_weight)?;
        weight("noise_weight", self.noise_weight)?;
        positive("noise_temperature", self.noise_temperature)?;
        if let Start::Random { code_bits, std } = self.start {
            let possible = (1..=crate::MAX_CODE_BITS).contains(&code_bits);
            ConfigError::check_of(possible, model, "start.code_bits", "in 1..=4096", code_bits)?;
            positive("start.std", std)?;
        }
        ConfigError::check_of(self.batch_users >= 1, model, "batch_users", "at least 1", self.batch_users)?;
        self.optimizer.validate().map_err(|error| error.of(model))
    }
}
