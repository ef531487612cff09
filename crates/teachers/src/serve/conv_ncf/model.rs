//! The model that is served.

use rectify_core::artifact::Array;
use rectify_core::{
    Catalogue, Exhaustive, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId, check_len,
};

use super::ConvNcfConfig;
use super::network::{Pass, Weights, positions};

/// Pairs that go through the layers together.
const BLOCK: usize = 32;

/// A frozen ConvNCF: scores any pair by its interaction map. A black box as a teacher.
#[derive(Clone, Debug)]
pub struct ConvNcf {
    pub(super) config: ConvNcfConfig,
    pub(super) parts: Parts,
    positions: Vec<(u16, u16)>,
}

/// Learned values, each by its name in a file.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// (users, embedding_dim).
    pub(crate) users: Array<f32>,
    /// (items, embedding_dim).
    pub(crate) items: Array<f32>,
    /// Weight (4 · inputs, channels) and bias of each layer.
    pub(crate) layers: Vec<(Array<f32>, Array<f32>)>,
    pub(crate) output: Array<f32>,
    pub(crate) bias: f32,
}

impl ConvNcf {
    /// The sizes of `parts` fit `config`.
    pub(crate) fn from_parts(config: ConvNcfConfig, parts: Parts) -> Self {
        let positions = positions(config.embedding_dim);
        Self { config, parts, positions }
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.parts.users.len() / self.config.embedding_dim
    }

    /// The settings it was trained with.
    #[must_use]
    pub const fn config(&self) -> &ConvNcfConfig {
        &self.config
    }

    fn score(&self, user: UserId, n: usize, item: impl Fn(usize) -> usize, out: &mut [f32]) -> Result<(), QueryError> {
        let d = self.config.embedding_dim;
        let n_users = self.n_users();
        let start = user.index() * d;
        let user = self.parts.users.get(start..start + d).ok_or(QueryError::UnknownUser { user, n_users })?;
        let layers: Vec<(&[f32], &[f32])> = self.parts.layers.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let weights = Weights { layers: &layers, output: &self.parts.output, bias: self.parts.bias };
        let mut pass = Pass::default();
        for first in (0..n).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(n);
            let pairs = block.clone().map(|at| (user, &self.parts.items[item(at) * d..][..d]));
            pass.forward(&weights, &self.positions, pairs);
            out[block].copy_from_slice(&pass.scores);
        }
        Ok(())
    }
}

impl Catalogue for ConvNcf {
    fn n_items(&self) -> usize {
        self.parts.items.len() / self.config.embedding_dim
    }
}

impl Scorer for ConvNcf {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        let n_items = self.n_items();
        if let Some(item) = items.iter().find(|item| item.index() >= n_items) {
            return Err(QueryError::UnknownItem { item: *item, n_items });
        }
        self.score(*user, items.len(), |at| items[at].index(), out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.n_items(), out.len())?;
        self.score(*user, self.n_items(), |at| at, out)
    }
}

/// Scores every item.
impl Retriever for ConvNcf {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        Exhaustive::new(self).top_k(user, k, filter, out)
    }
}

impl Teacher for ConvNcf {}
