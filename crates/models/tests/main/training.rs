//! Training by name: search, refit, store, resume.

use std::ops::ControlFlow;
use std::path::Path;

use rectify_core::rng::Seed;
use rectify_data::{Holdout, Interactions, Protocol, Split, SyntheticConfig};
use rectify_eval::{Candidates, Metric};
use rectify_models::train::{
    Epochs, Place, Selection, SideInformation, Store, TrainData, TrainRequest, Trained, Trainer, Unmetered, Watch,
};
use rectify_models::{Kinds, ModelError, Settings};
use rectify_tensor::train::{Event, Observer, Silent};

/// Tiny data, split as HDN does.
fn split() -> Split {
    let data = SyntheticConfig::tiny().generate("test", Seed(0)).unwrap();
    rectify_data::split(&data.interactions, None, &Protocol::hdn(), Seed(0), 0).unwrap()
}

fn settings(text: &str) -> Settings {
    serde_json::from_str(text).unwrap()
}

/// What is trained, and on what.
struct Task<'a> {
    kind: &'a str,
    settings: &'a str,
    trials: &'a [&'a str],
    epochs: Epochs,
    full: Option<&'a Interactions>,
    teacher: Option<&'a Trained>,
}

impl Task<'_> {
    const fn of(kind: &str) -> Task<'_> {
        let epochs = Epochs { max_epochs: Some(6), patience: None, eval_every: Some(2) };
        Task { kind, settings: "{}", trials: &[], epochs, full: None, teacher: None }
    }

    fn fit(&self, folder: &Path, split: &Split, watch: &mut dyn Watch) -> Result<Trained, ModelError> {
        let (kinds, store) = (Kinds::builtin(), Store::open(folder.to_owned(), false)?);
        let trials: Vec<Settings> = self.trials.iter().map(|text| settings(text)).collect();
        let validation: &Holdout = split.validation.as_ref().unwrap();
        let request = TrainRequest {
            name: "model",
            kind: kinds.get(self.kind)?,
            settings: &settings(self.settings),
            trials: &trials,
            chosen: None,
            data: TrainData {
                train: &split.train,
                validation: Some(validation),
                full: self.full,
                text: None,
                side: SideInformation::default(),
            },
            select_by: Selection { metric: "ndcg@10".parse::<Metric>().unwrap(), candidates: Candidates::Unseen },
            epochs: self.epochs,
            teacher: self.teacher,
            seed: 3,
            test: None,
        };
        Trainer { store: &store, place: &Place::Cpu, meter: &Unmetered }.fit(&request, watch)
    }
}

#[test]
fn the_best_trial_is_trained_on_everything_for_as_long_as_was_best_and_found_again() {
    let (folder, split) = (tempfile::tempdir().unwrap(), split());
    let task = Task {
        settings: r#"{"embedding_dim": 8, "batch_size": 256}"#,
        trials: &[r#"{"l2": 0.0}"#, r#"{"l2": 0.9}"#],
        full: Some(&split.train),
        ..Task::of("mf-bpr")
    };
    let first = task.fit(folder.path(), &split, &mut Silent).unwrap();
    let values: Vec<f64> = first.choice.trials.iter().map(|trial| trial.value).collect();
    let best = usize::from(values[1] > values[0]);
    assert_eq!(first.choice.config["l2"], first.choice.trials[best].settings["l2"]);
    assert_eq!(first.chosen.record.validation, Some(values[best]));
    assert_eq!(first.reported.record.history.len() as u32, first.chosen.record.best_epoch.unwrap());
    assert!(first.reported.record.validation.is_none() && first.reported.key != first.chosen.key);
    let again = task.fit(folder.path(), &split, &mut Silent).unwrap();
    assert!(again.chosen.cached && again.reported.cached && again.choice == first.choice);
}

/// Ends a training after an epoch.
struct StopAfter(u32);

impl Observer for StopAfter {
    fn on_event(&mut self, event: &Event) -> ControlFlow<()> {
        if let Event::Checkpointed { epoch } = event {
            assert!(*epoch < self.0, "stopped");
        }
        ControlFlow::Continue(())
    }
}

impl Watch for StopAfter {
    fn begin(&mut self, _: &str) {}

    fn say(&mut self, _: &str) {}

    fn end(&mut self, _: &str) {}
}

#[test]
fn a_training_that_was_cut_off_goes_on_with_the_same_bytes_and_leaves_no_checkpoint() {
    let (whole, cut, split) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), split());
    let task = Task { settings: r#"{"embedding_dim": 8}"#, ..Task::of("mf-bce") };
    let at_once = task.fit(whole.path(), &split, &mut Silent).unwrap();
    let stopped = std::panic::catch_unwind(|| task.fit(cut.path(), &split, &mut StopAfter(3)));
    assert!(stopped.is_err());
    let key = &at_once.reported.key;
    assert!(cut.path().join(format!("{key}.checkpoint")).exists());
    let resumed = task.fit(cut.path(), &split, &mut Silent).unwrap();
    assert!(std::fs::read(&resumed.reported.path).unwrap() == std::fs::read(&at_once.reported.path).unwrap());
    let left: Vec<_> = std::fs::read_dir(cut.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "a model and how it came about: {left:?}");
}

#[test]
fn a_student_is_keyed_by_its_teacher_and_one_without_is_refused() {
    let (folder, split) = (tempfile::tempdir().unwrap(), split());
    let teacher = |dim: u32| {
        let text = format!("{{\"embedding_dim\": {dim}}}");
        Task { settings: &text, ..Task::of("mf-bpr") }.fit(folder.path(), &split, &mut Silent).unwrap()
    };
    let of = |teacher: Option<&Trained>| {
        let task = Task { settings: r#"{"n_codebooks": 2, "n_codewords": 16}"#, teacher, ..Task::of("rvq") };
        task.fit(folder.path(), &split, &mut Silent)
    };
    let (one, other) = (of(Some(&teacher(8))).unwrap(), of(Some(&teacher(12))).unwrap());
    assert_ne!(one.reported.key, other.reported.key);
    let error = of(None).unwrap_err();
    assert_eq!(error.to_string(), "a model of kind rvq learns from another; name it as teacher");
    assert_eq!(error.fault(), Some(rectify_core::Fault::Input));
}

#[test]
fn a_damaged_model_is_named_and_left_alone() {
    let (folder, split) = (tempfile::tempdir().unwrap(), split());
    let task = Task::of("ease");
    let trained = task.fit(folder.path(), &split, &mut Silent).unwrap();
    let mut bytes = std::fs::read(&trained.reported.path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&trained.reported.path, &bytes).unwrap();
    let error = task.fit(folder.path(), &split, &mut Silent).unwrap_err();
    assert!(error.to_string().starts_with("remove ") && error.fault() == Some(rectify_core::Fault::Input), "{error}");
    assert_eq!(std::fs::read(&trained.reported.path).unwrap(), bytes);
}
