//! SpectralCF (Zheng et al., "Spectral Collaborative Filtering", RecSys 2018), as DGCN-BinCF compares with it.
//!
//! `X_{k+1} = σ((I + L) X_k Θ_k)` over the user-item graph, with L its Laplacian and σ the logistic function. A node's vector
//! is its row of `[X₀ … X_K]`, the score `u·v`, the loss BPR with one uniform negative.
//!
//! **Readings**:
//! - The paper's operator is `U Uᵀ + U Λ Uᵀ` of L's eigenvectors, which is `I + L` where they are orthonormal. The authors'
//!   code takes the random-walk Laplacian `I - D'⁻¹ (A + I)`, which is not symmetric, so that there the identity fails. We take
//!   the symmetric `L = I - D'^-½ (A + I) D'^-½`, and multiply sparsely instead of decomposing.
//! - An "epoch" of the authors' code is one batch of 1,024 triples; here it visits every interaction once.
//! - The authors' optimiser is RMSProp; the default is Adam without momentum, which is RMSProp but for the first steps (the
//!   average of squares begins at 0 and is corrected, instead of at 1).

mod config;
mod step;

pub use config::SpectralCfConfig;

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_data::samplers::PositiveBatches;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, Init, ParamStore};

use crate::learn::factors::trained;
use crate::learn::graph::{Graph, Operator};
use crate::learn::triples::{Batch, BatchRows};
use crate::{Factors, FitError};
use step::Propagation;

const MODEL: &str = "spectral-cf";

/// Fits user and item vectors of width `(n_layers + 1) embedding_dim`: `score(u, i) = u · v`.
///
/// An epoch visits every interaction once, in a fresh order, with one uniform negative; `run` says how many epochs and where to
/// checkpoint. Its `validate` gets the vectors after an epoch. The loss reported is the mean over triples, regularisation
/// included. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    config: &SpectralCfConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, run.seed)?;
    let report = run.drive(&mut model, |model| model.factors())?;
    Ok((model.factors()?, report))
}

struct Training<'a> {
    config: &'a SpectralCfConfig,
    graph: Graph,
    batches: PositiveBatches<'a>,
    rows: BatchRows,
    params: ParamStore,
    embeddings: DenseKey,
    filters: Vec<DenseKey>,
    propagation: Propagation,
}

impl<'a> Training<'a> {
    fn new(train: &'a Interactions, config: &'a SpectralCfConfig, seed: Seed) -> Result<Self, FitError> {
        let batches = PositiveBatches::new(train, seed)?;
        let graph = Graph::new(train, Operator::SelfPlusLaplacian);
        let (n_nodes, dim) = (graph.n_nodes(), config.embedding_dim);
        let mut params = ParamStore::new(seed);
        let init = Init::Normal { std: config.init_std as f32 };
        let embeddings = params.add_dense("embeddings", n_nodes, dim, init);
        let filters: Vec<DenseKey> =
            (1..=config.n_layers).map(|layer| params.add_dense(&format!("filter {layer}"), dim, dim, init)).collect();
        for key in std::iter::once(&embeddings).chain(&filters) {
            let [param] = params.dense_mut([*key]);
            param.values_mut().iter_mut().for_each(|x| *x += config.init_mean as f32);
        }
        let propagation = Propagation::new(n_nodes, dim, config.n_layers);
        Ok(Self { config, graph, batches, rows: BatchRows::new(n_nodes), params, embeddings, filters, propagation })
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let dim = self.config.embedding_dim;
        let mut propagation = Propagation::new(self.graph.n_nodes(), dim, self.config.n_layers);
        let nodes: Vec<u32> = self.graph.users().iter().chain(self.graph.items()).copied().collect();
        let filters = values(&self.params, &self.filters);
        let x0 = self.params.dense(self.embeddings).values();
        let vectors = propagation.vectors(&self.graph.matrix, x0, &filters, &nodes);
        let width = dim * (self.config.n_layers + 1);
        let (users, items) = vectors.split_at(self.graph.users().len() * width);
        trained(MODEL, self.config, users, items, width)
    }
}

fn values<'a>(params: &'a ParamStore, keys: &[DenseKey]) -> Vec<&'a [f32]> {
    keys.iter().map(|key| params.dense(*key).values()).collect()
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let Self { config, graph, batches, rows, params, embeddings, filters, propagation } = self;
        let (mut batch, mut loss, mut n) = (Batch::default(), 0.0, 0);
        batches.for_each(epoch, config.batch_size, 1, |drawn| {
            batch.set(drawn, graph);
            rows.index(&batch);
            let (x0, all) = (params.dense(*embeddings).values(), values(params, filters));
            let (mean, d_embeddings, d_filters) = propagation.step(&graph.matrix, x0, &all, rows, config.l2 as f32);
            loss += mean * batch.len() as f64;
            n += batch.len();
            let mut apply = |key, gradient: &[f32]| {
                let [param] = params.dense_mut([key]);
                param.apply(gradient, &config.optimizer);
            };
            apply(*embeddings, d_embeddings);
            filters.iter().zip(d_filters).for_each(|(key, d)| apply(*key, d));
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
