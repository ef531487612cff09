//! Trained models by the hash of everything that made them.
//!
//! `<key>.safetensors` is the model, `<key>.json` how it came about (written last: a model without it is not finished),
//! `<key>.checkpoint` and `<key>.spent` a training that was interrupted, and the time it had taken.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rectify_core::artifact::{Overwrite, write_atomically};
use rectify_core::as_u32s;
use rectify_core::rng::Seed;
use rectify_data::{Holdout, Interactions, Ragged, WordCounts};
use rectify_tensor::train::{Checkpoint, EpochRecord, Event, FitConfig, Observer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::progress::Progress;
use super::registry::{Answers, Beside, Job, Kind, Model};
use super::trainer::Trainer;
use crate::measure::{self, Stopwatch};
use crate::record::tidy;

/// Raised when the same settings would no longer make the same model.
const GENERATION: u32 = 1;

/// A folder of trained models.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Whether models that are there are trained again.
    fresh: bool,
}

/// Measures a model on the validation part.
pub(crate) type Measure<'a> = dyn Fn(Answers<'_>) -> Result<f64> + 'a;

/// What a model is made of.
pub(crate) struct Recipe<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) config: &'a Value,
    pub(crate) train: &'a Interactions,
    pub(crate) validation: Option<&'a Holdout>,
    /// Name of the validated metric, with its protocol.
    pub(crate) select_by: &'a str,
    pub(crate) max_epochs: u32,
    pub(crate) patience: Option<u32>,
    pub(crate) eval_every: u32,
    pub(crate) seed: u64,
    /// The model that it learns from, with its key.
    pub(crate) teacher: Option<(&'a str, &'a dyn Model)>,
    /// The words that it learns from.
    pub(crate) text: Option<&'a WordCounts>,
    /// What else it learns from.
    pub(crate) beside: Beside<'a>,
    /// Where it is trained.
    pub(crate) trainer: &'a Trainer,
}

/// Measures the model of some epochs on the test part, for the record alone.
pub(crate) struct TestAt<'a> {
    pub(crate) epochs: &'a [u32],
    pub(crate) measure: &'a dyn Fn(Answers<'_>) -> Result<TestValues>,
}

/// Values by the metric's name.
pub(crate) type TestValues = BTreeMap<String, f64>;

/// How a model came about: the content of `<key>.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) train_seconds: f64,
    pub(crate) train_cpu_seconds: Option<f64>,
    pub(crate) peak_rss_bytes: Option<u64>,
    pub(crate) validation: Option<f64>,
    /// Epoch whose parameters were kept, for models that learn by epochs.
    pub(crate) best_epoch: Option<u32>,
    pub(crate) history: Vec<EpochRecord>,
    /// Test values of the epochs that were asked for, in training order.
    #[serde(default)]
    pub(crate) tests: BTreeMap<u32, TestValues>,
}

/// A model in the cache.
#[derive(Clone)]
pub(crate) struct Trained {
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    pub(crate) origin: Origin,
    /// Whether it was there before.
    pub(crate) cached: bool,
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

impl Recipe<'_> {
    /// A hash of every input; equal keys mean equal models.
    fn key(&self) -> String {
        let mut made_of = json!({
            "generation": GENERATION,
            "kind": self.kind.name,
            "config": self.config,
            "train": digest(self.train),
            "seed": self.seed,
        });
        // What another device makes has other bits.
        if self.trainer.name() != "cpu" {
            made_of["device"] = self.trainer.name().into();
        }
        if let Some((key, _)) = self.teacher {
            made_of["teacher"] = key.into();
        }
        if let Some(text) = self.text {
            made_of["text"] = digest_text(text).into();
        }
        if let Some(categories) = self.beside.categories {
            made_of["categories"] = digest_rows(categories.rows()).into();
        }
        if let Some(users) = self.beside.training_users {
            made_of["training_users"] = digest_rows(&Ragged::from_rows([as_u32s(users)])).into();
        }
        // Validation shapes a model only through the epoch that is kept.
        if self.kind.by_epochs {
            made_of["training"] = json!({
                "max_epochs": self.max_epochs,
                "patience": self.patience,
                "eval_every": self.eval_every,
                "select_by": self.select_by,
                "validation": self.validation.map(digest_holdout),
            });
        }
        blake3::hash(made_of.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}

/// Hash of what models see of interactions.
fn digest(data: &Interactions) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(data.n_users() as u64).to_le_bytes());
    hasher.update(&(data.n_items() as u64).to_le_bytes());
    for offset in data.user_offsets() {
        hasher.update(&offset.to_le_bytes());
    }
    for item in data.all_items() {
        hasher.update(&item.0.to_le_bytes());
    }
    for weight in data.all_weights().into_iter().flatten() {
        hasher.update(&weight.to_le_bytes());
    }
    for time in data.all_times().into_iter().flatten() {
        hasher.update(&time.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn digest_rows(rows: &Ragged<u32>) -> String {
    let mut hasher = blake3::Hasher::new();
    for offset in rows.offsets() {
        hasher.update(&offset.to_le_bytes());
    }
    for value in rows.values() {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn digest_text(text: &WordCounts) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(text.n_words() as u64).to_le_bytes());
    for offset in text.rows().offsets() {
        hasher.update(&offset.to_le_bytes());
    }
    for value in text.rows().values().iter().chain(text.counts()) {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn digest_holdout(holdout: &Holdout) -> String {
    let mut hasher = blake3::Hasher::new();
    for user in holdout.users() {
        hasher.update(&user.0.to_le_bytes());
        for list in [holdout.truth_of(user), holdout.candidates_of(user).unwrap_or_default(), holdout.excluded_of(user)]
        {
            hasher.update(&(list.len() as u64).to_le_bytes());
            for item in list {
                hasher.update(&item.0.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

impl Cache {
    /// Opens or makes the folder.
    pub(crate) fn open(folder: PathBuf, fresh: bool) -> Result<Self> {
        std::fs::create_dir_all(&folder)
            .map_err(|error| crate::refusal::output(format!("cannot make the folder {}: {error}", folder.display())))?;
        Ok(Self { folder, fresh })
    }

    /// The model of a recipe: read if it is there, otherwise trained, going on from a checkpoint if there is one.
    ///
    /// `validate` measures a model on the validation part, `test_at` some epochs on the test part.
    pub(crate) fn get(
        &self,
        recipe: &Recipe<'_>,
        label: &str,
        validate: Option<&Measure<'_>>,
        test_at: &TestAt<'_>,
        progress: &mut Progress,
    ) -> Result<Trained> {
        let key = recipe.key();
        let file = |extension: &str| self.folder.join(format!("{key}.{extension}"));
        let (path, about, checkpoint, spent) = (file("safetensors"), file("json"), file("checkpoint"), file("spent"));
        if self.fresh {
            // The origin first: without it the model counts as unfinished.
            for old in [&about, &path, &checkpoint, &spent] {
                remove(old)?;
            }
        } else if let Some(origin) = read_json::<Origin>(&about)? {
            recipe.kind.open(&path).with_context(|| format!("remove {} to train it again", about.display()))?;
            return Ok(Trained { key, path, origin, cached: true });
        }

        progress.begin(label);
        let before = read_json::<Spent>(&spent)?.unwrap_or_default();
        let watch = Stopwatch::of_process();
        let eval_every = match validate {
            Some(_) => recipe.eval_every,
            // Without validation, evaluations are for the record alone: as often as they can be asked for.
            None if test_at.epochs.is_empty() => 0,
            None => test_at.epochs.iter().fold(0, |a, b| gcd(a, *b)),
        };
        let fit = FitConfig {
            max_epochs: recipe.max_epochs,
            patience: recipe.patience,
            eval_every,
            checkpoint: Some(Checkpoint { path: checkpoint.clone(), run: key.clone() }),
        };
        let epoch = Cell::new(0);
        let tests = RefCell::new(before.tests.clone());
        let report = {
            let mut measure = |model: Answers<'_>| {
                if test_at.epochs.contains(&epoch.get()) {
                    tests.borrow_mut().insert(epoch.get(), (test_at.measure)(model)?);
                }
                // Epochs that nothing is chosen by rise, so that the last one is kept.
                validate.map_or(Ok(f64::from(epoch.get())), |validate| validate(model))
            };
            let mut observer =
                Clocked { progress, watch: &watch, before: &before, path: &spent, epoch: &epoch, tests: &tests };
            let job = Job {
                train: recipe.train,
                config: recipe.config,
                fit: &fit,
                seed: Seed(recipe.seed),
                teacher: recipe.teacher.map(|(_, model)| model),
                text: recipe.text,
                beside: recipe.beside,
                validate: &mut measure,
                observer: &mut observer,
                path: &path,
            };
            recipe.trainer.train(recipe.kind, job)?
        };
        let now = total(&before, &watch);
        let (history, best_epoch, mut validation) = match report {
            Some(report) => (report.history, Some(report.best_epoch), report.best_metric),
            None => (Vec::new(), None, None),
        };
        if let (None, Some(validate)) = (validation, validate) {
            validation = Some(validate(recipe.kind.open(&path)?.answers())?);
        }
        let validated = validate.is_some();
        let origin = Origin {
            train_seconds: tidy(now.wall_seconds),
            train_cpu_seconds: watch.cpu_seconds().map(|_| tidy(now.cpu_seconds)),
            peak_rss_bytes: measure::peak_rss_bytes(),
            validation: validation.filter(|_| validated).map(tidy),
            best_epoch,
            history: history
                .into_iter()
                .map(|e| EpochRecord { loss: tidy(e.loss), metric: e.metric.filter(|_| validated).map(tidy), ..e })
                .collect(),
            tests: tests.into_inner(),
        };
        write_json(&about, &origin)?;
        remove(&checkpoint)?;
        remove(&spent)?;
        Ok(Trained { key, path, origin, cached: false })
    }
}

/// Greatest common divisor; of 0 and n it is n.
fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Passes events on, and notes the time spent whenever a checkpoint is written.
struct Clocked<'a> {
    progress: &'a mut Progress,
    watch: &'a Stopwatch,
    before: &'a Spent,
    path: &'a Path,
    /// The epoch that was trained last.
    epoch: &'a Cell<u32>,
    tests: &'a RefCell<BTreeMap<u32, TestValues>>,
}

impl Observer for Clocked<'_> {
    fn on_event(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Trained { epoch, .. } => self.epoch.set(*epoch),
            Event::Checkpointed { epoch } => {
                let spent = Spent { tests: self.tests.borrow().clone(), ..total(self.before, self.watch) };
                if let Some(values) = spent.tests.get(epoch) {
                    let values: Vec<String> = values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
                    self.progress.say(&format!("  test at epoch {epoch}: {}", values.join("  ")));
                }
                // Losing this note only makes the report of a resumed run too short; it must not end the training.
                if let Err(error) = write_json(self.path, &spent) {
                    self.progress.say(&format!("warning: {error:#}"));
                }
            }
            Event::Started { .. } | Event::Validated { .. } | Event::Finished { .. } | _ => {}
        }
        self.progress.on_event(event)
    }
}

fn total(before: &Spent, watch: &Stopwatch) -> Spent {
    Spent {
        wall_seconds: before.wall_seconds + watch.wall_seconds(),
        cpu_seconds: before.cpu_seconds + watch.cpu_seconds().unwrap_or_default(),
        tests: BTreeMap::new(),
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(
            serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged; remove it", path.display()))?,
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write_atomically(path, Overwrite::Replace, |file: &mut dyn Write| file.write_all(text.as_bytes()))?;
    Ok(())
}
