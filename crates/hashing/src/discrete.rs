//! DCF (Zhang et al., "Discrete Collaborative Filtering", SIGIR 2016) and DCMF (Lian et al., "Discrete Content-aware Matrix
//! Factorization", KDD 2017): codes learned bit by bit, never relaxed.
//!
//! Both minimise over codes b, d in {±1}^r
//!
//! ```text
//! Σ over pairs (s - b·d)² - 2 a tr(Bᵀ X) - 2 b tr(Dᵀ Y)  [DCMF: + ρ Σ over all (b·d)² + γ |B - F W|² + γ' |D - G W'|²]
//! ```
//!
//! with targets s in [-r, r], delegates X, Y (zero column sums, orthogonal columns), features F, G of users and items, and W, W'
//! their ridge regressions on the codes. Bit k of a user, all else fixed, becomes the sign of
//! `Σ_j (s_j - Σ_{l≠k} b_l d_jl) d_jk + a X_k - ρ Σ_{l≠k} b_l (DᵀD)_{lk} + γ (F W)_k`; at 0 it stays. Five sweeps a row at most.
//!
//! **Readings**:
//! - Both were made for ratings. [`Feedback`] says what implicit feedback becomes; +1 is `s = r`, -1 is `s = -r`.
//! - The start solves the relaxed problem (real rows, `a |B|²` instead of the constraint) by the same descent, and takes signs.
//! - DCMF also has a variant with logistic loss, for classification; this is its regression.
//! - DCMF's interaction regulariser is over all pairs, so that `DᵀD` is one small matrix; the published sum leaves the observed
//!   pairs out, which is another ρ for these few.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side as Triangle};
use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_tensor::kernels::{Op, add_assign, axpy, dot, gemm};
use rectify_tensor::train::{FitConfig, FitReport, Observer};
use rectify_tensor::{Csr, Init};
use serde::{Deserialize, Serialize};

use crate::alternating::{self, Method, Side, each_row};
use crate::rotation::delegates;
use crate::training::signs;
use crate::{BinaryFactors, ConfigError, Feedback, FitError, MAX_CODE_BITS, Validate};

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

    fn check(&self, model: &'static str) -> Result<(), ConfigError> {
        let possible = (1..=MAX_CODE_BITS).contains(&self.code_bits);
        ConfigError::check(possible, model, "code_bits", "in 1..=4096", self.code_bits)?;
        check_weight(model, "user_balance", self.user_balance)?;
        check_weight(model, "item_balance", self.item_balance)?;
        ConfigError::check(self.sweeps >= 1, model, "sweeps", "at least 1", self.sweeps)
    }
}

fn check_weight(model: &'static str, field: &'static str, x: f64) -> Result<(), ConfigError> {
    ConfigError::check(x >= 0.0 && x.is_finite(), model, field, "a finite number of at least 0", x)
}

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
        ConfigError::check(positive, "dcmf", "ridge", "a finite number above 0", self.ridge)
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

/// Learns DCF's codes. An epoch is one turn of users and of items; the loss reported is the squared error of a pair.
///
/// `validate` gets the codes after an epoch. The same seed gives the same bits on any number of threads, and after a resume. A
/// user without interactions gets the code that balances the others.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`], [`FitError::Train`].
pub fn dcf(
    train: &Interactions,
    config: &DcfConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_>,
    observer: &mut dyn Observer,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    let all = DcmfConfig { dcf: config.clone(), interaction: 0.0, ..DcmfConfig::default() };
    let method = Discrete::new("dcf", &all, config, Features::default(), seed)?;
    alternating::fit(&method, train, run, seed, validate, observer)
}

/// Learns DCMF's codes; as [`dcf`].
///
/// # Errors
/// As [`dcf`], and [`FitError::Features`] if features have another number of rows than the data, or too many columns.
pub fn dcmf(
    train: &Interactions,
    features: Features<'_>,
    config: &DcmfConfig,
    run: &FitConfig,
    seed: Seed,
    validate: Validate<'_>,
    observer: &mut dyn Observer,
) -> Result<(BinaryFactors, FitReport), FitError> {
    config.validate()?;
    for (what, features, expected) in
        [("user features", features.users, train.n_users()), ("item features", features.items, train.n_items())]
    {
        if let Some(features) = features {
            FitError::check_features(what, "rows", features.n_rows() == expected, expected, features.n_rows())?;
            let n = features.n_columns();
            FitError::check_features(what, "columns at most", n <= MAX_FEATURES, MAX_FEATURES, n)?;
        }
    }
    let method = Discrete::new("dcmf", config, config, features, seed)?;
    alternating::fit(&method, train, run, seed, validate, observer)
}

/// Features of one side with the factor of their ridge regression.
struct Content<'a> {
    features: &'a Csr,
    factor: Llt<f64>,
}

impl<'a> Content<'a> {
    fn new(features: &'a Csr, ridge: f64) -> Result<Self, FitError> {
        let n = features.n_columns();
        let mut gram = Mat::<f64>::zeros(n, n);
        for row in 0..features.n_rows() {
            let (columns, values) = features.row(row);
            for (i, x) in columns.iter().zip(values) {
                for (j, y) in columns.iter().zip(values) {
                    gram[(*i as usize, *j as usize)] += f64::from(*x) * f64::from(*y);
                }
            }
        }
        (0..n).for_each(|i| gram[(i, i)] += ridge);
        let factor = gram.llt(Triangle::Lower).map_err(|_| FitError::Singular { model: "dcmf" })?;
        Ok(Self { features, factor })
    }

    /// What features say about codes: `F W`, W the ridge regression of the codes; (n, dim).
    fn predict(&self, codes: &[f32], dim: usize) -> Vec<f32> {
        let n = self.features.n_columns();
        let mut right = vec![0.0; n * dim];
        self.features.transpose().spmm(codes, dim, &mut right);
        let weights = self.factor.solve(Mat::from_fn(n, dim, |i, j| f64::from(right[i * dim + j])));
        let weights: Vec<f32> = (0..n * dim).map(|at| weights[(at / dim, at % dim)] as f32).collect();
        let mut out = vec![0.0; codes.len()];
        self.features.spmm(&weights, dim, &mut out);
        out
    }
}

struct Discrete<'a> {
    model: &'static str,
    config: &'a DcmfConfig,
    settings: serde_json::Value,
    content: [Option<Content<'a>>; 2],
    seed: Seed,
}

impl<'a> Discrete<'a> {
    fn new(
        model: &'static str,
        config: &'a DcmfConfig,
        settings: &impl Serialize,
        features: Features<'a>,
        seed: Seed,
    ) -> Result<Self, FitError> {
        let content = |features: Option<&'a Csr>, weight: f64| {
            features.filter(|_| weight > 0.0).map(|features| Content::new(features, config.ridge)).transpose()
        };
        let content = [content(features.users, config.user_content)?, content(features.items, config.item_content)?];
        let settings = serde_json::to_value(settings).expect("settings have a JSON form");
        Ok(Self { model, config, settings, content, seed: seed.stream("delegates") })
    }

    /// What pulls at the bits of a side besides its pairs: `a X + γ F W`, and the balance weight.
    fn pulls(&self, side: Side, epoch: u32, own: &[f32]) -> (Vec<f32>, f32) {
        let (dim, config) = (self.dim(), self.config);
        let (balance, gamma, which) = match side {
            Side::Users => (config.dcf.user_balance, config.user_content, 0),
            Side::Items => (config.dcf.item_balance, config.item_content, 1),
        };
        let mut pulls = vec![0.0; own.len()];
        if balance > 0.0 {
            let seed = self.seed.stream(["users", "items"][which]).stream(&epoch.to_string());
            axpy(balance as f32, &delegates(own, dim, seed), &mut pulls);
        }
        if let Some(content) = &self.content[which] {
            axpy(gamma as f32, &content.predict(own, dim), &mut pulls);
        }
        (pulls, balance as f32)
    }

    /// `ρ DᵀD`, if it counts.
    fn interaction(&self, other: &[f32]) -> Option<Vec<f32>> {
        let (dim, rho) = (self.dim(), self.config.interaction as f32);
        let product = |rows: std::ops::Range<usize>| {
            let rows = &other[rows.start * dim..rows.end * dim];
            let mut part = vec![0.0; dim * dim];
            gemm((dim, dim, rows.len() / dim), rho, rows, Op::Transposed, rows, Op::Plain, 0.0, &mut part);
            part
        };
        let add = |mut sum: Vec<f32>, part: Vec<f32>| {
            add_assign(&mut sum, &part);
            sum
        };
        let gram = || rectify_tensor::parallel::map_reduce(other.len() / dim, 512, product, vec![0.0; dim * dim], add);
        (rho > 0.0).then(gram)
    }

    /// One turn; `relaxed` moves real rows, else bits.
    fn update(&self, side: Side, epoch: u32, own: &mut [f32], other: &[f32], pairs: &Csr, relaxed: bool) -> f64 {
        let dim = self.dim();
        let (pulls, balance) = self.pulls(side, epoch, own);
        let interaction = self.interaction(other);
        let sweeps = if relaxed { 2 } else { self.config.dcf.sweeps };
        each_row(own, dim, pairs, |descent, at, row, (partners, labels)| {
            let pulls = &pulls[at * dim..(at + 1) * dim];
            let targets = labels.iter().map(|label| label * dim as f32);
            descent.run(row, other, partners, targets, 1.0, sweeps, 0.0, |c| {
                let mut pull = c.linear + pulls[c.k];
                let mut curvature = c.quadratic + balance;
                if let Some(gram) = &interaction {
                    let column = &gram[c.k * dim..(c.k + 1) * dim];
                    pull -= dot(c.row, column) - column[c.k] * c.row[c.k];
                    curvature += column[c.k];
                }
                match relaxed {
                    true if curvature > 1e-6 => pull / curvature,
                    false if pull > 0.0 => 1.0,
                    false if pull < 0.0 => -1.0,
                    _ => c.row[c.k],
                }
            })
        })
    }
}

impl Method for Discrete<'_> {
    fn dim(&self) -> usize {
        self.config.dcf.code_bits
    }

    fn feedback(&self) -> Feedback {
        self.config.dcf.feedback
    }

    fn init(&self) -> Init {
        Init::Normal { std: 1.0 }
    }

    fn start(&self, users: &mut [f32], items: &mut [f32], pairs: &Csr) {
        for _ in 0..self.config.dcf.start_rounds {
            self.update(Side::Users, 0, users, items, pairs, true);
            self.update(Side::Items, 0, items, users, pairs.transpose(), true);
        }
        for x in users.iter_mut().chain(items) {
            *x = if *x >= 0.0 { 1.0 } else { -1.0 };
        }
    }

    fn turn(&self, side: Side, epoch: u32, own: &mut [f32], other: &[f32], pairs: &Csr) -> f64 {
        self.update(side, epoch, own, other, pairs, false)
    }

    fn codes(&self, users: &[f32], items: &[f32]) -> Result<BinaryFactors, FitError> {
        signs(self.model, &self.settings, users, items, self.dim())
    }
}
