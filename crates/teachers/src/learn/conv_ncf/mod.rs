//! ConvNCF: convolutions over the outer product of a user's and an item's vector.
//!
//! He et al., "Outer product-based neural collaborative filtering", IJCAI 2018: the interaction map `E = p_u q_iᵀ` goes through layers of
//! 2 × 2 filters with stride 2, bias and ReLU until one position is left, whose channels c give the score `w · c + b`; learned by BPR.
//!
//! **Reading**: the loss of a step is the sum over its pairs, as in the authors' public code, and so are its L2 terms, which are strong
//! (HDN's authors name none): tune them.

mod backward;

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_data::samplers::{PositiveBatch, PositiveBatches};
use rectify_tensor::kernels::{axpy, logistic};
use rectify_tensor::parallel::map_reduce;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Adagrad, DenseKey, DistinctRows, Init, Optimizer, ParamStore, RowUpdate, RowsKey};

use self::backward::{Gradients, map_backward};
use crate::serve::conv_ncf::config::MODEL;
use crate::serve::conv_ncf::model::Parts;
use crate::serve::conv_ncf::network::{Pass, Weights, positions};
pub use crate::serve::{ConvNcf, ConvNcfConfig};
use crate::{ConfigError, Factors, FitError};

/// Triples that a thread takes at a time: their maps stay in the cache.
const PIECE: usize = 16;

/// Fits ConvNCF by BPR with one drawn item for each interaction.
///
/// `start` are pre-trained vectors (the paper: BPR-MF's) of width `embedding_dim`; without, they are drawn. An epoch visits every
/// interaction once, in a fresh order; `run` says how many and where to checkpoint. Its `validate` gets the model after an epoch. The loss
/// reported is the mean over pairs, L2 left out. Gradients are closed-form. The same seed gives the same bits on any number of
/// threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`] (also for a start of other width, users or items), [`FitError::Empty`], [`FitError::Negatives`] (a user who has
/// every item), [`FitError::Train`], [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    start: Option<&Factors>,
    config: &ConvNcfConfig,
    run: TrainRun<'_, ConvNcf>,
) -> Result<(ConvNcf, FitReport), FitError> {
    let mut training = Training::new(train, start, config, run.seed)?;
    let report = run.drive(&mut training, |training| training.model())?;
    Ok((training.model()?, report))
}

struct Training<'a> {
    config: &'a ConvNcfConfig,
    batches: PositiveBatches<'a>,
    params: ParamStore,
    keys: Keys,
    users: DistinctRows,
    items: DistinctRows,
    positions: Vec<(u16, u16)>,
}

struct Keys {
    users: RowsKey,
    items: RowsKey,
    layers: Vec<(DenseKey, DenseKey)>,
    output: DenseKey,
    bias: DenseKey,
}

/// What one piece of a batch gives.
struct Piece {
    loss: f64,
    weights: Gradients,
    /// Of the vectors of its users (n, d), and of its items, positive and negative in turn (2 n, d).
    users: Vec<f32>,
    items: Vec<f32>,
}

/// Gradients of a step.
struct StepGradients {
    loss: f64,
    weights: Gradients,
    /// Of the distinct users and items.
    users: Vec<f32>,
    items: Vec<f32>,
}

impl<'a> Training<'a> {
    fn new(
        data: &'a Interactions,
        start: Option<&Factors>,
        config: &'a ConvNcfConfig,
        seed: Seed,
    ) -> Result<Self, FitError> {
        config.validate()?;
        FitError::check_not_empty(data)?;
        let mut params = ParamStore::new(seed);
        let (d, init) = (config.embedding_dim, Init::Normal { std: config.init_std as f32 });
        let users = params.add_rows("users", data.n_users(), d, init, RowUpdate::Exact);
        let items = params.add_rows("items", data.n_items(), d, init, RowUpdate::Exact);
        if let Some(start) = start {
            let got = [start.users().len(), start.items().len(), start.dim()];
            let expected = "vectors of the data's users and items, as wide as embedding_dim";
            let holds = got == [data.n_users() * d, data.n_items() * d, d];
            ConfigError::check_of(holds, MODEL, "start", expected, format!("{got:?} (users, items, width)"))?;
            let [user_table, item_table] = params.rows_mut([users, items]);
            user_table.values_mut().copy_from_slice(start.users());
            item_table.values_mut().copy_from_slice(start.items());
        }
        let mut layers = Vec::new();
        for (l, (inputs, outputs)) in config.layers().into_iter().enumerate() {
            let weight = params.add_dense(&format!("layer.{l}.weight"), inputs, outputs, Init::GlorotUniform);
            layers.push((weight, params.add_dense(&format!("layer.{l}.bias"), 1, outputs, Init::Zeros)));
        }
        let output = params.add_dense("output.weight", config.channels, 1, Init::GlorotUniform);
        let bias = params.add_dense("output.bias", 1, 1, Init::Zeros);
        Ok(Self {
            config,
            batches: PositiveBatches::new(data, seed)?,
            params,
            keys: Keys { users, items, layers, output, bias },
            users: DistinctRows::new(data.n_users()),
            items: DistinctRows::new(data.n_items()),
            positions: positions(d),
        })
    }

    fn model(&self) -> Result<ConvNcf, FitError> {
        let d = self.config.embedding_dim;
        let table = |side: &str, key: RowsKey| {
            let values = self.params.rows(key).values();
            match values.iter().position(|x| !x.is_finite()) {
                Some(at) => Err(FitError::NotFinite { model: MODEL, what: format!("{side} {}", at / d) }),
                None => Ok(values.to_vec().into()),
            }
        };
        let dense = |key: DenseKey| self.params.dense(key).values().to_vec();
        let parts = Parts {
            users: table("user", self.keys.users)?,
            items: table("item", self.keys.items)?,
            layers: self.keys.layers.iter().map(|(w, b)| (dense(*w).into(), dense(*b).into())).collect(),
            output: dense(self.keys.output).into(),
            bias: dense(self.keys.bias)[0],
        };
        Ok(ConvNcf::from_parts(self.config.clone(), parts))
    }
}

/// The settings of an epoch: while warming up another optimiser and no L2.
fn settings_at(config: &ConvNcfConfig, epoch: u32) -> ConvNcfConfig {
    if epoch > config.warm_up_epochs {
        return config.clone();
    }
    let optimizer = Optimizer::Adagrad(Adagrad { learning_rate: 0.01, ..Adagrad::default() });
    ConvNcfConfig { optimizer, l2_embeddings: 0.0, l2_filters: 0.0, l2_output: 0.0, ..config.clone() }
}

/// Sum of the losses of a batch, and the gradients of that and L2.
fn gradients(
    params: &mut ParamStore,
    keys: &Keys,
    config: &ConvNcfConfig,
    positions: &[(u16, u16)],
    (users, items): (&mut DistinctRows, &mut DistinctRows),
    drawn: PositiveBatch<'_>,
) -> StepGradients {
    let (n, d) = (drawn.users.len(), config.embedding_dim);
    let pairs: Vec<u32> = drawn.positives.iter().zip(drawn.negatives).flat_map(|(i, j)| [*i, *j]).collect();
    let (mut user_slots, mut item_slots) = (Vec::new(), Vec::new());
    users.index(drawn.users, &mut user_slots);
    items.index(&pairs, &mut item_slots);
    let [user_table, item_table] = params.rows_mut([keys.users, keys.items]);
    let (mut p, mut q) = (vec![0.0; users.rows().len() * d], vec![0.0; items.rows().len() * d]);
    user_table.gather(users.rows(), &mut p);
    item_table.gather(items.rows(), &mut q);
    let dense = |key: DenseKey| params.dense(key).values();
    let layers: Vec<(&[f32], &[f32])> = keys.layers.iter().map(|(w, b)| (dense(*w), dense(*b))).collect();
    let weights = Weights { layers: &layers, output: dense(keys.output), bias: dense(keys.bias)[0] };
    let row = |slot: u32| slot as usize * d..(slot as usize + 1) * d;

    let piece = |range: std::ops::Range<usize>| {
        let vectors = |pair: usize| {
            let (user, item) = (user_slots[pair / 2], item_slots[pair]);
            (&p[row(user)], &q[row(item)])
        };
        let mut pass = Pass::default();
        pass.forward(&weights, positions, (2 * range.start..2 * range.end).map(vectors));
        let margins: Vec<f32> = pass.scores.chunks_exact(2).map(|pair| pair[0] - pair[1]).collect();
        let mut slopes = vec![0.0; margins.len()];
        let loss = logistic(&margins, 1.0, &mut slopes);
        let d_scores: Vec<f32> = slopes.iter().flat_map(|slope| [*slope, -slope]).collect();
        let mut to = Gradients::zeros(&weights);
        let d_maps = pass.backward(&weights, &d_scores, &mut to);
        let (mut d_users, mut d_items) = (vec![0.0; range.len() * d], vec![0.0; 2 * range.len() * d]);
        for (at, d_map) in d_maps.chunks_exact(positions.len()).enumerate() {
            let (user, item) = (&mut d_users[at / 2 * d..][..d], &mut d_items[at * d..][..d]);
            map_backward(positions, d_map, vectors(2 * range.start + at), user, item);
        }
        Piece { loss, weights: to, users: d_users, items: d_items }
    };
    let start = StepGradients {
        loss: 0.0,
        weights: Gradients::zeros(&weights),
        users: vec![0.0; p.len()],
        items: vec![0.0; q.len()],
    };
    let mut done = (0, 0);
    let mut sums = map_reduce(n, PIECE, piece, start, |mut sums, piece| {
        sums.loss += piece.loss;
        axpy(1.0, &piece.weights.output, &mut sums.weights.output);
        sums.weights.bias += piece.weights.bias;
        for (to, from) in sums.weights.layers.iter_mut().zip(&piece.weights.layers) {
            axpy(1.0, &from.0, &mut to.0);
            axpy(1.0, &from.1, &mut to.1);
        }
        let l2 = config.l2_embeddings as f32;
        for gradient in piece.users.chunks_exact(d) {
            let range = row(user_slots[done.0]);
            axpy(1.0, gradient, &mut sums.users[range.clone()]);
            axpy(l2, &p[range.clone()], &mut sums.users[range]);
            done.0 += 1;
        }
        for gradient in piece.items.chunks_exact(d) {
            let range = row(item_slots[done.1]);
            axpy(1.0, gradient, &mut sums.items[range.clone()]);
            axpy(l2, &q[range.clone()], &mut sums.items[range]);
            done.1 += 1;
        }
        sums
    });
    for ((weight, _), (to, _)) in layers.iter().zip(&mut sums.weights.layers) {
        axpy(config.l2_filters as f32, weight, to);
    }
    axpy(config.l2_output as f32, weights.output, &mut sums.weights.output);
    sums
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let config = settings_at(self.config, epoch);
        let Self { batches, params, keys, users, items, positions, .. } = self;
        let (mut loss, mut samples) = (0.0, 0);
        batches.for_each(epoch, config.batch_size, 1, |drawn| {
            let sums = gradients(params, keys, &config, positions, (users, items), drawn);
            loss += sums.loss;
            samples += drawn.users.len() as u64;
            let [user_table, item_table] = params.rows_mut([keys.users, keys.items]);
            user_table.apply(users.rows(), &sums.users, &config.optimizer);
            item_table.apply(items.rows(), &sums.items, &config.optimizer);
            for ((weight, bias), (d_weight, d_bias)) in keys.layers.iter().zip(&sums.weights.layers) {
                let [weight, bias] = params.dense_mut([*weight, *bias]);
                weight.apply(d_weight, &config.optimizer);
                bias.apply(d_bias, &config.optimizer);
            }
            let [output, bias] = params.dense_mut([keys.output, keys.bias]);
            output.apply(&sums.weights.output, &config.optimizer);
            bias.apply(&[sums.weights.bias], &config.optimizer);
            Ok::<(), TrainError>(())
        })?;
        Ok(EpochStats { loss: loss / samples as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod tests;
