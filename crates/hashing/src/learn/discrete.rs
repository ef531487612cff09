//! What DCF and DCMF share: codes updated bit by bit, in rows that do not wait for each other.

use rectify_core::rng::Seed;
use rectify_tensor::kernels::{Op, add_assign, axpy, dot, gemm};
use rectify_tensor::{Csr, Init};
use serde::Serialize;

use super::alternating::{Method, each_row};
use super::dcmf::{Content, DcmfConfig, Features};
use super::rotation::delegates;
use super::vectors::by_sign;
use super::{ConfigError, Feedback, FitError, Side};
use crate::BinaryFactors;

pub(super) fn check_weight(model: &'static str, field: &'static str, x: f64) -> Result<(), ConfigError> {
    ConfigError::check_of(x >= 0.0 && x.is_finite(), model, field, "a finite number of at least 0", x)
}

/// DCMF; DCF where neither unobserved pairs nor features count.
pub(super) struct Discrete<'a> {
    model: &'static str,
    config: &'a DcmfConfig,
    settings: serde_json::Value,
    content: [Option<Content<'a>>; 2],
    seed: Seed,
}

impl<'a> Discrete<'a> {
    pub(super) fn new(
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
        by_sign(self.model, &self.settings, users, items, self.dim())
    }
}
