//! Settings and shape of the neural collaborative filtering models.

use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Reduction};

/// Settings of GMF, MLP and NeuMF: one model, of which GMF has no tower and MLP no product.
///
/// A user has one vector of width `gmf_dim + mlp_dim`: what the product branch reads, then what the tower reads; an item
/// likewise. (NCF keeps them in two tables, which is the same: both parts of a row are touched together.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeuMfConfig {
    /// Width of the product branch; 0 leaves it out (MLP). Default 32.
    pub gmf_dim: usize,
    /// Width of a vector that enters the tower; 0 leaves the tower out (GMF). Default 64.
    pub mlp_dim: usize,
    /// Widths of the tower's ReLU layers, the first of which reads `2 · mlp_dim` numbers; empty without a tower, else one
    /// or more. Default 128, 64, 32, as HDN's teacher; DE-RRD has one layer of width `mlp_dim`.
    pub hidden: Vec<usize>,
    /// Uniform unobserved items drawn afresh for each interaction in each epoch, at least 1. NCF: 4; DE-RRD: 1.
    pub n_negatives: usize,
    /// Samples a step, positives and negatives mixed, at least 1. NCF: 256.
    pub batch_size: usize,
    /// Whether a step follows the sum or the mean over the batch's samples. Default mean.
    pub reduction: Reduction,
    /// NCF: Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// What happens to the vectors that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
    /// Standard deviation of the initial vectors, above 0. NCF: 0.01. Layers start Glorot uniform, biases at 0.
    pub init_std: f64,
}

impl Default for NeuMfConfig {
    fn default() -> Self {
        Self {
            gmf_dim: 32,
            mlp_dim: 64,
            hidden: vec![128, 64, 32],
            n_negatives: 4,
            batch_size: 256,
            reduction: Reduction::Mean,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
            init_std: 0.01,
        }
    }
}

impl NeuMfConfig {
    /// Generalised matrix factorisation: the product branch alone.
    #[must_use]
    pub fn gmf(dim: usize) -> Self {
        Self { gmf_dim: dim, mlp_dim: 0, hidden: Vec::new(), ..Self::default() }
    }

    /// The tower alone.
    #[must_use]
    pub fn mlp(dim: usize, hidden: &[usize]) -> Self {
        Self { gmf_dim: 0, mlp_dim: dim, hidden: hidden.to_vec(), ..Self::default() }
    }

    /// The same settings without the tower.
    #[must_use]
    pub fn gmf_part(&self) -> Self {
        Self { mlp_dim: 0, hidden: Vec::new(), ..self.clone() }
    }

    /// The same settings without the product branch.
    #[must_use]
    pub fn mlp_part(&self) -> Self {
        Self { gmf_dim: 0, ..self.clone() }
    }

    /// `gmf`, `mlp` or `neumf`.
    #[must_use]
    pub const fn model(&self) -> &'static str {
        match (self.gmf_dim, self.mlp_dim) {
            (_, 0) => "gmf",
            (0, _) => "mlp",
            _ => "neumf",
        }
    }

    /// Width of a user's or an item's vector.
    #[must_use]
    pub const fn embedding_dim(&self) -> usize {
        self.gmf_dim + self.mlp_dim
    }

    /// Width of the joint vector that the output layer reads.
    #[must_use]
    pub fn joint_dim(&self) -> usize {
        self.gmf_dim + self.hidden.last().copied().unwrap_or(0)
    }

    /// (inputs, outputs) of each layer of the tower.
    #[must_use]
    pub fn layers(&self) -> Vec<(usize, usize)> {
        let inputs = std::iter::once(2 * self.mlp_dim).chain(self.hidden.iter().copied());
        inputs.zip(self.hidden.iter().copied()).collect()
    }

    /// Number of learned values for a catalogue of this size.
    #[must_use]
    pub fn n_params(&self, n_users: usize, n_items: usize) -> usize {
        let tower: usize = self.layers().iter().map(|(inputs, outputs)| (inputs + 1) * outputs).sum();
        (n_users + n_items) * self.embedding_dim() + tower + self.joint_dim() + 1
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const MAX: usize = 1 << 14;
        let model = self.model();
        let check = |holds, field, expected, got: &dyn std::fmt::Display| {
            ConfigError::check_of(holds, model, field, expected, got)
        };
        check(self.gmf_dim <= MAX, "gmf_dim", "in 0..=16384", &self.gmf_dim)?;
        check(self.mlp_dim <= MAX, "mlp_dim", "in 0..=16384", &self.mlp_dim)?;
        check(self.embedding_dim() > 0, "gmf_dim", "at least 1, or mlp_dim at least 1", &self.gmf_dim)?;
        let widths = format!("{:?}", self.hidden);
        check(self.hidden.is_empty() == (self.mlp_dim == 0), "hidden", "layers if and only if mlp_dim > 0", &widths)?;
        check(self.hidden.iter().all(|w| (1..=MAX).contains(w)), "hidden", "widths in 1..=16384", &widths)?;
        check((1..=1 << 10).contains(&self.n_negatives), "n_negatives", "in 1..=1024", &self.n_negatives)?;
        check((1..=1 << 24).contains(&self.batch_size), "batch_size", "in 1..=16777216", &self.batch_size)?;
        let std = self.init_std;
        check(std > 0.0 && std.is_finite(), "init_std", "a finite number above 0", &std)?;
        self.optimizer.validate().map_err(|error| error.of(model))
    }
}
