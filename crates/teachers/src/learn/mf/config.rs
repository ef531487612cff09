//! Settings of matrix factorisation.

use rectify_core::ConfigError;
use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::Reduction;

/// Settings of matrix factorisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MfConfig {
    /// Width of a vector, at least 1. Default 64.
    pub embedding_dim: usize,
    /// What a sample costs. Default BPR.
    pub loss: MfLoss,
    /// Uniform unobserved items drawn afresh for each interaction in each epoch, at least 1. Default 1; NCF takes 4,
    /// LightRec 5.
    pub n_negatives: usize,
    /// Interactions a step, at least 1, each with its negatives. Default 1024.
    pub batch_size: usize,
    /// Whether a step follows the sum or the mean over the batch's samples. Default mean.
    pub reduction: Reduction,
    /// Adds `l2/2 · |v|²` for each vector v of a sample to its loss, at least 0. Default 0. This acts on what a batch
    /// touches; the optimiser's `weight_decay` acts on every vector at every step (if updates are exact).
    pub l2: f64,
    /// Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// What happens to the vectors that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
    /// Standard deviation of the initial values, above 0. Default 0.01.
    pub init_std: f64,
}

/// What a sample costs; x is an inner product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MfLoss {
    /// `−ln σ(x_ui − x_uj)` of an interaction and one of its negatives (Rendle et al., UAI 2009); a sample is such a pair.
    #[default]
    Bpr,
    /// `−ln σ(x_ui)` of an interaction, `−ln σ(−x_uj)` of a negative (He et al., WWW 2017, Eq. 7); each is a sample.
    Bce,
}

impl MfLoss {
    /// `mf-bpr` or `mf-bce`.
    pub(super) const fn model(self) -> &'static str {
        match self {
            Self::Bpr => "mf-bpr",
            Self::Bce => "mf-bce",
        }
    }
}

impl Default for MfConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 64,
            loss: MfLoss::Bpr,
            n_negatives: 1,
            batch_size: 1024,
            reduction: Reduction::Mean,
            l2: 0.0,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
            init_std: 0.01,
        }
    }
}

impl MfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let model = self.loss.model();
        let at_least_1 = |field, got: usize| ConfigError::check_of(got >= 1, model, field, "at least 1", got);
        at_least_1("embedding_dim", self.embedding_dim)?;
        at_least_1("n_negatives", self.n_negatives)?;
        at_least_1("batch_size", self.batch_size)?;
        let samples = self.batch_size.checked_mul(self.n_negatives + 1).and_then(|n| u32::try_from(n).ok());
        let expected = "fewer than 2^32 samples with its negatives";
        ConfigError::check_of(samples.is_some(), model, "batch_size", expected, self.batch_size)?;
        let l2 = self.l2;
        ConfigError::check_of(l2 >= 0.0 && l2.is_finite(), model, "l2", "a finite number of at least 0", l2)?;
        let std = self.init_std;
        ConfigError::check_of(std > 0.0 && std.is_finite(), model, "init_std", "a finite number above 0", std)?;
        self.optimizer.validate().map_err(|error| error.of(model))
    }
}
