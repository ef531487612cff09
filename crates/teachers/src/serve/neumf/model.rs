//! A trained network that is served: frozen parameters, and the part of the first layer that items share.

use rectify_core::{Catalogue, ItemFilter, ItemId, QueryError, UserId};
use rectify_tensor::kernels::{Activation, Level, Op, gemm, linear_bias_act};

use super::NeuMfConfig;
use super::first_pass::{self, FirstPass};
use super::parts::Parts;

/// A frozen GMF, MLP or NeuMF.
///
/// `score(u, i)` is the logit `w · [p_u ⊙ q_i ; tower([p'_u ; q'_i])] + b`; its sigmoid is the predicted probability. Its
/// hidden vector is the joint vector of a pair, `gmf_dim` products and then the last layer of the tower.
///
/// The first layer of the tower is linear in the concatenation, so its share of each item is computed once, when the model
/// is made (one vector of the first layer's width an item), and its share of the user once a query.
///
/// As a [`Retriever`](rectify_core::Retriever) it gives the answers of scoring every item. On a CPU with AVX-512 VNNI it gets there in half the
/// time: a first pass in 16-bit integers with a proven bound leaves few items to score in f32 ([`candidates`](Self::candidates)), if the
/// tower has at least two layers, all but the last of even width. That takes twice the items' memory.
#[derive(Clone, Debug)]
pub struct NeuMf {
    pub(super) config: NeuMfConfig,
    pub(super) n_users: usize,
    pub(super) n_items: usize,
    pub(crate) parts: Parts,
    /// Product part of each item, (n_items, gmf_dim).
    pub(super) products: Vec<f32>,
    /// First layer's share of each item, bias included, (n_items, hidden[0]).
    pub(super) first: Vec<f32>,
    pub(super) first_pass: Option<FirstPass>,
}

impl NeuMf {
    /// The sizes of `parts` fit `config`.
    pub(crate) fn from_parts(config: NeuMfConfig, parts: Parts) -> Self {
        let Parts { users, items, layers, .. } = &parts;
        let (dim, gmf, mlp) = (config.embedding_dim(), config.gmf_dim, config.mlp_dim);
        let (n_users, n_items) = (users.len() / dim, items.len() / dim);
        let column = |range: std::ops::Range<usize>| -> Vec<f32> {
            items.chunks_exact(dim).flat_map(|row| &row[range.clone()]).copied().collect()
        };
        let products = column(0..gmf);
        let first = layers.first().map_or_else(Vec::new, |(weight, bias)| {
            let mut first = vec![0.0; n_items * bias.len()];
            linear_bias_act(&column(gmf..dim), &weight[mlp * bias.len()..], bias, Activation::Identity, &mut first);
            first
        });
        let mut model = Self { config, n_users, n_items, parts, products, first, first_pass: None };
        // Slower than f32 where the CPU has no such products.
        if Level::best() >= Level::Avx512Vnni {
            model.first_pass = model.first_pass();
        }
        model
    }

    /// A first pass, quick here or not, if the tower can have one.
    pub(super) fn first_pass(&self) -> Option<FirstPass> {
        FirstPass::new(&self.parts, &self.first, &self.products)
    }

    /// With that pass.
    #[cfg(test)]
    pub(crate) fn certified(mut self) -> Option<Self> {
        self.first_pass = Some(self.first_pass()?);
        Some(self)
    }

    /// What a first pass asks of a user: share of the first layer, and `w ⊙ p_u`.
    pub(super) fn query(&self, user: UserId) -> Result<(Vec<f32>, Vec<f32>), QueryError> {
        let (product, embedding) = self.user(user)?;
        let mut first = vec![0.0; self.config.hidden.first().copied().unwrap_or(0)];
        self.user_first(embedding, &mut first);
        Ok((first, self.weighted(product)))
    }

    /// The items that a first pass in 16-bit integers cannot prove not to be among the best `k`, ascending; `None` if there is no such pass.
    ///
    /// # Errors
    /// An unknown user.
    pub fn candidates(
        &self,
        user: UserId,
        k: usize,
        filter: &ItemFilter<'_>,
    ) -> Result<Option<Vec<ItemId>>, QueryError> {
        let (first, weighted) = self.query(user)?;
        let query = first_pass::Query { first: &first, weighted: &weighted };
        Ok(self.first_pass.as_ref().and_then(|pass| pass.candidates(&query, k, filter)))
    }

    /// Puts a trained GMF and a trained MLP together, as the start of a NeuMF that is then trained on: both branches are
    /// copied, the output weights are `[½ w_gmf ; ½ w_mlp]`, the bias `½ (b_gmf + b_mlp)` (He et al. 2017, Section 3.4.1
    /// with α = ½). Settings are those of `gmf`.
    ///
    /// # Errors
    /// [`QueryError::Unsupported`] if one is not what it should be, or they know other users or items.
    pub fn merge(gmf: &Self, mlp: &Self) -> Result<Self, QueryError> {
        let models = (gmf.config.model(), mlp.config.model());
        if models != ("gmf", "mlp") {
            return Err(QueryError::Unsupported(format!(
                "expected a gmf and an mlp, got {} and {}",
                models.0, models.1
            )));
        }
        let shapes = ((gmf.n_users, gmf.n_items), (mlp.n_users, mlp.n_items));
        if shapes.0 != shapes.1 {
            let problem =
                format!("gmf knows (users, items) {:?}, mlp {:?}; train both on one data set", shapes.0, shapes.1);
            return Err(QueryError::Unsupported(problem));
        }
        let (a, b) = (gmf.config.gmf_dim, mlp.config.mlp_dim);
        let beside = |left: &[f32], right: &[f32]| -> Vec<f32> {
            left.chunks_exact(a).zip(right.chunks_exact(b)).flat_map(|(l, r)| l.iter().chain(r)).copied().collect()
        };
        let config = NeuMfConfig { mlp_dim: b, hidden: mlp.config.hidden.clone(), ..gmf.config.clone() };
        let parts = Parts {
            users: beside(&gmf.parts.users, &mlp.parts.users).into(),
            items: beside(&gmf.parts.items, &mlp.parts.items).into(),
            layers: mlp.parts.layers.clone(),
            output: gmf
                .parts
                .output
                .iter()
                .chain(mlp.parts.output.iter())
                .map(|w| 0.5 * w)
                .collect::<Vec<f32>>()
                .into(),
            bias: 0.5 * (gmf.parts.bias + mlp.parts.bias),
        };
        Ok(Self::from_parts(config, parts))
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &NeuMfConfig {
        &self.config
    }

    /// Number of users.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.n_users
    }

    /// Number of learned values.
    #[must_use]
    pub fn n_params(&self) -> usize {
        self.config.n_params(self.n_users, self.n_items)
    }

    /// The user's share of the first layer.
    pub(super) fn user_first(&self, embedding: &[f32], out: &mut [f32]) {
        if let Some((weight, bias)) = self.parts.layers.first() {
            let (mlp, width) = (self.config.mlp_dim, bias.len());
            gemm((1, width, mlp), 1.0, embedding, Op::Plain, &weight[..mlp * width], Op::Plain, 0.0, out);
        }
    }

    /// `w ⊙ p_u` of the product branch.
    pub(super) fn weighted(&self, product: &[f32]) -> Vec<f32> {
        product.iter().zip(self.parts.output.iter()).map(|(p, w)| p * w).collect()
    }

    pub(super) fn known(&self, items: &[ItemId]) -> Result<(), QueryError> {
        match items.iter().find(|item| item.index() >= self.n_items) {
            None => Ok(()),
            Some(item) => Err(QueryError::UnknownItem { item: *item, n_items: self.n_items }),
        }
    }

    /// Product vector and tower vector of a user.
    pub(super) fn user(&self, user: UserId) -> Result<(&[f32], &[f32]), QueryError> {
        let dim = self.config.embedding_dim();
        let unknown = QueryError::UnknownUser { user, n_users: self.n_users };
        let row = self.parts.users.get(user.index() * dim..(user.index() + 1) * dim).ok_or(unknown)?;
        Ok(row.split_at(self.config.gmf_dim))
    }
}

impl Catalogue for NeuMf {
    fn n_items(&self) -> usize {
        self.n_items
    }
}
