//! Settings of LightRec.

use rectify_tensor::{Optimizer, RowUpdate};
use serde::{Deserialize, Serialize};

use crate::{CodeShape, Composition, ConfigError};

/// Settings of LightRec (Lian et al., WWW 2020).
///
/// The defaults are what was ahead on three of four data sets and level on the fourth (docs/results/lightrec): codebooks that start as
/// k-means, so that some ten epochs are enough. [`paper`](Self::paper) has the paper's own, which start at random and want more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LightRecConfig {
    /// Codebooks (`B`), at least 1. Default 4.
    pub n_codebooks: usize,
    /// Codewords of a codebook (`W`), a power of two from 2 to 256. Default 256.
    pub n_codewords: usize,
    /// How alike a vector and a codeword are. Default Euclidean; the paper's is bilinear.
    pub similarity: Similarity,
    /// Adds a learned `v_b · c` to the bilinear similarity: codewords that are liked whatever the vector is. Default false, as in
    /// the authors' code.
    pub codeword_bias: bool,
    /// What the next codebook sees. Default the residual.
    pub recurrence: Recurrence,
    /// What is learned from the teacher beside the interactions. Default the inner-product hint with weight 1; [`paper`](Self::paper) has 0.1.
    pub distillation: Distillation,
    /// Whether the vectors that enter the encoder are trained too. Default false: they stay the teacher's, as in the authors'
    /// code.
    pub train_items: bool,
    /// Whether codebooks start as k-means of the items' residuals, where an item counts once, and once more for each of its
    /// interactions: what many users ask for is kept more exactly. Default true; the paper's start at random.
    pub kmeans_start: bool,
    /// Temperature of the soft choice of codewords (`T_s`), above 0. Default 0.03; the paper's is 0.9.
    pub temperature: f64,
    /// Uniform unobserved items drawn afresh for each interaction in each epoch, at least 1. Default 5.
    pub n_negatives: usize,
    /// Interactions a step, at least 1, each with its negatives. Default 1024.
    pub batch_size: usize,
    /// Adds `l2/2 · |v|²` for each user and decoded item vector of a batch, over the number of its interactions. At least
    /// 0, default 0.001.
    pub l2: f64,
    /// Default Adam with learning rate 0.0003; [`paper`](Self::paper) has 0.001.
    pub optimizer: Optimizer,
    /// What happens to the users (and items, if they are trained) that a batch does not touch. Default exact.
    pub row_update: RowUpdate,
}

/// How alike a vector x and the codewords c of codebook b are; the codeword with the highest similarity is chosen.
///
/// LightRec, section 3.2 and Table 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// `xᵀ A_b c`, with a learned matrix for each codebook.
    ///
    /// **Reading**: the printed term `v'·x` is the same for every codeword and changes neither choice nor gradient; it is left out.
    Bilinear,
    /// `x · c`.
    Dot,
    /// `x · c / √D`.
    ScaledDot,
    /// `−‖x − c‖²`.
    ///
    /// **Reading**: written as a bilinear form, the paper's signs give the distance; the nearest codeword must be the most alike.
    Euclidean,
    /// `x · g_w` with a learned direction for each codeword; the codewords themselves do not enter (KDE).
    RepresentationOnly,
}

/// What codebook b + 1 sees of the item, after `y` was chosen from codebook b for `x`.
///
/// LightRec, section 3.1 and Table 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recurrence {
    /// The item's vector, as codebook 1: the codebooks do not know of each other.
    None,
    /// `x − y`.
    Residual,
    /// `x − y R` with a learned matrix.
    Projected,
    /// `x R₁ − y R₂` with two learned matrices.
    General,
}

impl Recurrence {
    /// Learned matrices.
    pub(crate) const fn n_matrices(self) -> usize {
        match self {
            Self::None | Self::Residual => 0,
            Self::Projected => 1,
            Self::General => 2,
        }
    }
}

/// What LightRec learns from its teacher beside the interactions (LightRec, section 3.4 and Table 6).
///
/// With q the teacher's vector of an item, y the decoded one, and p₁, p the teacher's and LightRec's vector of a user.
///
/// **Reading**: the paper's losses are sums, over the items of a batch and over all users, so its weights (10⁻¹⁰ to 10⁻⁴)
/// shrink with batch size and data set. Here they are means, and weights keep their meaning: the paper's weight of the
/// inner-product hint is ours / (users · 1024 · (1 + 5)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distillation {
    /// Nothing.
    None,
    /// E-KD: `weight ·` the mean of `‖q − y‖²` over the items of a batch. With trained items q is the vector that enters the
    /// encoder, and is drawn to y too.
    Euclidean {
        /// At least 0.
        weight: f64,
    },
    /// IP-KD: `weight ·` the mean of `(p₁·q − p·y)²` over the items of a batch and **all** users.
    InnerProduct {
        /// At least 0.
        weight: f64,
    },
    /// RIP-KD: IP-KD, and `ranking_weight ·` the mean over interactions of the cross-entropy between the teacher's and the
    /// student's law over the interaction's negatives.
    RankedInnerProduct {
        /// At least 0.
        weight: f64,
        /// At least 0.
        ranking_weight: f64,
        /// Temperature of both laws (`T_r`), above 0. The paper's is 0.5.
        ranking_temperature: f64,
    },
}

impl Default for LightRecConfig {
    fn default() -> Self {
        Self {
            similarity: Similarity::Euclidean,
            distillation: Distillation::InnerProduct { weight: 1.0 },
            kmeans_start: true,
            temperature: 0.03,
            optimizer: Optimizer::adam(3e-4),
            ..Self::paper()
        }
    }
}

impl LightRecConfig {
    /// The settings of the paper and of its authors' code: bilinear similarity, codebooks that start at random, a soft choice of codewords.
    #[must_use]
    pub fn paper() -> Self {
        Self {
            n_codebooks: 4,
            n_codewords: 256,
            similarity: Similarity::Bilinear,
            codeword_bias: false,
            recurrence: Recurrence::Residual,
            distillation: Distillation::InnerProduct { weight: 0.1 },
            train_items: false,
            kmeans_start: false,
            temperature: 0.9,
            n_negatives: 5,
            batch_size: 1024,
            l2: 1e-3,
            optimizer: Optimizer::default(),
            row_update: RowUpdate::Exact,
        }
    }

    /// K-way D-dimensional discrete codes as the paper's rival (KDE): codewords do not enter the choice, codebooks do not know of
    /// each other, nothing is distilled.
    #[must_use]
    pub fn kde() -> Self {
        Self {
            similarity: Similarity::RepresentationOnly,
            recurrence: Recurrence::None,
            distillation: Distillation::None,
            ..Self::paper()
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.shape(1).check().map_err(|error| ConfigError {
            model: None,
            field: if self.n_codebooks == 0 { "n_codebooks" } else { "n_codewords" },
            expected: "at least 1 codebook, of a power of two from 2 to 256 codewords",
            got: error.to_string(),
        })?;
        let at_least_1 = |field, got: usize| ConfigError::check(got >= 1, field, "at least 1", got);
        at_least_1("n_negatives", self.n_negatives)?;
        at_least_1("batch_size", self.batch_size)?;
        let samples = self.n_negatives.checked_add(1).and_then(|n| n.checked_mul(self.batch_size));
        let fits = samples.is_some_and(|n| u32::try_from(n).is_ok());
        ConfigError::check(fits, "batch_size", "fewer than 2^32 items with its negatives", self.batch_size)?;
        let positive =
            |field, got: f64| ConfigError::check(got > 0.0 && got.is_finite(), field, "a finite number above 0", got);
        let not_negative = |field, got: f64| {
            ConfigError::check(got >= 0.0 && got.is_finite(), field, "a finite number of at least 0", got)
        };
        positive("temperature", self.temperature)?;
        not_negative("l2", self.l2)?;
        match self.distillation {
            Distillation::None => {}
            Distillation::Euclidean { weight } | Distillation::InnerProduct { weight } => {
                not_negative("distillation.weight", weight)?;
            }
            Distillation::RankedInnerProduct { weight, ranking_weight, ranking_temperature } => {
                not_negative("distillation.weight", weight)?;
                not_negative("distillation.ranking_weight", ranking_weight)?;
                positive("distillation.ranking_temperature", ranking_temperature)?;
            }
        }
        let bias_has_form = !self.codeword_bias || self.similarity == Similarity::Bilinear;
        ConfigError::check(bias_has_form, "codeword_bias", "false unless the similarity is bilinear", true)?;
        self.optimizer.validate()
    }

    /// Codes and codebooks of items that are `dim` wide.
    pub(crate) const fn shape(&self, dim: usize) -> CodeShape {
        CodeShape {
            embedding_dim: dim,
            n_codebooks: self.n_codebooks,
            n_codewords: self.n_codewords,
            composition: Composition::Sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let refused = |config: LightRecConfig| config.validate().unwrap_err().to_string();
        let base = LightRecConfig::paper;
        assert!(
            LightRecConfig::default().validate().is_ok()
                && base().validate().is_ok()
                && LightRecConfig::kde().validate().is_ok()
        );
        assert!(refused(LightRecConfig { n_codebooks: 0, ..base() }).contains("n_codebooks"));
        assert!(refused(LightRecConfig { n_codewords: 100, ..base() }).contains("100 codewords"));
        assert!(refused(LightRecConfig { n_codewords: 512, ..base() }).contains("power of two"));
        assert!(refused(LightRecConfig { n_negatives: 0, ..base() }).contains("n_negatives is 0"));
        assert!(refused(LightRecConfig { batch_size: 0, ..base() }).contains("batch_size is 0"));
        assert!(refused(LightRecConfig { batch_size: usize::MAX, ..base() }).contains("fewer than 2^32"));
        assert!(refused(LightRecConfig { temperature: 0.0, ..base() }).contains("temperature is 0"));
        assert!(refused(LightRecConfig { l2: f64::NAN, ..base() }).contains("l2 is NaN"));
        assert!(refused(LightRecConfig { optimizer: Optimizer::adam(-1.0), ..base() }).contains("learning_rate is -1"));
        let distillation = Distillation::Euclidean { weight: -0.5 };
        assert!(refused(LightRecConfig { distillation, ..base() }).contains("distillation.weight is -0.5"));
        let distillation =
            Distillation::RankedInnerProduct { weight: 0.1, ranking_weight: 0.1, ranking_temperature: 0.0 };
        assert!(refused(LightRecConfig { distillation, ..base() }).contains("ranking_temperature is 0"));
        let config = LightRecConfig { codeword_bias: true, similarity: Similarity::Dot, ..base() };
        assert!(refused(config).contains("codeword_bias is true"));
    }

    #[test]
    fn the_paper_starts_at_random_and_the_default_from_k_means() {
        let (paper, default) = (LightRecConfig::paper(), LightRecConfig::default());
        assert_eq!((paper.kmeans_start, paper.similarity, paper.temperature), (false, Similarity::Bilinear, 0.9));
        // What k-means differs in, and nothing else.
        let LightRecConfig { similarity, distillation, kmeans_start, temperature, optimizer, .. } = default.clone();
        assert_eq!(
            LightRecConfig { similarity, distillation, kmeans_start, temperature, optimizer, ..paper },
            LightRecConfig {
                similarity: Similarity::Euclidean,
                distillation: Distillation::InnerProduct { weight: 1.0 },
                kmeans_start: true,
                temperature: 0.03,
                optimizer: Optimizer::adam(0.0003),
                ..default
            }
        );
    }

    #[test]
    fn settings_have_a_text_form() {
        let config: LightRecConfig = serde_json::from_str(
            r#"{"similarity": "scaled-dot", "recurrence": "none", "distillation": {"rule": "euclidean", "weight": 0.5}}"#,
        )
        .unwrap();
        assert_eq!((config.similarity, config.recurrence), (Similarity::ScaledDot, Recurrence::None));
        assert_eq!(config.distillation, Distillation::Euclidean { weight: 0.5 });
        assert!(serde_json::from_str::<LightRecConfig>(r#"{"codebooks": 4}"#).is_err());
    }
}
