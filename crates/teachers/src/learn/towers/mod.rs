//! FM and YoutubeDNN: a user's vector from what it did lately, a vector an item, and their similarity.
//!
//! - **YoutubeDNN** (Covington et al., RecSys 2016): the mean of the history's embeddings passes ReLU layers,
//!   `u = relu(… relu(x W₁ + b₁) …)`, `x = (1/n) Σ e_a` over the latest items a.
//! - **FM** (Rendle, ICDM 2010) over the features {items of the history, each 1/n} and {the item}: of its pairs of features only
//!   those of history and item tell items apart for one user, and these are `u · v` with `u = x`. So it is YoutubeDNN without layers.
//!
//! Both learn which item comes next by a softmax over sampled items, as DeFoRec (Feng et al., SIGIR 2022, section 5) has its rivals:
//! `L = ln Σ exp o' − o'_target`, m of the N − 1 other items drawn uniformly with replacement, their scores corrected by
//! `−ln(m / (N − 1))`; where there are no more than m others, each counts once as it is.
//!
//! **Reading**: a user has no vector of its own, so that users whose rows are no samples can be answered; items as history and as
//! targets have tables of their own; FM's bias of an item is left out, as a cosine has no place for it; the last layer has a ReLU, too.

mod config;
mod samples;

pub use config::{Similarity, TowersConfig};

use std::sync::Arc;

use rectify_core::rng::{Rng, Seed};
use rectify_core::{ItemId, UserId};
use rectify_data::Interactions;
use rectify_tensor::kernels::Activation;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Csr, DenseKey, Graph, GraphError, Init, ParamStore, RowsKey, Tensor, constant, ops};

use self::samples::Samples;
use crate::learn::factors::trained;
use crate::{Factors, FitError};

/// Users whose vectors are computed together when all are asked for.
const BLOCK: usize = 1024;
/// Keeps the length of a vector of zeros away from zero.
const TINY: f64 = 1e-12;

/// Fits FM or YoutubeDNN; gives the vectors that their score is the inner product of: each user's of all it did, and the items'.
///
/// A sample is an item of one of `users` (`None`: of everybody) with the items before it; an epoch visits each once, in a fresh
/// order; `run` says how many and where to checkpoint. Its `validate` gets the vectors after an epoch. The loss reported is the mean
/// over samples. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::NoTimes`], [`FitError::NoSamples`], [`FitError::UnknownUser`], [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    users: Option<&[UserId]>,
    config: &TowersConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let samples = Samples::new(train, users, config)?;
    let mut training = Training { model: Model::new(train.n_items(), config, run.seed), samples, seed: run.seed };
    let report = run.drive(&mut training, |training| training.factors())?;
    Ok((training.factors()?, report))
}

/// A model in training, and the walk over its samples.
struct Training<'a> {
    model: Model<'a>,
    samples: Samples,
    seed: Seed,
}

struct Model<'a> {
    config: &'a TowersConfig,
    n_items: usize,
    params: ParamStore,
    keys: Keys,
    graph: Graph,
}

struct Keys {
    /// Items as parts of a history.
    history: RowsKey,
    /// Items as targets.
    items: RowsKey,
    /// Weight and bias of each layer.
    layers: Vec<(DenseKey, DenseKey)>,
}

/// What a step learns from.
#[derive(Default)]
struct Drawn {
    /// Histories, one after the other, and where each ends.
    history: Vec<u32>,
    ends: Vec<u64>,
    /// Of each sample the target, and then the drawn items.
    items: Vec<u32>,
    /// Items of a sample.
    width: usize,
    /// What is added to the scores of drawn items.
    correction: f32,
}

/// The means of histories, given by where they end, as a matrix over the slots of their items.
fn means(ends: &[u64], slots: &[u32], n_slots: usize) -> Csr {
    let offsets: Vec<u64> = std::iter::once(0).chain(ends.iter().copied()).collect();
    let values = offsets.windows(2).flat_map(|row| {
        let n = (row[1] - row[0]) as usize;
        std::iter::repeat_n(1.0 / n as f32, n)
    });
    let values = values.collect();
    Csr::new(n_slots, offsets, slots.to_vec(), values).expect("histories end in order, in known slots")
}

/// The user tower over means of histories.
fn tower(means: Tensor, layers: &[(Tensor, Tensor)]) -> Result<Tensor, GraphError> {
    layers.iter().try_fold(means, |x, (weight, bias)| ops::linear_bias_act(&x, weight, bias, Activation::Relu))
}

/// Rows divided by their lengths.
fn unit(x: &Tensor) -> Result<Tensor, GraphError> {
    let lengths = (x.sqr()?.sum_keepdim(1)? + TINY)?.sqrt()?;
    Ok(x.broadcast_div(&lengths)?)
}

/// The vectors whose inner product is the score.
impl Similarity {
    fn users(self, users: Tensor) -> Result<Tensor, GraphError> {
        match self {
            Self::Dot => Ok(users),
            Self::Cosine { temperature } => Ok((unit(&users)? / temperature)?),
        }
    }

    fn items(self, items: Tensor) -> Result<Tensor, GraphError> {
        match self {
            Self::Dot => Ok(items),
            Self::Cosine { .. } => unit(&items),
        }
    }
}

impl<'a> Model<'a> {
    fn new(n_items: usize, config: &'a TowersConfig, seed: Seed) -> Self {
        let mut params = ParamStore::new(seed);
        let (dim, init) = (config.embedding_dim, Init::Normal { std: config.init_std as f32 });
        let history = params.add_rows("history", n_items, dim, init, config.row_update);
        let items = params.add_rows("items", n_items, dim, init, config.row_update);
        let widths: Vec<usize> = match &config.hidden {
            Some(hidden) => [dim].into_iter().chain(hidden.iter().copied()).chain([dim]).collect(),
            None => Vec::new(),
        };
        let layers = widths.windows(2).enumerate().map(|(l, width)| {
            let weight = params.add_dense(&format!("weight {l}"), width[0], width[1], Init::GlorotUniform);
            (weight, params.add_dense(&format!("bias {l}"), 1, width[1], Init::Zeros))
        });
        let layers = layers.collect();
        Self { config, n_items, params, keys: Keys { history, items, layers }, graph: Graph::new() }
    }

    /// Takes samples, the first of which is number `first` of its epoch, and draws items beside their targets.
    fn draw(&self, (samples, chosen): (&Samples, &[u32]), epoch: u32, first: usize, seed: Seed) -> Drawn {
        let (others, m) = (self.n_items as u32 - 1, self.config.n_negatives);
        let all = others as usize <= m;
        let mut drawn = Drawn { width: 1 + m.min(others as usize), ..Drawn::default() };
        if !all {
            drawn.correction = -(m as f64 / f64::from(others)).ln() as f32;
        }
        let seed = seed.stream("towers/negatives");
        for (at, &sample) in chosen.iter().enumerate() {
            let (target, history) = samples.get(sample);
            drawn.history.extend(history.iter().map(|item| item.0));
            drawn.ends.push(drawn.history.len() as u64);
            let other = |x: u32| if x < target.0 { x } else { x + 1 };
            drawn.items.push(target.0);
            if all {
                drawn.items.extend((0..others).map(other));
            } else {
                let mut rng: Rng = seed.at(epoch, (first + at) as u64);
                drawn.items.extend((0..m).map(|_| other(rng.below(others))));
            }
        }
        drawn
    }

    /// The mean loss of a batch before its step.
    fn step(&mut self, drawn: &Drawn) -> Result<f64, GraphError> {
        let Self { config, params, keys, graph, .. } = self;
        let n = drawn.ends.len();
        let mut batch = graph.batch(params);
        let (history_leaf, slots) = batch.rows(keys.history, &drawn.history)?;
        let means = Arc::new(means(&drawn.ends, &slots, history_leaf.dims()[0]));
        let layers = keys.layers.iter().map(|(weight, bias)| Ok((batch.dense(*weight)?, batch.dense(*bias)?)));
        let layers = layers.collect::<Result<Vec<_>, GraphError>>()?;
        let users = config.similarity.users(tower(ops::spmm(&means, &history_leaf)?, &layers)?)?;
        let (item_leaf, slots) = batch.rows(keys.items, &drawn.items)?;
        let items = config.similarity.items(item_leaf)?;
        let pair_users: Vec<u32> = (0..n as u32).flat_map(|row| std::iter::repeat_n(row, drawn.width)).collect();
        let scores = ops::gather_dot(&users, &pair_users, &items, &slots)?.reshape((n, drawn.width))?;
        // The target stands first; the law that says so.
        let row = |first: f32, others: f32| [first].into_iter().chain(std::iter::repeat_n(others, drawn.width - 1));
        let correction: Vec<f32> = row(0.0, drawn.correction).collect();
        let scores = scores.broadcast_add(&constant(&correction, &[1, drawn.width])?)?;
        let target: Vec<f32> = (0..n).flat_map(|_| row(0.0, f32::NEG_INFINITY)).collect();
        let loss = (ops::softmax_cross_entropy(&scores, &target, 1.0)? / n as f64)?;
        Ok(f64::from(batch.step(&loss, &config.optimizer)?))
    }

    fn frozen(&self, key: DenseKey) -> Result<Tensor, GraphError> {
        let param = self.params.dense(key);
        constant(param.values(), &param.shape())
    }

    /// The vectors of histories, one after the other, and of all items.
    fn vectors<'h>(&self, histories: impl Iterator<Item = &'h [ItemId]>) -> Result<(Vec<f32>, Vec<f32>), GraphError> {
        let (dim, similarity) = (self.config.embedding_dim, self.config.similarity);
        let layers = self.keys.layers.iter().map(|(weight, bias)| Ok((self.frozen(*weight)?, self.frozen(*bias)?)));
        let layers = layers.collect::<Result<Vec<_>, GraphError>>()?;
        let table = |key| constant(self.params.rows(key).values(), &[self.n_items, dim]);
        let (history, items) = (table(self.keys.history)?, table(self.keys.items)?);
        let (mut users, mut ids, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut flush = |ids: &mut Vec<u32>, ends: &mut Vec<u64>| -> Result<(), GraphError> {
            let means = Arc::new(means(ends, ids, self.n_items));
            let block = tower(ops::spmm(&means, &history)?, &layers)?;
            users.extend(ops::to_vec(&similarity.users(block)?)?);
            ids.clear();
            ends.clear();
            Ok(())
        };
        for history in histories {
            ids.extend(history.iter().map(|item| item.0));
            ends.push(ids.len() as u64);
            if ends.len() == BLOCK {
                flush(&mut ids, &mut ends)?;
            }
        }
        if !ends.is_empty() {
            flush(&mut ids, &mut ends)?;
        }
        Ok((users, ops::to_vec(&similarity.items(items)?)?))
    }
}

impl Training<'_> {
    fn factors(&self) -> Result<Factors, FitError> {
        let config = self.model.config;
        let queries = (0..self.samples.n_users()).map(|user| self.samples.query(user));
        let (users, items) = self.model.vectors(queries).map_err(TrainError::Graph)?;
        trained(config.model(), config, &users, &items, config.embedding_dim)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { model, samples, seed } = self;
        let order = samples.order(*seed, epoch);
        let (mut total, size) = (0.0, model.config.batch_size);
        for (b, chosen) in order.chunks(size).enumerate() {
            let drawn = model.draw((samples, chosen), epoch, b * size, *seed);
            total += model.step(&drawn)? * chosen.len() as f64;
        }
        Ok(EpochStats { loss: total / samples.len() as f64, samples: samples.len() as u64 })
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
