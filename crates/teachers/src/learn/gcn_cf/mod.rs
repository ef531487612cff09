//! GCN-CF, the teacher of DGCN-BinCF (Wang et al., "Binarized Collaborative Filtering with Distilling Graph Convolutional
//! Networks", IJCAI 2019).
//!
//! Two convolutions over the user-item graph with two cross steps between them. With `M = I + D^-½ A D^-½`, σ the logistic
//! function and BN batch normalisation over all nodes:
//!
//! ```text
//! X₁ = σ(M BN₁(X₀) Θ₁)      X₂ = X₁ + diag(X₁·W₁) X₁      X₃ = X₂ + diag(X₂·W₂) X₂      X₄ = σ(M BN₂(X₃) Θ₂)
//! ```
//!
//! where `X·W` is the inner product of each row with its own weights. A node's vector is its row of `[X₀, X₁, X₄]`, the
//! score `u·v`, the loss BPR with one uniform negative.
//!
//! **Readings**:
//! - The paper calls M's second part a Laplacian; its formula is the normalised adjacency. We take the formula.
//! - The activation is left open; σ as in SpectralCF.
//! - A cross weight a node (the matrix form of the paper), not one for all (its Eq. 7).
//! - Squared norms are of the vectors in the batch, over the batch size, as in SpectralCF's code; over all nodes for every
//!   triple, as printed, they would drown the ranking.
//! - Batch normalisation always sees the whole graph, so there is nothing that running averages could estimate better: served
//!   vectors are normalised by the statistics of the final weights.

mod config;
#[cfg(feature = "cuda")]
mod device;
mod kernels;
mod norm;
mod step;

pub use config::GcnCfConfig;
#[cfg(feature = "cuda")]
pub use device::fit_on;

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_data::samplers::PositiveBatches;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, Init, ParamStore};

use crate::learn::factors::trained;
use crate::learn::graph::{Graph, Operator};
use crate::learn::triples::{Batch, BatchRows};
use crate::{Factors, FitError};
use step::{Propagation, Weights};

const MODEL: &str = "gcn-cf";

/// Fits user and item vectors of width 3 `embedding_dim`: `score(u, i) = u · v`.
///
/// An epoch visits every interaction once, in a fresh order, with one uniform negative; `run` says how many epochs and where to
/// checkpoint. Its `validate` gets the vectors after an epoch. The loss reported is the mean over triples, regularisation
/// included. Every step computes the whole graph and is exact. A node without edges still has a vector, made from its
/// own embedding. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    config: &GcnCfConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, run.seed)?;
    let report = run.drive(&mut model, |model| model.factors())?;
    Ok((model.factors()?, report))
}

/// Where the parameters stand in the store.
#[derive(Clone, Copy)]
struct Keys {
    embeddings: DenseKey,
    crosses: [DenseKey; 2],
    filters: [DenseKey; 2],
    scales: [DenseKey; 2],
    shifts: [DenseKey; 2],
}

impl Keys {
    fn add_to(params: &mut ParamStore, n_nodes: usize, config: &GcnCfConfig) -> Self {
        let dim = config.embedding_dim;
        let normal = Init::Normal { std: config.init_std as f32 };
        let cross = Init::Normal { std: config.cross_std as f32 };
        let pair = |params: &mut ParamStore, name: &str, rows: usize, init| {
            [1, 2].map(|layer| params.add_dense(&format!("{name} {layer}"), rows, dim, init))
        };
        let embeddings = params.add_dense("embeddings", n_nodes, dim, normal);
        let filters = pair(params, "filter", dim, normal);
        let crosses = pair(params, "cross", n_nodes, cross);
        let scales = pair(params, "scale", 1, Init::Zeros);
        let shifts = pair(params, "shift", 1, Init::Zeros);
        for key in [embeddings, filters[0], filters[1]] {
            let [param] = params.dense_mut([key]);
            param.values_mut().iter_mut().for_each(|x| *x += config.init_mean as f32);
        }
        for key in scales {
            let [param] = params.dense_mut([key]);
            param.values_mut().fill(1.0);
        }
        Self { embeddings, crosses, filters, scales, shifts }
    }

    fn weights(self, params: &ParamStore) -> Weights<'_> {
        let of = |key| params.dense(key).values();
        Weights {
            embeddings: of(self.embeddings),
            crosses: self.crosses.map(of),
            filters: self.filters.map(of),
            scales: self.scales.map(of),
            shifts: self.shifts.map(of),
        }
    }
}

struct Training<'a> {
    config: &'a GcnCfConfig,
    graph: Graph,
    batches: PositiveBatches<'a>,
    rows: BatchRows,
    params: ParamStore,
    keys: Keys,
    propagation: Propagation,
}

impl<'a> Training<'a> {
    fn new(train: &'a Interactions, config: &'a GcnCfConfig, seed: Seed) -> Result<Self, FitError> {
        let batches = PositiveBatches::new(train, seed)?;
        let graph = Graph::new(train, Operator::SelfPlusAdjacency);
        let mut params = ParamStore::new(seed);
        let keys = Keys::add_to(&mut params, graph.n_nodes(), config);
        let propagation = Propagation::new(&graph.matrix, config.embedding_dim);
        let rows = BatchRows::new(graph.n_nodes());
        Ok(Self { config, graph, batches, rows, params, keys, propagation })
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let dim = self.config.embedding_dim;
        let mut propagation = Propagation::new(&self.graph.matrix, dim);
        let nodes: Vec<u32> = self.graph.users().iter().chain(self.graph.items()).copied().collect();
        let vectors = propagation.vectors(&self.graph.matrix, &self.keys.weights(&self.params), &nodes);
        let (users, items) = vectors.split_at(self.graph.users().len() * 3 * dim);
        trained(MODEL, self.config, users, items, 3 * dim)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { config, graph, batches, rows, params, keys, propagation } = self;
        let (mut batch, mut loss, mut n) = (Batch::default(), 0.0, 0);
        batches.for_each(epoch, config.batch_size, 1, |drawn| {
            batch.set(drawn, graph);
            rows.index(&batch);
            let (mean, gradients) = propagation.step(&graph.matrix, &keys.weights(params), rows, config.l2 as f32);
            loss += mean * batch.len() as f64;
            n += batch.len();
            let mut apply = |key, gradient: &[f32]| {
                let [param] = params.dense_mut([key]);
                param.apply(gradient, &config.optimizer);
            };
            apply(keys.embeddings, &gradients.embeddings);
            for layer in 0..2 {
                apply(keys.crosses[layer], &gradients.crosses[layer]);
                apply(keys.filters[layer], &gradients.filters[layer]);
                apply(keys.scales[layer], &gradients.scales[layer]);
                apply(keys.shifts[layer], &gradients.shifts[layer]);
            }
            Ok::<(), TrainError>(())
        })?;
        Ok(EpochStats { loss: loss / n as f64, samples: n as u64 })
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
