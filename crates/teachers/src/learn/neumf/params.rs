//! What is learned.

use rectify_core::rng::Seed;
use rectify_tensor::{DenseKey, Init, ParamStore, RowsKey};

use crate::NeuMfConfig;

/// Where each parameter stands in the store.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) users: RowsKey,
    pub(super) items: RowsKey,
    /// (weight, bias) of each layer of the tower.
    pub(super) layers: Vec<(DenseKey, DenseKey)>,
    pub(super) output: DenseKey,
    pub(super) bias: DenseKey,
}

/// A store of fresh parameters.
pub(super) fn parameters(config: &NeuMfConfig, n_users: usize, n_items: usize, seed: Seed) -> (ParamStore, Keys) {
    let mut store = ParamStore::new(seed);
    let (dim, init) = (config.embedding_dim(), Init::Normal { std: config.init_std as f32 });
    let users = store.add_rows("users", n_users, dim, init, config.row_update);
    let items = store.add_rows("items", n_items, dim, init, config.row_update);
    let mut layers = Vec::new();
    for (l, (inputs, outputs)) in config.layers().into_iter().enumerate() {
        let weight = store.add_dense(&format!("layer.{l}.weight"), inputs, outputs, Init::GlorotUniform);
        layers.push((weight, store.add_dense(&format!("layer.{l}.bias"), 1, outputs, Init::Zeros)));
    }
    let output = store.add_dense("output.weight", config.joint_dim(), 1, Init::GlorotUniform);
    let bias = store.add_dense("output.bias", 1, 1, Init::Zeros);
    (store, Keys { users, items, layers, output, bias })
}
