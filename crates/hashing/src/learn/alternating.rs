//! Learning by turns: users with items fixed, items with users fixed. DCF, DCMF, BCCF and PPH differ in how a row is updated and
//! how codes come out.

use rayon::prelude::*;
use rectify_data::Interactions;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Csr, DenseKey, Init, ParamStore};

use super::coordinates::Descent;
use super::{Feedback, FitError, Side};
use crate::BinaryFactors;

/// A method that learns by turns.
pub(super) trait Method: Sync {
    /// Width of a row.
    fn dim(&self) -> usize;

    /// What implicit feedback becomes.
    fn feedback(&self) -> Feedback;

    /// Rows at first.
    fn init(&self) -> Init;

    /// Updates the rows of one side; returns the squared error before. `pairs` has labels ±1, that side by rows.
    ///
    /// Epochs count from 1; 0 is the start.
    fn turn(&self, side: Side, epoch: u32, own: &mut [f32], other: &[f32], pairs: &Csr) -> f64;

    /// Comes before the first epoch.
    fn start(&self, _users: &mut [f32], _items: &mut [f32], _pairs: &Csr) {}

    /// Codes of the rows as they are.
    fn codes(&self, users: &[f32], items: &[f32]) -> Result<BinaryFactors, FitError>;
}

/// Trains `method`; an epoch is one turn of each side.
pub(super) fn fit(
    method: &dyn Method,
    train: &Interactions,
    run: TrainRun<'_, BinaryFactors>,
) -> Result<(BinaryFactors, FitReport), FitError> {
    FitError::check_not_empty(train)?;
    let pairs = method.feedback().labels(train, run.seed)?;
    let (mut params, init) = (ParamStore::new(run.seed), method.init());
    let users = params.add_dense("users", train.n_users(), method.dim(), init);
    let items = params.add_dense("items", train.n_items(), method.dim(), init);
    let [user_rows, item_rows] = params.dense_mut([users, items]);
    method.start(user_rows.values_mut(), item_rows.values_mut(), &pairs);
    let mut model = Training { method, pairs, params, users, items };
    let report = run.drive(&mut model, |model| model.codes())?;
    Ok((model.codes()?, report))
}

struct Training<'a> {
    method: &'a dyn Method,
    pairs: Csr,
    params: ParamStore,
    users: DenseKey,
    items: DenseKey,
}

impl Training<'_> {
    fn codes(&self) -> Result<BinaryFactors, FitError> {
        self.method.codes(self.params.dense(self.users).values(), self.params.dense(self.items).values())
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let [users, items] = self.params.dense_mut([self.users, self.items]);
        self.method.turn(Side::Users, epoch, users.values_mut(), items.values(), &self.pairs);
        let by_item = self.pairs.transpose();
        let error = self.method.turn(Side::Items, epoch, items.values_mut(), users.values(), by_item);
        let n = self.pairs.n_edges();
        Ok(EpochStats { loss: error / n as f64, samples: n as u64 })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

/// Updates all rows, each on its own, in parallel: `f` gets a row's number, the row, and its partners and labels.
pub(super) fn each_row(
    own: &mut [f32],
    dim: usize,
    pairs: &Csr,
    f: impl Fn(&mut Descent, usize, &mut [f32], (&[u32], &[f32])) -> f64 + Sync,
) -> f64 {
    let errors: Vec<f64> = own
        .par_chunks_mut(dim)
        .enumerate()
        .map_init(Descent::default, |descent, (at, row)| f(descent, at, row, pairs.row(at)))
        .collect();
    errors.into_iter().sum()
}
