//! Automatic differentiation on the few rows that a batch touches.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::ops::to_vec;
use crate::{DenseKey, DistinctRows, GraphError, Optimizer, ParamStore, RowsKey};

/// Builds the graphs of a model's batches; keeps scratch space from batch to batch.
///
/// The rows a batch names are copied into a small leaf, automatic differentiation runs on the leaf, and the optimiser updates
/// these rows in their table. Nothing the size of a table is allocated.
///
/// ```
/// use rectify_core::rng::Seed;
/// use rectify_tensor::{Graph, Init, Optimizer, ParamStore, RowUpdate, ops};
///
/// let mut store = ParamStore::new(Seed(1));
/// let users = store.add_rows("users", 100, 8, Init::Normal { std: 0.1 }, RowUpdate::Exact);
/// let items = store.add_rows("items", 200, 8, Init::Normal { std: 0.1 }, RowUpdate::Exact);
///
/// let mut graph = Graph::new();
/// let mut batch = graph.batch(&mut store);
/// let (user_leaf, u) = batch.rows(users, &[3, 3, 7])?;
/// let (item_leaf, i) = batch.rows(items, &[10, 20, 10])?;
/// let scores = ops::gather_dot(&user_leaf, &u, &item_leaf, &i)?;
/// let loss = ops::bce_with_logits(&scores, &[1.0, 0.0, 1.0])?;
/// let loss = batch.step(&loss, &Optimizer::adam(1e-2))?;
/// assert!((loss - 3.0 * 2f32.ln()).abs() < 0.2);
/// # Ok::<(), rectify_tensor::GraphError>(())
/// ```
#[derive(Debug, Default)]
pub struct Graph {
    distinct: BTreeMap<usize, DistinctRows>,
}

impl Graph {
    /// A builder without scratch space yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a batch on the parameters of `store`.
    pub fn batch<'a>(&'a mut self, store: &'a mut ParamStore) -> Batch<'a> {
        Batch { graph: self, store, rows: Vec::new(), dense: Vec::new() }
    }
}

/// The leaves of one batch.
#[derive(Debug)]
pub struct Batch<'a> {
    graph: &'a mut Graph,
    store: &'a mut ParamStore,
    rows: Vec<(RowsKey, Var)>,
    dense: Vec<(DenseKey, Var)>,
}

impl Batch<'_> {
    /// A leaf of the distinct rows among `ids`, (n distinct, dim), and the place of each id in it.
    ///
    /// # Errors
    /// An id out of range, or a table asked for twice.
    pub fn rows(&mut self, key: RowsKey, ids: &[u32]) -> Result<(Tensor, Vec<u32>), GraphError> {
        if self.rows.iter().any(|(k, _)| *k == key) {
            return Err(GraphError::Twice { name: self.store.rows_name(key).to_owned() });
        }
        let n_rows = self.store.rows(key).n_rows();
        if let Some(position) = ids.iter().position(|id| *id as usize >= n_rows) {
            let what = format!("ids of {}", self.store.rows_name(key));
            return Err(GraphError::Row { what, position, got: ids[position], n_rows });
        }
        let distinct = self.graph.distinct.entry(key.0).or_insert_with(|| DistinctRows::new(n_rows));
        let mut local = Vec::new();
        distinct.index(ids, &mut local);
        let [table] = self.store.rows_mut([key]);
        let mut values = vec![0.0; distinct.rows().len() * table.dim()];
        table.gather(distinct.rows(), &mut values);
        let leaf = Var::from_vec(values, (distinct.rows().len(), table.dim()), &candle_core::Device::Cpu)?;
        let tensor = leaf.as_tensor().clone();
        self.rows.push((key, leaf));
        Ok((tensor, local))
    }

    /// A leaf of a dense parameter.
    ///
    /// # Errors
    /// A parameter asked for twice.
    pub fn dense(&mut self, key: DenseKey) -> Result<Tensor, GraphError> {
        if self.dense.iter().any(|(k, _)| *k == key) {
            return Err(GraphError::Twice { name: self.store.dense_name(key).to_owned() });
        }
        let param = self.store.dense(key);
        let [rows, columns] = param.shape();
        let leaf = Var::from_slice(param.values(), (rows, columns), &candle_core::Device::Cpu)?;
        let tensor = leaf.as_tensor().clone();
        self.dense.push((key, leaf));
        Ok(tensor)
    }

    /// Walks the graph back from `loss` (a scalar) and lets the optimiser step every parameter of the batch that it depends
    /// on; returns the loss.
    ///
    /// # Errors
    /// A loss that is no scalar.
    pub fn step(self, loss: &Tensor, optimizer: &Optimizer) -> Result<f32, GraphError> {
        if loss.rank() != 0 {
            return Err(GraphError::Shape { what: "loss", expected: vec![], got: loss.dims().to_vec() });
        }
        let grads = loss.backward()?;
        for (key, leaf) in &self.rows {
            if let Some(grad) = grads.get(leaf) {
                let rows = self.graph.distinct[&key.0].rows();
                let [table] = self.store.rows_mut([*key]);
                table.apply(rows, &to_vec(grad)?, optimizer);
            }
        }
        for (key, leaf) in &self.dense {
            if let Some(grad) = grads.get(leaf) {
                let [param] = self.store.dense_mut([*key]);
                param.apply(&to_vec(grad)?, optimizer);
            }
        }
        Ok(loss.to_scalar()?)
    }
}

/// A constant (no gradient) of the given shape, row-major.
///
/// # Errors
/// A number of values that is not the product of the shape.
pub fn constant(values: &[f32], shape: &[usize]) -> Result<Tensor, GraphError> {
    Ok(Tensor::from_slice(values, shape, &candle_core::Device::Cpu)?)
}

/// A copy of a tensor that gradients are taken for: `loss.backward()?.get(&variable)`.
///
/// Parameters enter a graph through a [`Batch`]; this is for looking at gradients themselves.
///
/// # Errors
/// What the tensor library says.
pub fn variable(value: &Tensor) -> Result<Tensor, GraphError> {
    Ok(Var::from_tensor(value)?.as_tensor().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{self, Activation, Pairs};
    use crate::{Init, RowUpdate, ops};
    use rectify_core::rng::Seed;

    fn store() -> (ParamStore, RowsKey, RowsKey, DenseKey, DenseKey) {
        let mut store = ParamStore::new(Seed(4));
        let users = store.add_rows("users", 30, 6, Init::Normal { std: 0.3 }, RowUpdate::Exact);
        let items = store.add_rows("items", 20, 6, Init::Normal { std: 0.3 }, RowUpdate::Exact);
        let weight = store.add_dense("weight", 6, 4, Init::GlorotUniform);
        let bias = store.add_dense("bias", 1, 4, Init::Zeros);
        (store, users, items, weight, bias)
    }

    #[test]
    fn a_graph_step_equals_the_hand_written_step() {
        let (mut by_graph, users, items, ..) = store();
        let mut by_hand = by_graph.clone();
        let adam = Optimizer::adam(1e-2);
        let mut graph = Graph::new();
        for step in 0..40u64 {
            let mut rng = Seed(5).at(0, step);
            let mut draw = |n: u32| (0..8).map(|_| rng.below(n)).collect::<Vec<u32>>();
            let (u, p, n) = (draw(30), draw(20), draw(20));

            let mut batch = graph.batch(&mut by_graph);
            let (user_leaf, us) = batch.rows(users, &u).unwrap();
            let (item_leaf, is) = batch.rows(items, &[p.clone(), n.clone()].concat()).unwrap();
            let positive = ops::gather_dot(&user_leaf, &us, &item_leaf, &is[..8]).unwrap();
            let negative = ops::gather_dot(&user_leaf, &us, &item_leaf, &is[8..]).unwrap();
            let loss = (ops::bpr(&positive, &negative).unwrap() / 8.0).unwrap();
            let graph_loss = batch.step(&loss, &adam).unwrap();

            let [user_table, item_table] = by_hand.rows_mut([users, items]);
            let (mut du, mut di) = (DistinctRows::new(30), DistinctRows::new(20));
            let (mut us, mut ps, mut ns) = (vec![], vec![], vec![]);
            du.index(&u, &mut us);
            di.index(&p, &mut ps);
            di.add(&n, &mut ns);
            let (mut gu, mut gi) = (vec![0.0; du.rows().len() * 6], vec![0.0; di.rows().len() * 6]);
            let pairs = Pairs {
                users: &u,
                positives: &p,
                negatives: &n,
                user_slots: &us,
                positive_slots: &ps,
                negative_slots: &ns,
            };
            let (uv, iv) = (user_table.refresh(du.rows()), item_table.refresh(di.rows()));
            let loss = kernels::bpr(uv, iv, 6, &pairs, 1.0 / 8.0, 0.0, &mut gu, &mut gi) / 8.0;
            user_table.apply(du.rows(), &gu, &adam);
            item_table.apply(di.rows(), &gi, &adam);
            assert!((f64::from(graph_loss) - loss).abs() < 1e-5, "step {step}: {graph_loss} {loss}");
        }
        by_graph.settle();
        by_hand.settle();
        for key in [users, items] {
            kernels::testing::assert_close(by_graph.rows(key).values(), by_hand.rows(key).values(), 1e-4);
        }
    }

    #[test]
    fn dense_parameters_learn_too() {
        let (mut store, users, items, weight, bias) = store();
        let mut graph = Graph::new();
        let ids: Vec<u32> = (0..20).collect();
        let targets: Vec<f32> = (0..80).map(|i| f32::from(i % 3 == 0)).collect();
        let mut losses = vec![];
        for _ in 0..300 {
            let mut batch = graph.batch(&mut store);
            let (leaf, local) = batch.rows(items, &ids).unwrap();
            let (w, b) = (batch.dense(weight).unwrap(), batch.dense(bias).unwrap());
            let x = ops::gather(&leaf, &local).unwrap();
            let logits = ops::linear_bias_act(&x, &w, &b, Activation::Identity).unwrap();
            let loss = ops::bce_with_logits(&logits, &targets).unwrap();
            losses.push(batch.step(&loss, &Optimizer::adam(0.05)).unwrap());
        }
        // Usual: from 55 to under 1.
        assert!(losses[299] < 0.1 * losses[0], "{} {}", losses[0], losses[299]);
        assert_eq!(store.rows(users).steps(), 0, "a table outside the batch is not stepped");
    }

    #[test]
    fn wrong_use_is_named() {
        let (mut store, users, ..) = store();
        let mut graph = Graph::new();
        let mut batch = graph.batch(&mut store);
        let error = batch.rows(users, &[1, 30]).unwrap_err().to_string();
        assert_eq!(error, "ids of users: at position 1 found row 30, expected less than 30");
        let (leaf, _) = batch.rows(users, &[1]).unwrap();
        let error = batch.rows(users, &[2]).unwrap_err().to_string();
        assert_eq!(error, "parameter users entered the batch twice; ask once, for all ids together");
        let error = batch.step(&leaf, &Optimizer::default()).unwrap_err().to_string();
        assert_eq!(error, "loss has shape [1, 6], expected []");
    }
}
