//! The parameters of a preference model in training.

use rectify_core::rng::Seed;
use rectify_tensor::{DenseKey, Init, ParamStore, RowsKey};

use super::kernels::{Normed, Unit};
use crate::serve::model::Network;
use crate::{FitError, NetworkError, PreferenceConfig, PreferenceShape, Tree, TreeModel};

/// ε under the root of a batch norm's variance.
pub(super) const EPSILON: f32 = 1e-5;
/// How much a step moves the running averages of the batch norms, once there were as many as its inverse.
const MOMENTUM: f32 = 0.1;
/// Spread of the first embeddings: TDM's code has 0.001, from which learning starts slowly.
const EMBEDDING_STD: f32 = 0.01;

/// Places of the gradients: the attention unit and the head, then [`PER_LAYER`] of each layer.
pub(super) const HISTORY: usize = 0;
pub(super) const PRODUCT: usize = 1;
pub(super) const NODE: usize = 2;
pub(super) const BIAS: usize = 3;
pub(super) const SLOPE: usize = 4;
pub(super) const OUT: usize = 5;
pub(super) const OUT_BIAS: usize = 6;
pub(super) const HEAD: usize = 7;
pub(super) const HEAD_BIAS: usize = 8;
/// Weight, scale, shift, slope.
pub(super) const LAYERS: usize = 9;
pub(super) const PER_LAYER: usize = 4;

/// Gradients of all dense parameters, in the order above.
pub(super) type Blocks = Vec<Vec<f32>>;

/// A store with the keys of everything in it.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(super) store: ParamStore,
    pub(super) nodes: RowsKey,
    pub(super) dense: Vec<DenseKey>,
    /// Running mean and variance of each layer.
    running: Vec<[DenseKey; 2]>,
}

impl Params {
    /// The start. Attention begins at 1, so that windows begin as means of their items.
    pub(super) fn new(config: &PreferenceConfig, n_nodes: usize, seed: Seed) -> Self {
        let shape = &config.shape;
        let (e, a) = (shape.embedding_dim, shape.attention_dim);
        let mut store = ParamStore::new(seed);
        let nodes = store.add_rows("nodes", n_nodes, e, Init::Normal { std: EMBEDDING_STD }, config.row_update);
        // One layer over [e_k ; e_k ∘ e_n ; e_n], stored in three parts.
        let glorot = Init::Uniform { bound: (6.0 / (3 * e + a) as f32).sqrt() };
        let mut dense = vec![
            store.add_dense("attention/history", e, a, glorot),
            store.add_dense("attention/product", e, a, glorot),
            store.add_dense("attention/node", e, a, glorot),
            store.add_dense("attention/bias", 1, a, Init::Zeros),
            store.add_dense("attention/slope", 1, a, Init::Zeros),
            store.add_dense("attention/out", a, 1, Init::GlorotUniform),
            store.add_dense("attention/out_bias", 1, 1, Init::Zeros),
            store.add_dense("head/weight", shape.last_width(), 1, Init::GlorotUniform),
            store.add_dense("head/bias", 1, 1, Init::Zeros),
        ];
        let mut fill = vec![(dense[SLOPE], 0.25), (dense[OUT_BIAS], 1.0)];
        let mut running = Vec::new();
        for (i, (n_in, n_out)) in shape.layer_sizes().into_iter().enumerate() {
            let mut add =
                |name: &str, rows, init| store.add_dense(&format!("layer{}/{name}", i + 1), rows, n_out, init);
            let weight = add("weight", n_in, Init::GlorotUniform);
            let [scale, shift, slope, mean, variance] =
                ["scale", "shift", "slope", "mean", "variance"].map(|name| add(name, 1, Init::Zeros));
            dense.extend([weight, scale, shift, slope]);
            running.push([mean, variance]);
            fill.extend([(scale, 1.0), (slope, 0.25), (variance, 1.0)]);
        }
        for (key, value) in fill {
            store.dense_mut([key])[0].values_mut().fill(value);
        }
        Self { store, nodes, dense, running }
    }

    /// Values of the block at a place.
    pub(super) fn block(&self, place: usize) -> &[f32] {
        self.store.dense(self.dense[place]).values()
    }

    pub(super) fn unit(&self) -> Unit<'_> {
        Unit {
            history: self.block(HISTORY),
            product: self.block(PRODUCT),
            node: self.block(NODE),
            bias: self.block(BIAS),
        }
    }

    /// A layer's norm under statistics of a batch.
    pub(super) fn normed<'a>(&'a self, layer: usize, statistics: &'a Statistics) -> Normed<'a> {
        let [scale, shift, slope] = [1, 2, 3].map(|part| self.block(LAYERS + PER_LAYER * layer + part));
        Normed { mean: &statistics.mean, inverse: &statistics.inverse, scale, shift, slope }
    }

    /// Moves the running averages by one batch: the mean of all of them at first, then with [`MOMENTUM`].
    pub(super) fn track(&mut self, layer: usize, statistics: &Statistics, steps: u64) {
        let momentum = MOMENTUM.max(1.0 / (steps + 1) as f32);
        let [mean, variance] = self.store.dense_mut(self.running[layer]);
        for (running, batch) in [(mean, &statistics.mean), (variance, &statistics.variance)] {
            for (running, batch) in running.values_mut().iter_mut().zip(batch) {
                *running += momentum * (batch - *running);
            }
        }
    }

    /// The model as it is served, with its batch norms folded into the layers; the store is settled.
    pub(super) fn network(&self, shape: &PreferenceShape) -> Result<Network, NetworkError> {
        let nodes = self.store.rows(self.nodes).values().to_vec();
        let mut weights: Vec<Vec<f32>> = (HISTORY..LAYERS).map(|place| self.block(place).to_vec()).collect();
        for (layer, keys) in self.running.iter().enumerate() {
            let [weight, scale, shift, slope] =
                std::array::from_fn(|part| self.block(LAYERS + PER_LAYER * layer + part));
            let [mean, variance] = keys.map(|key| self.store.dense(key).values());
            let factor: Vec<f32> = scale.iter().zip(variance).map(|(s, v)| s / (v + EPSILON).sqrt()).collect();
            let columns = factor.iter().cycle();
            weights.push(weight.iter().zip(columns).map(|(w, factor)| w * factor).collect());
            weights.push(shift.iter().zip(mean).zip(&factor).map(|((s, m), factor)| s - m * factor).collect());
            weights.push(slope.to_vec());
        }
        Network::new(shape.clone(), nodes.into(), weights.into_iter().map(Into::into).collect())
    }

    pub(super) fn served(&self, tree: &Tree, shape: &PreferenceShape) -> Result<TreeModel, FitError> {
        Ok(TreeModel::new(tree.clone(), self.network(shape)?)?)
    }

    /// Goes on from a model of an earlier tree: every value but the leaf embeddings, which move with their items.
    ///
    /// **Reading**: the paper does not say what becomes of embeddings when the tree changes.
    pub(super) fn inherit(&mut self, from: &mut Self, old: &Tree, new: &Tree) {
        let snapshot = from.store.snapshot();
        self.store.restore(&snapshot);
        let layout = new.layout();
        let [table] = self.store.rows_mut([self.nodes]);
        let dim = table.dim();
        let before = from.store.rows(from.nodes);
        for &item in new.order() {
            let row = |tree: &Tree| layout.row(layout.leaf_level(), tree.leaf(item));
            let to = row(new) as usize * dim;
            table.values_mut()[to..to + dim].copy_from_slice(before.row(row(old)));
        }
    }
}

/// Statistics of one layer over the rows of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Statistics {
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
    pub(super) inverse: Vec<f32>,
}

/// Row count, means and sums of squared deviations of some rows.
pub(super) type Moments = (usize, Vec<f32>, Vec<f32>);

impl Statistics {
    /// Puts the moments of all pieces together, in order (Chan, Golub and LeVeque 1979).
    pub(super) fn merge<'a>(&mut self, width: usize, pieces: impl Iterator<Item = &'a Moments>) {
        let (mut n, mut mean, mut squares) = (0.0f64, vec![0.0f64; width], vec![0.0f64; width]);
        for (rows, piece_mean, piece_squares) in pieces {
            let rows = *rows as f64;
            let total = n + rows;
            for j in 0..width {
                let gap = f64::from(piece_mean[j]) - mean[j];
                mean[j] += gap * rows / total;
                squares[j] += f64::from(piece_squares[j]) + gap * gap * n * rows / total;
            }
            n = total;
        }
        self.mean = mean.iter().map(|x| *x as f32).collect();
        self.variance = squares.iter().map(|x| (x / n) as f32).collect();
        self.inverse = self.variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
    }
}
