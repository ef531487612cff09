//! The models that experiments can name: settings in, a scorer on disk out.

mod bits;
mod cascades;
mod codes;
mod distilled;
#[cfg(feature = "cuda")]
pub(super) mod on_device;
mod teachers;
mod towers;
mod trees;

use std::path::Path;

use anyhow::{Context, Result};
use rectify_cascade::CascadeIndex;
use rectify_core::rng::Seed;
use rectify_core::{Hidden, ItemId, QueryError, Retriever, Scorer, Teacher, UserId};
use rectify_data::{Categories, Interactions, WordCounts};
use rectify_teachers::Factors;
use rectify_tensor::train::{FitConfig, FitReport, Observer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::experiment::Settings;
use super::plan::merge;
use crate::{refusal, suggest};

/// A trained model as it is evaluated, and as it teaches.
#[derive(Clone, Copy)]
pub(crate) struct Answers<'a> {
    pub(crate) scorer: &'a dyn Scorer<Query = UserId>,
    /// A faster way to the best items than scoring all, if the model has one.
    pub(crate) retriever: Option<&'a dyn Retriever<Query = UserId>>,
    /// What students may imitate beside scores.
    pub(crate) hidden: Option<&'a dyn Hidden>,
}

/// A trained model.
pub(crate) trait Model: Send + Sync {
    /// As it is evaluated.
    fn answers(&self) -> Answers<'_>;

    /// Number of learned values, if it counts them.
    fn n_params(&self) -> Option<usize> {
        None
    }

    /// Bytes of what a search reads of the items, if it can tell them from users.
    fn item_bytes(&self) -> Option<usize> {
        None
    }

    /// As vectors, if it is nothing else.
    fn factors(&self) -> Option<&Factors> {
        None
    }

    /// As a cascade, if it is one.
    fn cascade(&self) -> Option<&CascadeIndex> {
        None
    }
}

/// Any trained model as a teacher: a black box if it shows no hidden vectors.
struct TeacherOf<'a>(Answers<'a>);

impl Scorer for TeacherOf<'_> {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.0.scorer.n_items()
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.0.scorer.score_into(user, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.0.scorer.score_all_into(user, out)
    }
}

impl Teacher for TeacherOf<'_> {
    fn hidden(&self) -> Option<&dyn Hidden> {
        self.0.hidden
    }
}

/// A validation metric of the model of the moment.
pub(crate) type Validate<'a> = dyn FnMut(Answers<'_>) -> Result<f64> + 'a;

/// What the data set and its split tell beside the interactions; as far as a kind [has use for it](Kind::beside).
#[derive(Clone, Copy, Default)]
pub(crate) struct Beside<'a> {
    /// Categories of items, if there are any.
    pub(crate) categories: Option<&'a Categories>,
    /// Users whose whole rows are samples, where users were split.
    pub(crate) training_users: Option<&'a [UserId]>,
}

/// One training.
pub(crate) struct Job<'a> {
    pub(crate) train: &'a Interactions,
    /// What [`Kind::resolve`] gave.
    pub(crate) config: &'a Value,
    /// Used by models that learn by epochs.
    pub(crate) fit: &'a FitConfig,
    pub(crate) seed: Seed,
    /// There if and only if the kind [needs one](Kind::needs_teacher).
    pub(crate) teacher: Option<&'a dyn Model>,
    /// There if and only if the kind [needs it](Kind::needs_text).
    pub(crate) text: Option<&'a WordCounts>,
    /// What the data set and its split tell beside the interactions.
    pub(crate) beside: Beside<'a>,
    pub(crate) validate: &'a mut Validate<'a>,
    pub(crate) observer: &'a mut dyn Observer,
    /// Where the model is saved.
    pub(crate) path: &'a Path,
}

/// A kind of model.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Whether it learns by epochs, so that the number of them is part of what made it.
    pub(crate) by_epochs: bool,
    /// Whether it learns from another model.
    pub(crate) needs_teacher: bool,
    /// Whether it learns from the words of items too.
    pub(crate) needs_text: bool,
    resolve: fn(&Settings) -> Result<Value, String>,
    train: fn(Job<'_>) -> Result<Option<FitReport>>,
    open: fn(&Path) -> Result<Box<dyn Model>>,
}

impl Kind {
    /// All settings of a model, defaults included, checked.
    pub(crate) fn resolve(&self, settings: &Settings) -> Result<Value> {
        (self.resolve)(settings).map_err(|problem| refusal::input(format!("settings of {}: {problem}", self.name)))
    }

    fn is_among(&self, kinds: &[Self]) -> bool {
        kinds.iter().any(|kind| kind.name == self.name)
    }

    /// What it learns from of `all` that the data set and its split tell beside the interactions.
    pub(crate) fn beside<'a>(&self, all: Beside<'a>) -> Beside<'a> {
        match (self.is_among(trees::KINDS), self.is_among(towers::KINDS)) {
            (true, _) => all,
            (_, true) => Beside { categories: None, ..all },
            (false, false) => Beside::default(),
        }
    }

    /// Trains and saves; a report if it learns by epochs.
    pub(crate) fn train(&self, job: Job<'_>) -> Result<Option<FitReport>> {
        (self.train)(job).with_context(|| format!("training {}", self.name))
    }

    /// Checks a way to serve what `config` trains, other than the config's own.
    pub(crate) fn check_served(&self, config: &Value, how: &Settings) -> Result<()> {
        let served = if self.is_among(trees::KINDS) {
            trees::check_served(config, how)
        } else if self.is_among(codes::KINDS) {
            codes::check_served(how)
        } else {
            Err("a model of this kind is served in one way only".into())
        };
        served.map_err(|problem| refusal::input(format!("also_served of {}: {problem}", self.name)))
    }

    /// Maps a trained model to be served in a way that [was checked](Self::check_served).
    pub(crate) fn open_served(&self, path: &Path, how: &Settings) -> Result<Box<dyn Model>> {
        if self.is_among(trees::KINDS) { trees::open_served(path, how) } else { codes::open_served(path, how) }
    }

    /// Maps a trained model.
    pub(crate) fn open(&self, path: &Path) -> Result<Box<dyn Model>> {
        (self.open)(path)
    }
}

/// The kind of that name.
pub(crate) fn find(name: &str) -> Result<&'static Kind> {
    let families =
        [teachers::KINDS, towers::KINDS, distilled::KINDS, codes::KINDS, bits::KINDS, trees::KINDS, cascades::KINDS];
    let all = || families.into_iter().flatten();
    let known: Vec<&str> = all().map(|kind| kind.name).collect();
    all().find(|kind| kind.name == name).ok_or_else(|| refusal::input(suggest::unknown("kind of model", name, &known)))
}

/// Settings of a model without any.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// Reads settings over the defaults of `C`, checks them, and writes all of them out.
fn resolve<C: Default + DeserializeOwned + Serialize, E: std::fmt::Display>(
    settings: &Settings,
    validate: fn(&C) -> Result<(), E>,
) -> Result<Value, String> {
    resolve_from(&C::default(), settings, validate)
}

/// As [`resolve`], over other defaults.
fn resolve_from<C: DeserializeOwned + Serialize, E: std::fmt::Display>(
    defaults: &C,
    settings: &Settings,
    validate: fn(&C) -> Result<(), E>,
) -> Result<Value, String> {
    let mut all = serde_json::to_value(defaults).map_err(|error| error.to_string())?;
    if let Value::Object(all) = &mut all {
        merge(all, settings);
    }
    let config: C = serde_json::from_value(all).map_err(|e| suggest::explain(&e.to_string()))?;
    validate(&config).map_err(|error| error.to_string())?;
    serde_json::to_value(&config).map_err(|error| error.to_string())
}

/// Another way to serve a trained model.
fn read_served<S: DeserializeOwned>(how: &Settings) -> Result<S, String> {
    serde_json::from_value(Value::Object(how.clone())).map_err(|error| suggest::explain(&error.to_string()))
}

/// The settings back from [`resolve`].
fn config<C: DeserializeOwned>(job: &Job<'_>) -> Result<C> {
    Ok(serde_json::from_value(job.config.clone())?)
}
