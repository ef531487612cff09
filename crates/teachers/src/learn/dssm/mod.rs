//! DSSM: matrix factorisation whose item vectors know the items' words.
//!
//! Huang et al., "Learning deep structured semantic models for web search using clickthrough data", CIKM 2013, in the form that
//! LightRec (Lian et al., WWW 2020) compares with: the words of an item pass an MLP with tanh, `t = tanh(… tanh(x W₁ + b₁) …)`;
//! with the item's own vector e they are mapped back, `q = e A + t B + b`; the score of user u is `p_u · q`, learned by BPR.
//!
//! **Reading**: the paper hashes letter trigrams of titles; here x is the released bag of words, each item's counts divided by
//! their Euclidean norm, so that long texts do not saturate tanh. A starts as the identity, B by Glorot.

mod config;

pub use config::DssmConfig;

use std::sync::Arc;

use rectify_core::ItemId;
use rectify_core::rng::Seed;
use rectify_data::samplers::{PositiveBatch, PositiveBatches};
use rectify_data::{Interactions, WordCounts};
use rectify_tensor::kernels::Activation;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Batch, Csr, DenseKey, Graph, GraphError, Init, ParamStore, RowsKey, Tensor, constant, ops};

use crate::learn::factors::trained;
use crate::{Factors, FitError};

const MODEL: &str = "dssm";
/// Items whose vectors are computed together when all are asked for.
const BLOCK: usize = 1024;

/// Fits user vectors and the network of items; gives `score(u, i) = p_u · q_i` with every item's `q`.
///
/// An epoch visits every interaction once, in a fresh order; `run` says how many and where to checkpoint. Its `validate` gets the
/// vectors after an epoch. The loss reported is the mean over pairs, regularisation left out. The same seed gives the same bits
/// on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Text`] (words of other items), [`FitError::Negatives`] (a user who has
/// every item), [`FitError::Train`], [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    text: &WordCounts,
    config: &DssmConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    if text.rows().n_rows() != train.n_items() || text.n_words() == 0 {
        return Err(FitError::Text {
            n_items: train.n_items(),
            text_items: text.rows().n_rows(),
            n_words: text.n_words(),
        });
    }
    let batches = PositiveBatches::new(train, run.seed)?;
    let mut training = Training { batches, model: Model::new(train, text, config, run.seed) };
    let report = run.drive(&mut training, |training| training.model.factors())?;
    Ok((training.model.factors()?, report))
}

/// A model in training, and the walk over its data.
struct Training<'a> {
    batches: PositiveBatches<'a>,
    model: Model<'a>,
}

struct Model<'a> {
    config: &'a DssmConfig,
    /// Words of items, (items, words), rows of length 1.
    words: Arc<Csr>,
    params: ParamStore,
    keys: Keys,
    graph: Graph,
}

struct Keys {
    users: RowsKey,
    items: RowsKey,
    /// Weight and bias of each layer of the text.
    layers: Vec<(DenseKey, DenseKey)>,
    /// A, B and b.
    own: DenseKey,
    text: DenseKey,
    bias: DenseKey,
}

/// The leaves of the item network, of one batch.
struct Network {
    layers: Vec<(Tensor, Tensor)>,
    own: Tensor,
    text: Tensor,
    bias: Tensor,
}

impl Network {
    /// The vectors of items `rows`, of which `embeddings` are their own.
    fn items(&self, words: &Arc<Csr>, rows: &[u32], embeddings: &Tensor) -> Result<Tensor, GraphError> {
        let mut text: Option<Tensor> = None;
        for (weight, bias) in &self.layers {
            text = Some(match text {
                None => ops::bias_act(&ops::spmm_rows(words, rows, weight)?, bias, Activation::Tanh)?,
                Some(x) => ops::linear_bias_act(&x, weight, bias, Activation::Tanh)?,
            });
        }
        let text = text.expect("the last layer is always there");
        let text = ops::linear_bias_act(&text, &self.text, &self.bias, Activation::Identity)?;
        Ok((embeddings.matmul(&self.own)? + text)?)
    }
}

impl<'a> Model<'a> {
    fn new(data: &Interactions, text: &WordCounts, config: &'a DssmConfig, seed: Seed) -> Self {
        let mut params = ParamStore::new(seed);
        let (dim, init) = (config.embedding_dim, Init::Normal { std: config.init_std as f32 });
        let users = params.add_rows("users", data.n_users(), dim, init, config.row_update);
        let items = params.add_rows("items", data.n_items(), dim, init, config.row_update);
        let widths: Vec<usize> =
            [text.n_words()].into_iter().chain(config.hidden.iter().copied()).chain([dim]).collect();
        let layers = widths.windows(2).enumerate().map(|(l, width)| {
            let weight = params.add_dense(&format!("weight {l}"), width[0], width[1], Init::GlorotUniform);
            (weight, params.add_dense(&format!("bias {l}"), 1, width[1], Init::Zeros))
        });
        let layers = layers.collect();
        let own = params.add_dense("own", dim, dim, Init::Zeros);
        params.dense_mut([own])[0].values_mut().iter_mut().step_by(dim + 1).for_each(|x| *x = 1.0);
        let keys = Keys {
            users,
            items,
            layers,
            own,
            text: params.add_dense("text", dim, dim, Init::GlorotUniform),
            bias: params.add_dense("bias", 1, dim, Init::Zeros),
        };
        Self { config, words: Arc::new(bags(text)), params, keys, graph: Graph::new() }
    }

    /// The mean loss of a batch before its step.
    fn step(&mut self, drawn: PositiveBatch<'_>) -> Result<f64, GraphError> {
        let Self { config, words, params, keys, graph, .. } = self;
        let mut batch = graph.batch(params);
        let (user_leaf, users) = batch.rows(keys.users, drawn.users)?;
        let occurring: Vec<u32> = drawn.positives.iter().chain(drawn.negatives).copied().collect();
        let (item_leaf, slots) = batch.rows(keys.items, &occurring)?;
        // The distinct items in the order of their slots.
        let mut rows = vec![0; item_leaf.dims()[0]];
        slots.iter().zip(&occurring).for_each(|(slot, item)| rows[*slot as usize] = *item);
        let items = network(&mut batch, keys)?.items(words, &rows, &item_leaf)?;

        let (positives, negatives) = slots.split_at(drawn.positives.len());
        let each = |ids: &[u32]| -> Vec<u32> {
            ids.iter().flat_map(|id| std::iter::repeat_n(*id, config.n_negatives)).collect()
        };
        let (pair_users, pair_positives) = (each(&users), each(positives));
        let liked = ops::gather_dot(&user_leaf, &pair_users, &items, &pair_positives)?;
        let other = ops::gather_dot(&user_leaf, &pair_users, &items, negatives)?;
        let n_pairs = pair_users.len() as f64;
        let mean = (ops::bpr(&liked, &other)? / n_pairs)?;
        // A user and a positive come once for each of their pairs.
        let weights = |slots: &[u32], n: usize, each: f32| -> Result<Tensor, GraphError> {
            let mut weights = vec![0.0; n];
            slots.iter().for_each(|slot| weights[*slot as usize] += each);
            constant(&weights, &[n, 1])
        };
        let per_pair = config.n_negatives as f32;
        let user_weights = weights(&users, user_leaf.dims()[0], per_pair)?;
        let item_weights = (weights(positives, rows.len(), per_pair)? + weights(negatives, rows.len(), 1.0)?)?;
        let norms = (user_leaf.sqr()?.broadcast_mul(&user_weights)?.sum_all()?
            + items.sqr()?.broadcast_mul(&item_weights)?.sum_all()?)?;
        let loss = (&mean + (norms * (0.5 * config.l2 / n_pairs))?)?;
        let mean = f64::from(mean.to_scalar::<f32>()?);
        batch.step(&loss, &config.optimizer)?;
        Ok(mean)
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let items = self.items().map_err(TrainError::Graph)?;
        let users = self.params.rows(self.keys.users).values();
        trained(MODEL, self.config, users, &items, self.config.embedding_dim)
    }

    /// The vectors of all items.
    fn items(&self) -> Result<Vec<f32>, GraphError> {
        let dim = self.config.embedding_dim;
        let frozen = |key| -> Result<Tensor, GraphError> {
            let param = self.params.dense(key);
            constant(param.values(), &param.shape())
        };
        let layers = self.keys.layers.iter().map(|(weight, bias)| Ok((frozen(*weight)?, frozen(*bias)?)));
        let network = Network {
            layers: layers.collect::<Result<_, GraphError>>()?,
            own: frozen(self.keys.own)?,
            text: frozen(self.keys.text)?,
            bias: frozen(self.keys.bias)?,
        };
        let own = self.params.rows(self.keys.items).values();
        let mut items = Vec::with_capacity(own.len());
        for (block, own) in own.chunks(BLOCK * dim).enumerate() {
            let rows: Vec<u32> = (0..own.len() / dim).map(|row| (block * BLOCK + row) as u32).collect();
            let own = constant(own, &[rows.len(), dim])?;
            items.extend(ops::to_vec(&network.items(&self.words, &rows, &own)?)?);
        }
        Ok(items)
    }
}

/// The item network as leaves of a batch.
fn network(batch: &mut Batch<'_>, keys: &Keys) -> Result<Network, GraphError> {
    let mut layers = Vec::new();
    for (weight, bias) in &keys.layers {
        layers.push((batch.dense(*weight)?, batch.dense(*bias)?));
    }
    Ok(Network { layers, own: batch.dense(keys.own)?, text: batch.dense(keys.text)?, bias: batch.dense(keys.bias)? })
}

/// Counts of words as rows of length 1; an item without words has a row of zeros.
fn bags(text: &WordCounts) -> Csr {
    let n_items = text.rows().n_rows();
    let mut values = Vec::with_capacity(text.counts().len());
    for item in (0..n_items).map(|item| ItemId(item as u32)) {
        let counts = text.of_item(item).1;
        let norm = counts.iter().map(|count| f64::from(*count).powi(2)).sum::<f64>().sqrt();
        values.extend(counts.iter().map(|count| if norm > 0.0 { (f64::from(*count) / norm) as f32 } else { 0.0 }));
    }
    let rows = text.rows();
    Csr::new(text.n_words(), rows.offsets().to_vec(), rows.values().to_vec(), values)
        .expect("bags of words have ascending offsets and known words")
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { batches, model } = self;
        let (mut loss, mut samples) = (0.0, 0);
        batches.for_each(epoch, model.config.batch_size, model.config.n_negatives, |drawn| {
            loss += model.step(drawn)? * drawn.negatives.len() as f64;
            samples += drawn.negatives.len() as u64;
            Ok::<(), GraphError>(())
        })?;
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.model.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.model.params
    }
}

#[cfg(test)]
mod tests;
