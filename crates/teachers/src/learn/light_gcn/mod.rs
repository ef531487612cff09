//! LightGCN (He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020).
//!
//! Embeddings are averaged over the user-item graph, without weights and without activation: `X_{k+1} = D^-½ A D^-½ X_k`
//! (Eq. 7, 8), final `F = Σ_{k=0..K} X_k / (K + 1)` (Eq. 4 with equal weights), score `f_u · f_i`. X₀ is learned by BPR with
//! one uniform negative.
//!
//! **Reading**: the paper's Eq. 15 regularises all embeddings; the authors' code takes the layer-0 rows of the batch,
//! `λ/2 · Σ (|x_u|² + |x_i|² + |x_j|²) / batch`, and draws users uniformly instead of visiting each interaction once. We follow
//! the code, since its logs are what can be compared with.

mod config;
mod sampler;
mod step;

pub use config::LightGcnConfig;

use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, Init, ParamStore};

use crate::learn::factors::trained;
use crate::learn::graph::{Graph, Operator};
use crate::learn::triples::Batch;
use crate::{Factors, FitError};
use sampler::Triples;
use step::Propagation;

const MODEL: &str = "light-gcn";

/// Fits user and item vectors, the means over layers 0 to K: `score(u, i) = f_u · f_i`.
///
/// An epoch draws as many triples as there are interactions; `run` says how many epochs and where to checkpoint. Its `validate`
/// gets the vectors after an epoch. The loss reported is the mean over triples, regularisation included. Every step is exact:
/// all embeddings have a gradient, and the optimiser visits all of them. A user without interactions keeps a share
/// `1 / (K + 1)` of the initial vector. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`], [`FitError::Empty`], [`FitError::Negatives`] (a user who has every item), [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    config: &LightGcnConfig,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let mut model = Training::new(train, config, run.seed)?;
    let report = run.drive(&mut model, |model| model.factors())?;
    Ok((model.factors()?, report))
}

struct Training<'a> {
    config: &'a LightGcnConfig,
    graph: Graph,
    triples: Triples<'a>,
    params: ParamStore,
    embeddings: DenseKey,
    propagation: Propagation,
}

impl<'a> Training<'a> {
    fn new(train: &'a Interactions, config: &'a LightGcnConfig, seed: Seed) -> Result<Self, FitError> {
        let triples = Triples::new(train, seed)?;
        let graph = Graph::new(train, Operator::Adjacency);
        let mut params = ParamStore::new(seed);
        let (n_nodes, dim) = (graph.n_nodes(), config.embedding_dim);
        let embeddings = params.add_dense("embeddings", n_nodes, dim, Init::Normal { std: config.init_std as f32 });
        let propagation = Propagation::new(n_nodes, dim, config.n_layers);
        Ok(Self { config, graph, triples, params, embeddings, propagation })
    }

    fn factors(&self) -> Result<Factors, FitError> {
        let dim = self.config.embedding_dim;
        let x0 = self.params.dense(self.embeddings).values();
        let mean = step::mean_of_layers(&self.graph.matrix, x0, dim, self.config.n_layers);
        let pick = |rows: &[u32]| -> Vec<f32> {
            rows.iter().flat_map(|row| &mean[*row as usize * dim..][..dim]).copied().collect()
        };
        trained(MODEL, self.config, &pick(self.graph.users()), &pick(self.graph.items()), dim)
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let n = self.triples.len();
        let (mut batch, mut loss) = (Batch::default(), 0.0);
        for start in (0..n).step_by(self.config.batch_size) {
            let end = n.min(start + self.config.batch_size);
            self.triples.fill(epoch, start..end, &self.graph, &mut batch);
            let [embeddings] = self.params.dense_mut([self.embeddings]);
            let x0 = embeddings.values();
            let (mean, gradient) = self.propagation.step(&self.graph.matrix, x0, &batch, self.config.l2 as f32);
            loss += mean * (end - start) as f64;
            embeddings.apply(gradient, &self.config.optimizer);
        }
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
