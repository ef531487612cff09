//! The conformance kit of trainers passes a sound one, and catches one whose epochs depend on what ran before.

use rectify_core::{Factors, FactorsError, Provenance};
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{Optimizer, ParamStore, RowUpdate, testing};

use super::train::{DIM, Model};

fn served(model: &Model) -> Result<Factors, FactorsError> {
    let values = |key| model.store.rows(key).values().to_vec();
    Factors::from_vectors(values(model.users), values(model.items), DIM, Provenance::default())
}

fn fit<S: Step>(
    mut step: S,
    model: impl Fn(&S) -> &Model,
    run: TrainRun<'_, Factors>,
) -> Result<(Factors, FitReport), TrainError> {
    let report = run.drive(&mut step, |step| served(model(step)))?;
    let factors = served(model(&step)).expect("what was served before");
    Ok((factors, report))
}

/// Halves its learning rate after every epoch, and forgets that when it is killed.
struct Forgetful {
    model: Model,
    learning_rate: f64,
}

impl Step for Forgetful {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        self.model.optimizer = Optimizer::adam(self.learning_rate);
        self.learning_rate /= 2.0;
        self.model.run_epoch(epoch)
    }

    fn params(&self) -> &ParamStore {
        self.model.params()
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        self.model.params_mut()
    }
}

#[test]
fn a_sound_trainer_passes() {
    for update in [RowUpdate::Exact, RowUpdate::Lazy] {
        testing::trainer(|run| fit(Model::new(update), |model| model, run));
    }
}

#[test]
#[should_panic(expected = "taken up again has other bytes")]
fn a_trainer_that_forgets_when_it_is_killed_is_caught() {
    testing::trainer(|run| {
        let step = Forgetful { model: Model::new(RowUpdate::Exact), learning_rate: 0.02 };
        fit(step, |step| &step.model, run)
    });
}
