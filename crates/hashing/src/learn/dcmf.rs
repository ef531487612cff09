//! DCMF (Lian et al., "Discrete Content-aware Matrix Factorization", KDD 2017): DCF whose unobserved pairs and features count.
//!
//! Minimises over codes b, d in {±1}^r
//!
//! ```text
//! Σ over pairs (s - b·d)² - 2 a tr(Bᵀ X) - 2 b tr(Dᵀ Y) + ρ Σ over all (b·d)² + γ |B - F W|² + γ' |D - G W'|²
//! ```
//!
//! with what [`dcf`](super::dcf) has, features F, G of users and items, and W, W' their ridge regressions on the codes. To DCF's sum
//! for bit k comes `- ρ Σ_{l≠k} b_l (DᵀD)_{lk} + γ (F W)_k`.
//!
//! **Readings**, besides DCF's:
//! - It also has a variant with logistic loss, for classification; this is its regression.
//! - The interaction regulariser is over all pairs, so that `DᵀD` is one small matrix; the published sum leaves the observed pairs
//!   out, which is another ρ for these few.

use rectify_data::Interactions;
use rectify_tensor::Csr;
use rectify_tensor::linalg::Cholesky;
use rectify_tensor::train::{FitReport, TrainRun};
use serde::{Deserialize, Serialize};

use super::dcf::DcfConfig;
use super::discrete::{Discrete, check_weight};
use super::{ConfigError, FeatureError, FitError, Side, alternating};
use crate::BinaryFactors;

/// Settings of DCMF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DcmfConfig {
    /// What it shares with DCF.
    pub dcf: DcfConfig,
    /// Weight of scores near 0 for all pairs (ρ), at least 0. It gives unobserved pairs a meaning where only positives are
    /// known. Default 0.001.
    pub interaction: f64,
    /// Weight of user codes near what their features say (γ), at least 0; without features it does nothing. Default 0.01.
    pub user_content: f64,
    /// The same of item codes (γ'). Default 0.01.
    pub item_content: f64,
    /// Ridge of the regressions on features, above 0. Default 1.
    pub ridge: f64,
}

impl Default for DcmfConfig {
    fn default() -> Self {
        Self { dcf: DcfConfig::default(), interaction: 1e-3, user_content: 0.01, item_content: 0.01, ridge: 1.0 }
    }
}

impl DcmfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.dcf.check("dcmf")?;
        check_weight("dcmf", "interaction", self.interaction)?;
        check_weight("dcmf", "user_content", self.user_content)?;
        check_weight("dcmf", "item_content", self.item_content)?;
        let positive = self.ridge > 0.0 && self.ridge.is_finite();
        ConfigError::check_of(positive, "dcmf", "ridge", "a finite number above 0", self.ridge)
    }
}

/// Features of users and of items, a row for each; both may be absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features<'a> {
    /// (n_users, n_features).
    pub users: Option<&'a Csr>,
    /// (n_items, n_features).
    pub items: Option<&'a Csr>,
}

/// Most features of a side: their Gram matrix is dense.
const MAX_FEATURES: usize = 8192;

/// Learns DCMF's codes; as [`dcf::fit`](super::dcf::fit).
///
/// # Errors
/// As [`dcf::fit`](super::dcf::fit), [`FitError::Features`] if features have another number of rows than the data, or too many
/// columns, and [`FitError::Singular`].
pub fn fit(
    train: &Interactions,
    features: Features<'_>,
    config: &DcmfConfig,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    for (side, features, expected) in
        [(Side::Users, features.users, train.n_users()), (Side::Items, features.items, train.n_items())]
    {
        let Some(features) = features else { continue };
        let (n_rows, n_columns) = (features.n_rows(), features.n_columns());
        if n_rows != expected {
            return Err(FeatureError::Rows { side, expected, got: n_rows }.into());
        }
        if n_columns > MAX_FEATURES {
            return Err(FeatureError::Columns { side, most: MAX_FEATURES, got: n_columns }.into());
        }
    }
    let method = Discrete::new("dcmf", config, config, features, run.seed)?;
    alternating::fit(&method, train, run)
}

/// Features of one side with the factor of their ridge regression.
pub(super) struct Content<'a> {
    features: &'a Csr,
    factor: Cholesky,
}

impl<'a> Content<'a> {
    pub(super) fn new(features: &'a Csr, ridge: f64) -> Result<Self, FitError> {
        let n = features.n_columns();
        let mut gram = vec![0.0f64; n * n];
        for row in 0..features.n_rows() {
            let (columns, values) = features.row(row);
            for (i, x) in columns.iter().zip(values) {
                for (j, y) in columns.iter().zip(values) {
                    gram[*i as usize * n + *j as usize] += f64::from(*x) * f64::from(*y);
                }
            }
        }
        (0..n).for_each(|i| gram[i * n + i] += ridge);
        let factor = Cholesky::new(&gram, n).ok_or(FitError::Singular { model: "dcmf" })?;
        Ok(Self { features, factor })
    }

    /// What features say about codes: `F W`, W the ridge regression of the codes; (n, dim).
    pub(super) fn predict(&self, codes: &[f32], dim: usize) -> Vec<f32> {
        let n = self.features.n_columns();
        let mut right = vec![0.0; n * dim];
        self.features.transpose().spmm(codes, dim, &mut right);
        let weights = self.factor.solve(&right.into_iter().map(f64::from).collect::<Vec<f64>>(), dim);
        let weights: Vec<f32> = weights.into_iter().map(|x| x as f32).collect();
        let mut out = vec![0.0; codes.len()];
        self.features.spmm(&weights, dim, &mut out);
        out
    }
}
