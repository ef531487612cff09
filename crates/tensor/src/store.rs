//! All parameters of a model, in a fixed order, with everything needed to go on training them.

use rectify_core::artifact::{Artifact, ArtifactWriter};
use rectify_core::rng::Seed;
use serde::{Deserialize, Serialize};

use crate::state::State;
use crate::{DenseParam, Init, ParamError, RowTable, RowUpdate};

/// Names a row table of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowsKey(pub(crate) usize);

/// Names a dense parameter of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DenseKey(pub(crate) usize);

/// Ordered, named parameters: row tables and dense matrices, in the order they were added.
///
/// Each parameter draws its initial values from the stream of its own name, so adding one does not change the others.
///
/// ```
/// use rectify_core::rng::Seed;
/// use rectify_tensor::{Init, Optimizer, ParamStore, RowUpdate};
///
/// let mut store = ParamStore::new(Seed(42));
/// let users = store.add_rows("users", 1000, 16, Init::Normal { std: 0.01 }, RowUpdate::Exact);
/// let items = store.add_rows("items", 2000, 16, Init::Normal { std: 0.01 }, RowUpdate::Exact);
/// let [users, items] = store.rows_mut([users, items]);
/// users.apply(&[3, 7], &[0.1; 32], &Optimizer::adam(1e-3));
/// items.apply(&[9], &[0.1; 16], &Optimizer::adam(1e-3));
/// ```
#[derive(Clone, Debug)]
pub struct ParamStore {
    seed: Seed,
    rows: Vec<(String, RowTable)>,
    dense: Vec<(String, DenseParam)>,
}

/// What stands in the metadata about one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    shape: [usize; 2],
    steps: u64,
    /// Present for row tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<RowUpdate>,
}

impl ParamStore {
    /// An empty store; initial values come from streams of `seed`.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed, rows: Vec::new(), dense: Vec::new() }
    }

    fn claim(&self, name: &str) -> Seed {
        assert!(!self.names().any(|n| n == name), "parameter {name} was added twice");
        self.seed.stream(name)
    }

    /// Adds a table (n_rows, dim).
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add_rows(&mut self, name: &str, n_rows: usize, dim: usize, init: Init, update: RowUpdate) -> RowsKey {
        let seed = self.claim(name);
        self.rows.push((name.to_owned(), RowTable::new(n_rows, dim, init, seed, update)));
        RowsKey(self.rows.len() - 1)
    }

    /// Adds a dense matrix (rows, columns); a bias has one row.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add_dense(&mut self, name: &str, rows: usize, columns: usize, init: Init) -> DenseKey {
        let seed = self.claim(name);
        self.dense.push((name.to_owned(), DenseParam::new(rows, columns, init, seed)));
        DenseKey(self.dense.len() - 1)
    }

    /// A table.
    #[must_use]
    pub fn rows(&self, key: RowsKey) -> &RowTable {
        &self.rows[key.0].1
    }

    /// A dense matrix.
    #[must_use]
    pub fn dense(&self, key: DenseKey) -> &DenseParam {
        &self.dense[key.0].1
    }

    /// Name of a table.
    #[must_use]
    pub fn rows_name(&self, key: RowsKey) -> &str {
        &self.rows[key.0].0
    }

    /// Name of a dense matrix.
    #[must_use]
    pub fn dense_name(&self, key: DenseKey) -> &str {
        &self.dense[key.0].0
    }

    /// Several tables at once, to be changed.
    ///
    /// # Panics
    /// If a key comes twice.
    pub fn rows_mut<const N: usize>(&mut self, keys: [RowsKey; N]) -> [&mut RowTable; N] {
        let tables = self.rows.get_disjoint_mut(keys.map(|k| k.0)).expect("keys of this store, each once");
        tables.map(|(_, table)| table)
    }

    /// Several dense matrices at once, to be changed.
    ///
    /// # Panics
    /// If a key comes twice.
    pub fn dense_mut<const N: usize>(&mut self, keys: [DenseKey; N]) -> [&mut DenseParam; N] {
        let params = self.dense.get_disjoint_mut(keys.map(|k| k.0)).expect("keys of this store, each once");
        params.map(|(_, param)| param)
    }

    /// Names: tables first, then dense matrices, each in order of addition.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|(name, _)| name.as_str()).chain(self.dense.iter().map(|(name, _)| name.as_str()))
    }

    /// Number of values of all parameters.
    #[must_use]
    pub fn n_values(&self) -> usize {
        let rows: usize = self.rows.iter().map(|(_, t)| t.n_rows() * t.dim()).sum();
        rows + self.dense.iter().map(|(_, p)| p.values().len()).sum::<usize>()
    }

    /// Lets every row of every table take the steps it missed; comes before whatever reads whole tables.
    pub fn settle(&mut self) {
        self.rows.iter_mut().for_each(|(_, table)| table.settle());
    }

    /// Copies all values, without optimiser state; the store is settled first.
    pub fn snapshot(&mut self) -> Snapshot {
        self.settle();
        Snapshot { values: self.value_arrays().map(|(_, _, values)| values.to_vec()).collect() }
    }

    /// Puts values back; optimiser state stays.
    ///
    /// # Panics
    /// If the snapshot is of another store.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let rows = self.rows.iter_mut().map(|(_, table)| table.values_mut());
        let dense = self.dense.iter_mut().map(|(_, param)| param.values_mut());
        let mut saved = snapshot.values.iter();
        for values in rows.chain(dense) {
            values.copy_from_slice(saved.next().expect("a snapshot of this store"));
        }
    }

    fn value_arrays(&self) -> impl Iterator<Item = (&str, [usize; 2], &[f32])> {
        let rows = self.rows.iter().map(|(name, t)| (name.as_str(), [t.n_rows(), t.dim()], t.values()));
        rows.chain(self.dense.iter().map(|(name, p)| (name.as_str(), p.shape(), p.values())))
    }

    fn entries(&self) -> Vec<Entry> {
        let rows = self.rows.iter().map(|(name, t)| Entry {
            name: name.clone(),
            shape: [t.n_rows(), t.dim()],
            steps: t.steps(),
            update: Some(t.update()),
        });
        let dense = self.dense.iter().map(|(name, p)| Entry {
            name: name.clone(),
            shape: p.shape(),
            steps: p.steps(),
            update: None,
        });
        rows.chain(dense).collect()
    }

    /// Adds values, optimiser state and step counters of all parameters to an artifact. Settle first.
    ///
    /// # Panics
    /// If rows lag behind.
    pub fn save_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        writer.text(ENTRIES, &serde_json::to_string(&self.entries()).expect("entries have a JSON form"));
        for (name, table) in &self.rows {
            table.save_into(writer, &array_name(name));
        }
        for (name, param) in &self.dense {
            let name = array_name(name);
            writer.array(&name, &param.shape(), &param.values);
            param.state.save_into(writer, &name, &param.shape());
        }
    }

    /// Replaces everything by what [`save_into`](Self::save_into) wrote: values, optimiser state, step counters.
    ///
    /// # Errors
    /// A [`ParamError`] if the file holds parameters of other names, shapes or update rules, or whatever is wrong with the
    /// file. The store is unchanged then.
    pub fn load_from(&mut self, artifact: &Artifact) -> Result<(), ParamError> {
        let saved: Vec<Entry> = serde_json::from_str(artifact.text(ENTRIES)?)
            .map_err(|error| artifact.field_error(ENTRIES, error.to_string()))?;
        let own = self.entries();
        let names = |entries: &[Entry]| entries.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
        if names(&saved) != names(&own) {
            return Err(ParamError::Names { expected: names(&own), got: names(&saved) });
        }
        for (own, saved) in own.iter().zip(&saved) {
            let name = || own.name.clone();
            if own.shape != saved.shape {
                return Err(ParamError::Shape { name: name(), expected: own.shape, got: saved.shape });
            }
            if own.update != saved.update {
                return Err(ParamError::Update { name: name(), expected: own.update, got: saved.update });
            }
        }
        let (mut rows, mut dense) = (Vec::new(), Vec::new());
        for Entry { name, shape, steps, update } in saved {
            let array = array_name(&name);
            if let Some(update) = update {
                rows.push((name, RowTable::load(artifact, &array, shape, update, steps)?));
            } else {
                let values = artifact.array_shaped(&array, &shape)?.to_vec();
                let state = State::load(artifact, &array, &shape)?;
                dense.push((name, DenseParam { shape, values, state, steps }));
            }
        }
        (self.rows, self.dense) = (rows, dense);
        Ok(())
    }
}

/// Metadata key of the list of parameters.
const ENTRIES: &str = "rectify.params";

fn array_name(name: &str) -> String {
    format!("param/{name}")
}

/// Values of all parameters at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    values: Vec<Vec<f32>>,
}

impl Snapshot {
    pub(crate) fn save_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        for (i, values) in self.values.iter().enumerate() {
            writer.array(&format!("{prefix}/{i}"), &[values.len()], values);
        }
    }

    /// A snapshot that fits `store`.
    pub(crate) fn load(artifact: &Artifact, prefix: &str, store: &ParamStore) -> Result<Self, ParamError> {
        let values = store
            .value_arrays()
            .enumerate()
            .map(|(i, (_, _, own))| Ok(artifact.array_shaped(&format!("{prefix}/{i}"), &[own.len()])?.to_vec()));
        Ok(Self { values: values.collect::<Result<_, ParamError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Optimizer;
    use rectify_core::artifact::Overwrite;

    fn store(dim: usize) -> ParamStore {
        let mut store = ParamStore::new(Seed(1));
        store.add_rows("users", 5, dim, Init::Normal { std: 0.1 }, RowUpdate::Exact);
        store.add_rows("items", 4, dim, Init::Normal { std: 0.1 }, RowUpdate::Lazy);
        store.add_dense("head", dim, 2, Init::GlorotUniform);
        store
    }

    fn step(store: &mut ParamStore, dim: usize, k: u32) {
        let adam = Optimizer::adam(0.01);
        let [users, items] = store.rows_mut([RowsKey(0), RowsKey(1)]);
        users.apply(&[k % 5], &vec![0.1; dim], &adam);
        items.apply(&[k % 4], &vec![-0.2; dim], &adam);
        let [head] = store.dense_mut([DenseKey(0)]);
        head.apply(&vec![0.3; 2 * dim], &adam);
    }

    #[test]
    fn a_saved_store_goes_on_training_with_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.safetensors");
        let mut a = store(3);
        (0..7).for_each(|k| step(&mut a, 3, k));
        a.settle();
        let mut writer = ArtifactWriter::new("test", 1);
        a.save_into(&mut writer);
        writer.save(&path, Overwrite::Refuse).unwrap();

        let mut b = store(3);
        b.load_from(&Artifact::open(&path, "test", 1).unwrap()).unwrap();
        for k in 7..15 {
            step(&mut a, 3, k);
            step(&mut b, 3, k);
        }
        assert_eq!(a.snapshot(), b.snapshot());
        assert_eq!(a.rows(RowsKey(0)).steps(), 15);

        let error = store(4).load_from(&Artifact::open(&path, "test", 1).unwrap()).unwrap_err();
        assert!(error.to_string().contains("shape of users is [5, 3], expected [5, 4]"), "{error}");
        let mut other = ParamStore::new(Seed(1));
        other.add_dense("bias", 1, 1, Init::Zeros);
        let error = other.load_from(&Artifact::open(&path, "test", 1).unwrap()).unwrap_err();
        assert!(error.to_string().contains("list of names is users, items, head, expected bias"), "{error}");
    }

    #[test]
    fn initial_values_depend_on_seed_and_name_alone() {
        let mut other = ParamStore::new(Seed(1));
        let key = other.add_rows("items", 4, 3, Init::Normal { std: 0.1 }, RowUpdate::Exact);
        assert_eq!(other.rows(key).values(), store(3).rows(RowsKey(1)).values());
        assert_ne!(store(3).rows(RowsKey(0)).values()[..12], store(3).rows(RowsKey(1)).values()[..]);
    }

    #[test]
    fn a_restored_snapshot_brings_the_values_back() {
        let mut store = store(3);
        let before = store.snapshot();
        step(&mut store, 3, 0);
        assert_ne!(store.snapshot(), before);
        store.restore(&before);
        assert_eq!(store.snapshot(), before);
    }

    #[test]
    #[should_panic(expected = "parameter users was added twice")]
    fn a_name_is_used_once() {
        store(3).add_dense("users", 1, 1, Init::Zeros);
    }
}
