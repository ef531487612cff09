//! The training loop, seen from outside: stopping, keeping the best, resuming with equal bits.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::ops::ControlFlow;
use std::path::Path;

use rectify_core::artifact::{ArtifactWriter, Overwrite};
use rectify_core::rng::Seed;
use rectify_tensor::train::{
    Checkpoint, EpochStats, Event, FitConfig, FitReport, Silent, Step, StopReason, TrainError, fit,
};
use rectify_tensor::{DistinctRows, Init, Optimizer, ParamStore, RowUpdate, RowsKey, kernels};

const N_USERS: u32 = 40;
const N_ITEMS: u32 = 60;
pub(super) const DIM: usize = 8;
const BATCH: usize = 16;

/// BPR on made-up preferences: user u likes items with the same remainder modulo 4.
pub(super) struct Model {
    seed: Seed,
    pub(super) store: ParamStore,
    pub(super) users: RowsKey,
    pub(super) items: RowsKey,
    pub(super) optimizer: Optimizer,
    /// From this epoch on the loss is NaN.
    broken_at: Option<u32>,
}

impl Model {
    pub(super) fn new(update: RowUpdate) -> Self {
        let seed = Seed(11);
        let mut store = ParamStore::new(seed);
        let users = store.add_rows("users", N_USERS as usize, DIM, Init::Normal { std: 0.1 }, update);
        let items = store.add_rows("items", N_ITEMS as usize, DIM, Init::Normal { std: 0.1 }, update);
        Self { seed, store, users, items, optimizer: Optimizer::adam(0.02), broken_at: None }
    }

    fn save(&mut self, path: &Path) -> Vec<u8> {
        self.store.settle();
        let mut writer = ArtifactWriter::new("test-model", 1);
        for (name, key) in [("users", self.users), ("items", self.items)] {
            let table = self.store.rows(key);
            writer.array(name, &[table.n_rows(), table.dim()], table.values());
        }
        writer.save(path, Overwrite::Replace).unwrap();
        std::fs::read(path).unwrap()
    }

    /// Share of (user, liked, not liked) triples in the right order.
    fn auc(&mut self) -> f64 {
        let (users, items) = (self.store.rows(self.users), self.store.rows(self.items));
        let mut right = 0;
        for u in 0..N_USERS {
            let score = |i: u32| kernels::dot(users.row(u), items.row(i));
            right += u32::from(score(u % 4 + 40) > score((u + 1) % 4 + 40));
        }
        f64::from(right) / f64::from(N_USERS)
    }
}

impl Step for Model {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        if self.broken_at.is_some_and(|e| epoch >= e) {
            return Ok(EpochStats { loss: f64::NAN, samples: 0 });
        }
        let draws = self.seed.stream("samples");
        let [users, items] = self.store.rows_mut([self.users, self.items]);
        let (mut d_users, mut d_items) = (DistinctRows::new(users.n_rows()), DistinctRows::new(items.n_rows()));
        let (n, mut loss) = (320usize, 0.0);
        for batch in 0..n / BATCH {
            let (mut u, mut p, mut q) = (vec![], vec![], vec![]);
            for s in 0..BATCH {
                let mut rng = draws.at(epoch, (batch * BATCH + s) as u64);
                let user = rng.below(N_USERS);
                u.push(user);
                p.push(user % 4 + 4 * rng.below(N_ITEMS / 4));
                q.push((user + 1 + rng.below(3)) % 4 + 4 * rng.below(N_ITEMS / 4));
            }
            let (mut us, mut ps) = (vec![], vec![]);
            d_users.index(&u, &mut us);
            d_items.index(&p, &mut ps);
            let mut qs = vec![];
            d_items.add(&q, &mut qs);
            let mut gu = vec![0.0; d_users.rows().len() * DIM];
            let mut gi = vec![0.0; d_items.rows().len() * DIM];
            let pairs = kernels::Pairs {
                users: &u,
                positives: &p,
                negatives: &q,
                user_slots: &us,
                positive_slots: &ps,
                negative_slots: &qs,
            };
            let (uv, iv) = (users.refresh(d_users.rows()), items.refresh(d_items.rows()));
            loss += kernels::bpr(uv, iv, DIM, &pairs, 1.0 / BATCH as f32, 1e-4, &mut gu, &mut gi);
            users.apply(d_users.rows(), &gu, &self.optimizer);
            items.apply(d_items.rows(), &gi, &self.optimizer);
        }
        Ok(EpochStats { loss: loss / n as f64, samples: n as u64 })
    }

    fn params(&self) -> &ParamStore {
        &self.store
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.store
    }
}

fn auc(model: &mut Model, _: u32) -> Result<f64, TrainError> {
    Ok(model.auc())
}

fn config(max_epochs: u32, checkpoint: Option<&Path>) -> FitConfig {
    let checkpoint = checkpoint.map(|path| Checkpoint { path: path.into(), run: "seed 11".into() });
    FitConfig { max_epochs, patience: None, eval_every: 2, checkpoint }
}

#[test]
fn training_learns_the_preferences() {
    let mut model = Model::new(RowUpdate::Exact);
    let report = fit(&mut model, &config(20, None), &mut auc, &mut Silent).unwrap();
    // Usual: 1.0; loss from .69 to .05.
    assert!(report.best_metric.unwrap() > 0.95, "{report:?}");
    assert!(report.history[0].loss > 4.0 * report.history[19].loss, "{report:?}");
}

#[test]
fn a_run_killed_after_any_epoch_and_resumed_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for update in [RowUpdate::Exact, RowUpdate::Lazy] {
        let mut whole = Model::new(update);
        let want = fit(&mut whole, &config(9, None), &mut auc, &mut Silent).unwrap();
        let want_bytes = whole.save(&path);
        for killed_after in [1, 4, 8] {
            let checkpoint = folder.path().join(format!("{update:?}-{killed_after}.checkpoint"));
            // Killed without a word: the model of the first process is lost, only the file stays.
            let mut die = |event: &Event| {
                let now = *event == Event::Checkpointed { epoch: killed_after };
                if now { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let first = fit(&mut Model::new(update), &config(9, Some(&checkpoint)), &mut auc, &mut die).unwrap();
            assert_eq!((first.reason, first.history.len()), (StopReason::Requested, killed_after as usize));
            let mut resumed = Model::new(update);
            let got = fit(&mut resumed, &config(9, Some(&checkpoint)), &mut auc, &mut Silent).unwrap();
            assert_eq!(got, want);
            assert!(resumed.save(&path) == want_bytes, "{update:?}, killed after epoch {killed_after}");

            let mut again = Model::new(update);
            let done: FitReport = fit(&mut again, &config(9, Some(&checkpoint)), &mut auc, &mut Silent).unwrap();
            assert_eq!(done, want);
            assert!(again.save(&path) == want_bytes, "a finished run returns at once");
        }
    }
}

#[test]
fn patience_stops_and_the_best_epoch_comes_back() {
    let metrics = [0.1, 0.5, 0.5, 0.4, 0.3, 0.9];
    let mut seen = vec![];
    let mut model = Model::new(RowUpdate::Exact);
    let mut values = vec![];
    let report = fit(
        &mut model,
        &FitConfig { max_epochs: 6, patience: Some(2), eval_every: 1, checkpoint: None },
        &mut |model: &mut Model, epoch| {
            values.push(model.store.rows(model.users).values().to_vec());
            Ok(metrics[epoch as usize - 1])
        },
        &mut |event: &Event| {
            seen.push(event.clone());
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!((report.reason, report.best_epoch, report.best_metric), (StopReason::Patience, 2, Some(0.5)));
    assert_eq!(report.history.len(), 4, "an equal metric is no improvement");
    assert_eq!(model.store.rows(model.users).values(), values[1]);
    assert_eq!(seen[0], Event::Started { done: 0, max_epochs: 6 });
    assert_eq!(seen.last(), Some(&Event::Finished { reason: StopReason::Patience, best_epoch: 2 }));
    assert!(seen.contains(&Event::Validated { epoch: 3, metric: 0.5, best: false }));
}

#[test]
fn without_validation_the_last_epoch_is_kept() {
    let mut model = Model::new(RowUpdate::Lazy);
    let config = FitConfig { max_epochs: 3, eval_every: 0, ..FitConfig::default() };
    let report = fit(&mut model, &config, &mut |_: &mut Model, _| unreachable!(), &mut Silent).unwrap();
    assert_eq!((report.best_epoch, report.best_metric, report.reason), (3, None, StopReason::MaxEpochs));
}

#[test]
fn a_loss_that_is_no_number_names_its_epoch() {
    let mut model = Model { broken_at: Some(3), ..Model::new(RowUpdate::Exact) };
    let error = fit(&mut model, &config(5, None), &mut auc, &mut Silent).unwrap_err();
    assert!(error.to_string().starts_with("epoch 3: the training loss is NaN"), "{error}");
    let mut model = Model::new(RowUpdate::Exact);
    let error = fit(&mut model, &config(5, None), &mut |_: &mut Model, _| Ok(f64::NAN), &mut Silent).unwrap_err();
    assert!(error.to_string().starts_with("epoch 2: the validation metric is NaN"), "{error}");
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.checkpoint");
    fit(&mut Model::new(RowUpdate::Exact), &config(2, Some(&path)), &mut auc, &mut Silent).unwrap();
    let before = std::fs::read(&path).unwrap();
    let mut other = config(2, None);
    other.checkpoint = Some(Checkpoint { path: path.clone(), run: "seed 12".into() });
    let error = fit(&mut Model::new(RowUpdate::Exact), &other, &mut auc, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("another run: seed 11, expected seed 12"), "{error}");

    let error = fit(&mut Model::new(RowUpdate::Lazy), &config(2, Some(&path)), &mut auc, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("row update of users"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let mut damaged = before.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let error = fit(&mut Model::new(RowUpdate::Exact), &config(2, Some(&path)), &mut auc, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("is damaged: checksum"), "{error}");
}

#[test]
fn impossible_settings_are_named() {
    let mut model = Model::new(RowUpdate::Exact);
    let error = fit(&mut model, &FitConfig { max_epochs: 0, ..FitConfig::default() }, &mut auc, &mut Silent);
    assert_eq!(error.unwrap_err().to_string(), "max_epochs is 0, expected at least 1");
    let error = fit(&mut model, &FitConfig { patience: Some(0), ..FitConfig::default() }, &mut auc, &mut Silent);
    assert_eq!(error.unwrap_err().to_string(), "patience is 0, expected at least 1");
}
