//! Trained models by the hash of everything that made them.
//!
//! `<key>.safetensors` is the model, `<key>.json` how it came about (written last: a model without it is not finished),
//! `<key>.checkpoint` and `<key>.spent` a training that was interrupted, and the time it had taken.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rectify_core::artifact::{Overwrite, write_atomically};
use rectify_core::rng::Seed;
use rectify_tensor::train::{Checkpoint, EpochRecord, Event, FitConfig, Observer};
use serde::{Deserialize, Serialize};

use super::fit_request::Measure;
use super::recipe::Recipe;
use super::{FitRequest, Meter, Reading, TestAlong, Watch};
use crate::{Answers, Kind, Model, ModelError};

/// Rounds to ten significant digits: more would be noise, and so few survive JSON unchanged in every parser.
#[must_use]
pub fn tidy(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

/// Values by the metric's name.
pub type TestValues = BTreeMap<String, f64>;

/// How a model came about: the content of `<key>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// Wall time.
    pub train_seconds: f64,
    /// CPU time of all threads, where it was measured.
    pub train_cpu_seconds: Option<f64>,
    /// Highest resident memory of the process by then.
    pub peak_rss_bytes: Option<u64>,
    /// The validated metric of the model that was kept.
    pub validation: Option<f64>,
    /// Epoch whose parameters were kept, for models that learn by epochs.
    pub best_epoch: Option<u32>,
    /// Every epoch.
    pub history: Vec<EpochRecord>,
    /// Test values of the epochs that were asked for, in training order.
    #[serde(default)]
    pub tests: BTreeMap<u32, TestValues>,
}

/// A model in a store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its kind.
    pub kind: Kind,
    /// Hash of everything that made it.
    pub key: String,
    /// Its file.
    pub path: PathBuf,
    /// How it came about.
    pub record: TrainingRecord,
    /// Whether it was there before.
    pub cached: bool,
}

impl Stored {
    /// Maps the model.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn open(&self) -> Result<Box<dyn Model>, ModelError> {
        self.kind.open(&self.path)
    }
}

/// A folder of trained models.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    /// Whether models that are there are trained again.
    fresh: bool,
}

/// What an interrupted training had taken and found.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Spent {
    wall_seconds: f64,
    cpu_seconds: f64,
    /// Test values taken by then.
    #[serde(default)]
    tests: BTreeMap<u32, TestValues>,
}

impl Store {
    /// Opens or makes the folder; `fresh` trains again what is there.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(folder: PathBuf, fresh: bool) -> Result<Self, ModelError> {
        match std::fs::create_dir_all(&folder) {
            Ok(()) => Ok(Self { folder, fresh }),
            Err(reason) => Err(ModelError::Io { action: "make the folder", path: folder, reason }),
        }
    }

    /// The model of a recipe: read if it is there, otherwise trained, going on from a checkpoint if there is one.
    ///
    /// `validate` measures a model on the validation part, `along` some epochs on the test part.
    pub(super) fn get(
        &self,
        recipe: &Recipe<'_>,
        label: &str,
        validate: Option<&Measure<'_>>,
        along: Option<&TestAlong<'_>>,
        meter: &dyn Meter,
        watch: &mut dyn Watch,
    ) -> Result<Stored, ModelError> {
        let key = recipe.key();
        let kind = *recipe.kind;
        let file = |extension: &str| self.folder.join(format!("{key}.{extension}"));
        let (path, about, checkpoint, spent) = (file("safetensors"), file("json"), file("checkpoint"), file("spent"));
        if self.fresh {
            // The record first: without it the model counts as unfinished.
            for old in [&about, &path, &checkpoint, &spent] {
                remove(old)?;
            }
        } else if let Some(record) = read_json::<TrainingRecord>(&about)? {
            kind.open(&path).map_err(|source| ModelError::Stored { about, source: Box::new(source) })?;
            return Ok(Stored { kind, key, path, record, cached: true });
        }

        watch.begin(label);
        let before = read_json::<Spent>(&spent)?.unwrap_or_default();
        let begun = meter.read();
        let test_at = along.map(|along| along.epochs).unwrap_or_default();
        let eval_every = match validate {
            Some(_) => recipe.eval_every,
            // Without validation, evaluations are for the record alone: as often as they can be asked for.
            None => test_at.iter().fold(0, |a, b| gcd(a, *b)),
        };
        let fit = FitConfig {
            max_epochs: recipe.max_epochs,
            patience: recipe.patience,
            eval_every,
            checkpoint: Some(Checkpoint { path: checkpoint.clone(), run: key.clone() }),
        };
        let epoch = Cell::new(0);
        let tests = RefCell::new(before.tests.clone());
        let fitted = {
            let mut measure = |model: Answers<'_>| {
                if let Some(along) = along.filter(|along| along.epochs.contains(&epoch.get())) {
                    tests.borrow_mut().insert(epoch.get(), (along.measure)(model)?);
                }
                // Epochs that nothing is chosen by rise, so that the last one is kept.
                validate.map_or(Ok(f64::from(epoch.get())), |validate| validate(model))
            };
            let mut observer =
                Metered { watch, meter, begun, before: &before, path: &spent, epoch: &epoch, tests: &tests };
            recipe.place.fit(
                recipe.kind,
                FitRequest {
                    train: recipe.train,
                    config: recipe.config,
                    fit: &fit,
                    seed: Seed(recipe.seed),
                    teacher: recipe.teacher.map(|(_, model)| model),
                    text: recipe.text,
                    side: recipe.side,
                    validate: &mut measure,
                    observer: &mut observer,
                },
            )?
        };
        fitted.model.save(&path)?;
        let now = meter.read();
        let spent_now = total(&before, begun, now);
        let (history, best_epoch, mut validation) = match fitted.report {
            Some(report) => (report.history, Some(report.best_epoch), report.best_metric),
            None => (Vec::new(), None, None),
        };
        if let (None, Some(validate)) = (validation, validate) {
            validation = Some(validate(kind.open(&path)?.answers()).map_err(ModelError::other)?);
        }
        let validated = validate.is_some();
        let record = TrainingRecord {
            train_seconds: tidy(spent_now.wall_seconds),
            train_cpu_seconds: now.since(begun).1.map(|_| tidy(spent_now.cpu_seconds)),
            peak_rss_bytes: now.peak_rss_bytes,
            validation: validation.filter(|_| validated).map(tidy),
            best_epoch,
            history: history
                .into_iter()
                .map(|e| EpochRecord { loss: tidy(e.loss), metric: e.metric.filter(|_| validated).map(tidy), ..e })
                .collect(),
            tests: tests.into_inner(),
        };
        write_json(&about, &record)?;
        self.remove_checkpoints(&key)?;
        remove(&spent)?;
        Ok(Stored { kind, key, path, record, cached: false })
    }

    /// Removes the checkpoint of a finished training, and those of its parts, which are named after it.
    fn remove_checkpoints(&self, key: &str) -> Result<(), ModelError> {
        let of_it = format!("{key}.checkpoint");
        let list = |reason| ModelError::Io { action: "list", path: self.folder.clone(), reason };
        for entry in std::fs::read_dir(&self.folder).map_err(list)? {
            let entry = entry.map_err(list)?;
            if entry.file_name().to_string_lossy().starts_with(&of_it) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Greatest common divisor; of 0 and n it is n.
const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Passes events on, and notes the time spent whenever a checkpoint is written.
struct Metered<'a> {
    watch: &'a mut dyn Watch,
    meter: &'a dyn Meter,
    begun: Reading,
    before: &'a Spent,
    path: &'a Path,
    /// The epoch that was trained last.
    epoch: &'a Cell<u32>,
    tests: &'a RefCell<BTreeMap<u32, TestValues>>,
}

impl Observer for Metered<'_> {
    fn on_event(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Trained { epoch, .. } => self.epoch.set(*epoch),
            Event::Checkpointed { epoch } => {
                let tests = self.tests.borrow().clone();
                let spent = Spent { tests, ..total(self.before, self.begun, self.meter.read()) };
                if let Some(values) = spent.tests.get(epoch) {
                    let values: Vec<String> = values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
                    self.watch.say(&format!("  test at epoch {epoch}: {}", values.join("  ")));
                }
                // Losing this note only makes the report of a resumed run too short; it must not end the training.
                if let Err(error) = write_json(self.path, &spent) {
                    self.watch.say(&format!("warning: {error}"));
                }
            }
            Event::Started { .. } | Event::Validated { .. } | Event::Finished { .. } | _ => {}
        }
        self.watch.on_event(event)
    }
}

fn total(before: &Spent, begun: Reading, now: Reading) -> Spent {
    let (wall, cpu) = now.since(begun);
    Spent {
        wall_seconds: before.wall_seconds + wall,
        cpu_seconds: before.cpu_seconds + cpu.unwrap_or_default(),
        tests: BTreeMap::new(),
    }
}

fn remove(path: &Path) -> Result<(), ModelError> {
    match std::fs::remove_file(path) {
        Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
            Err(ModelError::Io { action: "remove", path: path.to_owned(), reason })
        }
        _ => Ok(()),
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, ModelError> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(source) => Err(ModelError::Damaged { path: path.to_owned(), source }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(reason) => Err(ModelError::Io { action: "read", path: path.to_owned(), reason }),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ModelError> {
    let text = serde_json::to_string_pretty(value).map_err(ModelError::other)?;
    write_atomically(path, Overwrite::Replace, |file: &mut dyn Write| file.write_all(text.as_bytes()))?;
    Ok(())
}
