//! A trained network that answers: frozen parameters, and the part of the first layer that items share.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{
    Exhaustive, Hidden, HiddenWidths, Hit, ItemFilter, ItemId, QueryError, Retriever, Scorer, Teacher, TopK, UserId,
    Violation, check_len,
};
use rectify_tensor::ParamStore;
use rectify_tensor::kernels::{Activation, Level, Op, bias_act, dots, gemm, linear_bias_act, small_product};

use super::NeuMfConfig;
use super::first_pass::{self, FirstPass};
use super::kernels::first_layer;
use super::network::Keys;

const KIND: &str = "neumf";
const VERSION: u32 = 1;

/// Items scored together. A product of a large layer has this many rows, filled or not, so that the bits of a score depend neither on
/// how many items were asked nor on their order.
const BLOCK: usize = 128;
/// Weights of a layer that stay in the nearest cache; its product sums each row alike, however many there are.
const SMALL: usize = 1 << 14;

/// A frozen GMF, MLP or NeuMF.
///
/// `score(u, i)` is the logit `w · [p_u ⊙ q_i ; tower([p'_u ; q'_i])] + b`; its sigmoid is the predicted probability. Its
/// hidden vector is the joint vector of a pair, `gmf_dim` products and then the last layer of the tower.
///
/// The first layer of the tower is linear in the concatenation, so its share of each item is computed once, when the model
/// is made (one vector of the first layer's width an item), and its share of the user once a query.
///
/// As a [`Retriever`] it gives the answers of scoring every item. On a processor with AVX-512 VNNI it gets there in half the
/// time: a first pass in 16-bit integers with a proven bound leaves few items to score in f32 ([`candidates`](Self::candidates)), if the
/// tower has at least two layers, all but the last of even width. That takes twice the items' memory.
#[derive(Clone, Debug)]
pub struct NeuMf {
    config: NeuMfConfig,
    n_users: usize,
    n_items: usize,
    users: Array<f32>,
    items: Array<f32>,
    layers: Vec<Layer>,
    output: Array<f32>,
    bias: f32,
    /// Product part of each item, (n_items, gmf_dim).
    products: Vec<f32>,
    /// First layer's share of each item, bias included, (n_items, hidden[0]).
    first: Vec<f32>,
    first_pass: Option<FirstPass>,
}

/// Weight and bias of a layer of the tower.
pub(super) type Layer = (Array<f32>, Array<f32>);

/// Parameters by their names, before they are checked.
pub(super) struct Parts {
    pub(super) users: Array<f32>,
    pub(super) items: Array<f32>,
    pub(super) layers: Vec<Layer>,
    pub(super) output: Array<f32>,
    pub(super) bias: f32,
}

/// What a query writes on its way.
struct Scratch {
    first: Vec<f32>,
    layers: Vec<Vec<f32>>,
    products: Vec<f32>,
    scores: Vec<f32>,
}

impl NeuMf {
    pub(super) fn from_store(config: &NeuMfConfig, store: &ParamStore, keys: &Keys) -> Self {
        let dense = |key| Array::from(store.dense(key).values().to_vec());
        let parts = Parts {
            users: store.rows(keys.users).values().to_vec().into(),
            items: store.rows(keys.items).values().to_vec().into(),
            layers: keys.layers.iter().map(|(weight, bias)| (dense(*weight), dense(*bias))).collect(),
            output: dense(keys.output),
            bias: store.dense(keys.bias).values()[0],
        };
        Self::from_parts(config.clone(), parts)
    }

    /// The sizes of `parts` fit `config`.
    pub(super) fn from_parts(config: NeuMfConfig, parts: Parts) -> Self {
        let Parts { users, items, layers, output, bias } = parts;
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
        let mut model =
            Self { config, n_users, n_items, users, items, layers, output, bias, products, first, first_pass: None };
        // Slower than f32 where the processor has no such products.
        if Level::best() >= Level::Avx512Vnni {
            model.first_pass = model.first_pass();
        }
        model
    }

    /// A first pass, quick here or not, if the tower can have one.
    pub(super) fn first_pass(&self) -> Option<FirstPass> {
        FirstPass::new(&self.layers, &self.output, self.bias, &self.first, &self.products)
    }

    /// With that pass.
    #[cfg(test)]
    pub(super) fn certified(mut self) -> Option<Self> {
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
            users: beside(&gmf.users, &mlp.users).into(),
            items: beside(&gmf.items, &mlp.items).into(),
            layers: mlp.layers.clone(),
            output: gmf.output.iter().chain(mlp.output.iter()).map(|w| 0.5 * w).collect::<Vec<f32>>().into(),
            bias: 0.5 * (gmf.bias + mlp.bias),
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

    /// Number of items.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.n_items
    }

    /// Number of learned values.
    #[must_use]
    pub fn n_params(&self) -> usize {
        self.config.n_params(self.n_users, self.n_items)
    }

    /// Bytes of the arrays that answer queries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let pass = self.first_pass.as_ref().map_or(0, FirstPass::size_bytes);
        4 * (self.n_params() - self.items.len() + self.products.len() + self.first.len()) + pass
    }

    pub(super) fn parts(&self) -> (&[f32], &[f32], &[Layer], &[f32], f32) {
        (&self.users, &self.items, &self.layers, &self.output, self.bias)
    }

    fn user(&self, user: UserId) -> Result<(&[f32], &[f32]), QueryError> {
        let dim = self.config.embedding_dim();
        let unknown = QueryError::UnknownUser { user, n_users: self.n_users };
        let row = self.users.get(user.index() * dim..(user.index() + 1) * dim).ok_or(unknown)?;
        Ok(row.split_at(self.config.gmf_dim))
    }

    /// Whether the product of a layer sums each row alike, however many there are.
    fn is_small((weight, bias): &Layer) -> bool {
        weight.len() <= SMALL && bias.len().is_multiple_of(32)
    }

    /// For blocks of up to `n` items.
    fn scratch(&self, n: usize) -> Scratch {
        let rows = if self.layers.iter().skip(1).all(Self::is_small) { n.min(BLOCK) } else { BLOCK };
        let layers = self.config.hidden.iter().map(|width| vec![0.0; rows * width]).collect();
        let first = self.config.hidden.first().map_or_else(Vec::new, |width| vec![0.0; *width]);
        Scratch { first, layers, products: Vec::new(), scores: vec![0.0; n.min(BLOCK)] }
    }

    /// The user's share of the first layer.
    fn user_first(&self, embedding: &[f32], out: &mut [f32]) {
        if let Some((weight, bias)) = self.layers.first() {
            let (mlp, width) = (self.config.mlp_dim, bias.len());
            gemm((1, width, mlp), 1.0, embedding, Op::Plain, &weight[..mlp * width], Op::Plain, 0.0, out);
        }
    }

    /// The tower above the first layer's inputs of a block's items: `layers` of the scratch.
    fn tower(&self, first: &[f32], scratch: &mut Scratch) {
        let Some(bottom) = scratch.layers.first_mut() else { return };
        let rows = first.len() / scratch.first.len();
        first_layer(&scratch.first, first, &mut bottom[..first.len()]);
        for (l, layer) in self.layers.iter().enumerate().skip(1) {
            let (weight, bias) = layer;
            let (below, above) = scratch.layers.split_at_mut(l);
            let (below, above) = (&below[l - 1], &mut above[0]);
            if Self::is_small(layer) {
                let (n, k) = (bias.len(), weight.len() / bias.len());
                let above = &mut above[..rows * n];
                small_product((rows, n, k), &below[..rows * k], weight, false, above);
                bias_act(above, bias, Activation::Relu);
            } else {
                linear_bias_act(below, weight, bias, Activation::Relu, above);
            }
        }
    }

    /// Scores a block of items whose shares are given, `out.len() <= BLOCK`.
    fn score_block(&self, weighted: &[f32], products: &[f32], first: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
        self.tower(first, scratch);
        let gmf = self.config.gmf_dim;
        let n = out.len();
        match scratch.layers.last() {
            Some(top) => {
                let weights = &self.output[gmf..];
                dots(weights, &top[..n * weights.len()], out);
            }
            None => out.fill(0.0),
        }
        if gmf > 0 {
            dots(weighted, products, &mut scratch.scores[..n]);
            out.iter_mut().zip(&scratch.scores).for_each(|(out, score)| *out += score);
        }
        out.iter_mut().for_each(|out| *out += self.bias);
    }

    /// `w ⊙ p_u` of the product branch.
    fn weighted(&self, product: &[f32]) -> Vec<f32> {
        product.iter().zip(self.output.iter()).map(|(p, w)| p * w).collect()
    }

    fn known(&self, items: &[ItemId]) -> Result<(), QueryError> {
        match items.iter().find(|item| item.index() >= self.n_items) {
            None => Ok(()),
            Some(item) => Err(QueryError::UnknownItem { item: *item, n_items: self.n_items }),
        }
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// As [`ArtifactWriter::save`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        let (dim, bias) = (self.config.embedding_dim(), [self.bias]);
        writer.config(&self.config);
        writer.array("users", &[self.n_users, dim], &self.users);
        writer.array("items", &[self.n_items, dim], &self.items);
        for (l, (weight, bias)) in self.layers.iter().enumerate() {
            writer.array(&format!("layer.{l}.weight"), &[weight.len() / bias.len(), bias.len()], weight);
            writer.array(&format!("layer.{l}.bias"), &[1, bias.len()], bias);
        }
        writer.array("output.weight", &[self.output.len(), 1], &self.output);
        writer.array("output.bias", &[1, 1], &bias);
        writer.save(path, overwrite)
    }

    /// Maps a model that [`save`](Self::save) wrote, and computes the items' shares.
    ///
    /// # Errors
    /// A file that is not such a model, is damaged, or holds a value that is not finite.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let config: NeuMfConfig = artifact.config()?;
        config.validate().map_err(|error| artifact.field_error("rectify.config", error.to_string()))?;
        let mut violations = Vec::new();
        let mut finite = |name: &str, array: Array<f32>| {
            if let Some(at) = array.iter().position(|x| !x.is_finite()) {
                let problem = format!("value {at} is {}, expected a finite number", array[at]);
                violations.push(Violation { field: name.to_owned(), problem });
            }
            array
        };
        let mut table = |name: &str| -> Result<Array<f32>, ArtifactError> {
            let (array, shape) = artifact.array::<f32>(name)?;
            if shape.len() != 2 || shape[1] != config.embedding_dim() || u32::try_from(shape[0]).is_err() {
                let problem = format!("array has shape {shape:?}, expected [rows, {}]", config.embedding_dim());
                return Err(artifact.field_error(name, problem));
            }
            Ok(finite(name, array))
        };
        let (users, items) = (table("users")?, table("items")?);
        let mut shaped = |name: &str, shape: &[usize]| Ok(finite(name, artifact.array_shaped(name, shape)?));
        let mut layers = Vec::new();
        for (l, (inputs, outputs)) in config.layers().into_iter().enumerate() {
            let weight = shaped(&format!("layer.{l}.weight"), &[inputs, outputs])?;
            layers.push((weight, shaped(&format!("layer.{l}.bias"), &[1, outputs])?));
        }
        let output = shaped("output.weight", &[config.joint_dim(), 1])?;
        let bias = shaped("output.bias", &[1, 1])?[0];
        artifact.reject(violations)?;
        Ok(Self::from_parts(config, Parts { users, items, layers, output, bias }))
    }
}

impl Scorer for NeuMf {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        let (product, embedding) = self.user(*user)?;
        self.known(items)?;
        let (gmf, width) = (self.config.gmf_dim, self.config.hidden.first().copied().unwrap_or(0));
        let (mut scratch, weighted) = (self.scratch(items.len()), self.weighted(product));
        self.user_first(embedding, &mut scratch.first);
        let mut first = Vec::with_capacity(BLOCK * width);
        for (items, out) in items.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let mut products = std::mem::take(&mut scratch.products);
            products.clear();
            first.clear();
            for item in items {
                products.extend_from_slice(&self.products[item.index() * gmf..][..gmf]);
                first.extend_from_slice(&self.first[item.index() * width..][..width]);
            }
            self.score_block(&weighted, &products, &first, &mut scratch, out);
            scratch.products = products;
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.n_items, out.len())?;
        let (product, embedding) = self.user(*user)?;
        let (gmf, width) = (self.config.gmf_dim, self.config.hidden.first().copied().unwrap_or(0));
        let (mut scratch, weighted) = (self.scratch(self.n_items), self.weighted(product));
        self.user_first(embedding, &mut scratch.first);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let items = block * BLOCK..block * BLOCK + out.len();
            let products = &self.products[items.start * gmf..items.end * gmf];
            let first = &self.first[items.start * width..items.end * width];
            self.score_block(&weighted, products, first, &mut scratch, out);
        }
        Ok(())
    }
}

impl Retriever for NeuMf {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        // With so many asked for, f32 has most items to score anyway.
        let few = k > 0 && k <= self.n_items / 8;
        let candidates = if few { self.candidates(*user, k, filter)? } else { None };
        let Some(candidates) = candidates else { return Exhaustive::new(self).top_k(user, k, filter, out) };
        let mut scores = vec![0.0; candidates.len()];
        self.score_into(user, &candidates, &mut scores)?;
        out.assign(k, candidates.iter().zip(&scores).map(|(item, score)| Hit { item: *item, score: *score }));
        Ok(())
    }
}

impl Teacher for NeuMf {
    fn hidden(&self) -> Option<&dyn Hidden> {
        Some(self)
    }
}

impl Hidden for NeuMf {
    fn widths(&self) -> HiddenWidths {
        HiddenWidths { user: 0, item: 0, pair: self.config.joint_dim() }
    }

    fn user_into(&self, _: UserId, _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("a user has no vector of its own in NeuMF; ask for the vector of a pair".into()))
    }

    fn item_into(&self, _: ItemId, _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("an item has no vector of its own in NeuMF; ask for the vector of a pair".into()))
    }

    fn pairs_into(&self, pairs: &[(UserId, ItemId)], out: &mut [f32]) -> Result<(), QueryError> {
        let (joint, gmf) = (self.config.joint_dim(), self.config.gmf_dim);
        check_len("out", pairs.len() * joint, out.len())?;
        let width = self.config.hidden.first().copied().unwrap_or(0);
        let mut scratch = self.scratch(pairs.len());
        let mut start = 0;
        while start < pairs.len() {
            // Pairs of one user that stand together share the user's part.
            let user = pairs[start].0;
            let run = pairs[start..].iter().take(BLOCK).take_while(|pair| pair.0 == user).count();
            let (product, embedding) = self.user(user)?;
            self.user_first(embedding, &mut scratch.first);
            let items: Vec<ItemId> = pairs[start..start + run].iter().map(|pair| pair.1).collect();
            self.known(&items)?;
            let first: Vec<f32> =
                items.iter().flat_map(|item| &self.first[item.index() * width..][..width]).copied().collect();
            self.tower(&first, &mut scratch);
            for (j, item) in items.iter().enumerate() {
                let (left, right) = out[(start + j) * joint..(start + j + 1) * joint].split_at_mut(gmf);
                let item = &self.products[item.index() * gmf..][..gmf];
                left.iter_mut().zip(product).zip(item).for_each(|((out, p), q)| *out = p * q);
                if let Some(top) = scratch.layers.last() {
                    right.copy_from_slice(&top[j * right.len()..(j + 1) * right.len()]);
                }
            }
            start += run;
        }
        Ok(())
    }
}
