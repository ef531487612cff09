//! Settings of HDN and its ablations.

use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::serve::{MAX_DIM, MAX_MODULES};
use crate::{ConfigError, Rejection, RejectionRatios};

/// Where a target comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// The teacher: its scores, its ranking.
    #[default]
    Teacher,
    /// Implicit feedback: interactions are positive (accepted), drawn items negative (rejected).
    Feedback,
}

/// What makes a score good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreLoss {
    /// Implicit data: cross-entropy of `σ(y)` against `σ(t / temperature)`, or against 1 and 0.
    #[default]
    Bernoulli,
    /// Ratings: half the squared gap between y and `t / temperature` (both spreads are 1, as the student emits none), or 1 and 0.
    Gaussian,
}

/// How the cascade that comes out of training rejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionRule {
    /// `D_n > 0` is rejected.
    #[default]
    Learned,
    /// The items with the largest `D_n` of each user are, until the share `rejection_ratios` is gone.
    Share,
    /// Nothing is.
    Never,
}

/// Settings of a hierarchical decision network (HDN), its ablations and the MF student.
///
/// A step follows the mean over a batch's pairs of `l_S + Σ_n decision_weight_n · l_Dn`. No pair is rejected in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HdnConfig {
    /// Width of all vectors (`d`), 1 to 4096. Default 32.
    pub embedding_dim: usize,
    /// Cumulative share of all items that each module is to have rejected (`γ`), one a module, rising within (0, 1).
    /// Default .75, .875, .9375. Without any there are no modules, and y is the plain inner product `P[u] · Q[i]` (MF student).
    pub rejection_ratios: Vec<f64>,
    /// What labels the modules learn; `None` trains no decisions. Default the teacher's.
    pub decisions: Option<Targets>,
    /// What the score learns. Default the teacher's.
    pub scores: Targets,
    /// Default Bernoulli.
    pub score_loss: ScoreLoss,
    /// Divides the teacher's scores, above 0. Default 1; the paper has none. For teachers whose scores are no logits.
    pub temperature: f64,
    /// Weight of each module's loss, at least 0; empty for 1 each. Default empty.
    pub decision_weights: Vec<f64>,
    /// Whether `D_n` and y have a bias. Default no, as in the paper; with one, small embeddings can reject too.
    pub bias: bool,
    /// How the cascade rejects that is served. Default as learned.
    pub rejection: RejectionRule,
    /// Uniform items outside the user's training items, drawn afresh for each interaction in each epoch, at least 1. Default 5.
    pub n_negatives: usize,
    /// Pairs a step, positives and negatives mixed, at least 1. Default 512.
    pub batch_size: usize,
    /// Default Adam with learning rate 0.001.
    pub optimizer: Optimizer,
    /// What happens to the vectors that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
    /// Standard deviation of the initial vectors, above 0. Default 0.01; all else starts Glorot uniform, biases at 0.
    pub init_std: f64,
}

impl Default for HdnConfig {
    fn default() -> Self {
        Self {
            embedding_dim: 32,
            rejection_ratios: vec![0.75, 0.875, 0.9375],
            decisions: Some(Targets::Teacher),
            scores: Targets::Teacher,
            score_loss: ScoreLoss::Bernoulli,
            temperature: 1.0,
            decision_weights: Vec::new(),
            bias: false,
            rejection: RejectionRule::Learned,
            n_negatives: 5,
            batch_size: 512,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
            init_std: 0.01,
        }
    }
}

impl HdnConfig {
    /// Without modules: matrix factorisation distilled from the teacher's scores.
    #[must_use]
    pub fn mf_student() -> Self {
        Self { rejection_ratios: Vec::new(), ..Self::default() }
    }

    /// HDN-nd: decisions and scores learn from feedback; each module rejects by share.
    #[must_use]
    pub fn nd(self) -> Self {
        let (decisions, scores) = (Some(Targets::Feedback), Targets::Feedback);
        Self { decisions, scores, rejection: RejectionRule::Share, ..self }
    }

    /// HDN-nr: trained as HDN, rejects nothing.
    #[must_use]
    pub fn nr(self) -> Self {
        Self { rejection: RejectionRule::Never, ..self }
    }

    /// HDN-nr⁻: decisions learn from feedback, scores from the teacher; rejects nothing.
    ///
    /// **Reading**: one sentence of the paper has it trained on feedback alone, another its rejecting layers only; we take the second.
    #[must_use]
    pub fn nr_minus(self) -> Self {
        Self { decisions: Some(Targets::Feedback), rejection: RejectionRule::Never, ..self }
    }

    /// HDN-nr-nd: scores learn from feedback, no decisions are learned; rejects nothing.
    #[must_use]
    pub fn nr_nd(self) -> Self {
        Self { decisions: None, scores: Targets::Feedback, rejection: RejectionRule::Never, ..self }
    }

    /// Number of modules (`N`).
    #[must_use]
    pub fn n_modules(&self) -> usize {
        self.rejection_ratios.len()
    }

    /// Learned values outside the vectors of users and items.
    #[must_use]
    pub fn n_weights(&self) -> usize {
        let (d, n) = (self.embedding_dim, self.n_modules());
        if n == 0 {
            return 0;
        }
        let biases = if self.bias { n + 1 } else { 0 };
        (2 * n - 1) * d * (d + 1) + 2 * d + biases
    }

    /// The ratios, checked.
    pub(crate) fn ratios(&self) -> Result<RejectionRatios, ConfigError> {
        let expected = "numbers that rise strictly, all above 0 and below 1";
        let got = format!("{:?}", self.rejection_ratios);
        RejectionRatios::new(&self.rejection_ratios).map_err(|_| ConfigError {
            model: None,
            field: "rejection_ratios",
            expected,
            got,
        })
    }

    /// The rule of what is served; settings are valid.
    pub(crate) fn rule(&self) -> Rejection {
        match self.rejection {
            RejectionRule::Learned => Rejection::learned(self.n_modules()),
            RejectionRule::Share => Rejection::Share(self.ratios().expect("the settings are valid")),
            RejectionRule::Never => Rejection::Never,
        }
    }

    /// The setting that asks for a teacher, if one does.
    pub(crate) fn asks_teacher(&self) -> Option<&'static str> {
        if self.scores == Targets::Teacher {
            return Some("scores");
        }
        (self.n_modules() > 0 && self.decisions == Some(Targets::Teacher)).then_some("decisions")
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive =
            |field, x: f64| ConfigError::check(x > 0.0 && x.is_finite(), field, "a finite number above 0", x);
        ConfigError::check(
            (1..=MAX_DIM).contains(&self.embedding_dim),
            "embedding_dim",
            "in 1..=4096",
            self.embedding_dim,
        )?;
        ConfigError::check(
            self.n_modules() <= MAX_MODULES,
            "rejection_ratios",
            "at most 32 modules",
            self.n_modules(),
        )?;
        self.ratios()?;
        positive("temperature", self.temperature)?;
        let weights = &self.decision_weights;
        let (sized, got) = (weights.is_empty() || weights.len() == self.n_modules(), format!("{weights:?}"));
        let fine = weights.iter().all(|weight| *weight >= 0.0 && weight.is_finite());
        ConfigError::check(
            sized && fine,
            "decision_weights",
            "empty, or a finite number of at least 0 for each module",
            got,
        )?;
        ConfigError::check((1..=1 << 10).contains(&self.n_negatives), "n_negatives", "in 1..=1024", self.n_negatives)?;
        ConfigError::check((1..=1 << 24).contains(&self.batch_size), "batch_size", "in 1..=16777216", self.batch_size)?;
        positive("init_std", self.init_std)?;
        self.optimizer.validate()
    }
}
