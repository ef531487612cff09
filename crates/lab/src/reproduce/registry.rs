//! The models that experiments can name: settings in, a scorer on disk out.

mod bits;
mod codes;
mod trees;

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{Hidden, Index, ItemId, QueryError, Retriever, Scorer, Teacher, UserId};
use rectify_data::{Categories, Interactions, WordCounts};
use rectify_distill::Distillation;
use rectify_teachers::dssm::{self, DssmConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMf, NeuMfConfig};
use rectify_teachers::{self as teachers, ConfigError, Factors, FitError};
use rectify_tensor::train::{FitConfig, FitReport, Guides, Observer};
use rectify_tensor::{Optimizer, Sgd};
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
}

/// A model without a faster way than scoring everything.
struct Scored<S>(S);

impl<S: Scorer<Query = UserId>> Model for Scored<S> {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: &self.0, retriever: None, hidden: None }
    }
}

impl Model for Factors {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: self.hidden() }
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.users().len() + self.items().len())
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(size_of_val(self.items()))
    }
}

impl Model for NeuMf {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: None, hidden: self.hidden() }
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.n_params())
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

/// What the data set and its split tell beside the interactions; nothing for kinds that [have no use for it](Kind::looks_beside).
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

    /// Whether it learns from categories, and from some users alone where users were split.
    pub(crate) fn looks_beside(&self) -> bool {
        trees::KINDS.iter().any(|kind| kind.name == self.name)
    }

    /// Trains and saves; a report if it learns by epochs.
    pub(crate) fn train(&self, job: Job<'_>) -> Result<Option<FitReport>> {
        (self.train)(job).with_context(|| format!("training {}", self.name))
    }

    /// Maps a trained model.
    pub(crate) fn open(&self, path: &Path) -> Result<Box<dyn Model>> {
        (self.open)(path)
    }
}

/// The kind of that name.
pub(crate) fn find(name: &str) -> Result<&'static Kind> {
    let all = || KINDS.iter().chain(codes::KINDS).chain(bits::KINDS).chain(trees::KINDS);
    let known: Vec<&str> = all().map(|kind| kind.name).collect();
    all().find(|kind| kind.name == name).ok_or_else(|| refusal::input(suggest::unknown("kind of model", name, &known)))
}

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

/// The settings back from [`resolve`].
fn config<C: DeserializeOwned>(job: &Job<'_>) -> Result<C> {
    Ok(serde_json::from_value(job.config.clone())?)
}

/// Settings of a model without any.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

/// A training that gives factors, as the teachers spell it.
type FitFactors<C> = fn(
    &Interactions,
    &C,
    &FitConfig,
    Seed,
    teachers::Validate<'_, Factors>,
    &mut dyn Observer,
) -> Result<(Factors, FitReport), FitError>;

/// Trains and saves a model that is served as factors.
fn factors<C: DeserializeOwned>(job: Job<'_>, fit: FitFactors<C>) -> Result<Option<FitReport>> {
    let config: C = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
    let (model, report) = fit(job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

fn open_factors(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(Factors::open(path)?))
}

/// Trains and saves GMF, MLP or NeuMF.
fn neu_mf(job: Job<'_>) -> Result<Option<FitReport>> {
    let config: NeuMfConfig = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &NeuMf| validate(model.answers()).map_err(Into::into);
    let (model, report) = neumf::fit(job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

fn open_neu_mf(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(NeuMf::open(path)?))
}

/// Settings of a NeuMF by the NCF recipe.
#[derive(Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Pretrained {
    model: NeuMfConfig,
    /// Of the joint model; plain gradient descent in the paper.
    fine_tuning: Optimizer,
    /// Epochs of GMF and of MLP alone.
    pretraining_epochs: u32,
}

impl Default for Pretrained {
    fn default() -> Self {
        let fine_tuning = Optimizer::Sgd(Sgd::default());
        Self { model: NeuMfConfig::default(), fine_tuning, pretraining_epochs: 20 }
    }
}

impl Pretrained {
    fn validate(&self) -> Result<(), String> {
        self.model.validate().map_err(|error| error.to_string())?;
        self.fine_tuning.validate().map_err(|error| format!("fine_tuning: {error}"))?;
        if self.pretraining_epochs == 0 {
            return Err("pretraining_epochs is 0, expected at least 1".into());
        }
        Ok(())
    }
}

/// Trains GMF and MLP, then NeuMF from both, and saves it.
fn pretrained_neu_mf(job: Job<'_>) -> Result<Option<FitReport>> {
    let Pretrained { model: config, fine_tuning, pretraining_epochs } = config(&job)?;
    let alone = FitConfig { max_epochs: pretraining_epochs, patience: None, eval_every: 0, checkpoint: None };
    let runs = neumf::PretrainRuns { gmf: alone.clone(), mlp: alone, joint: job.fit.clone() };
    let validate = job.validate;
    let mut validate = |model: &NeuMf| validate(model.answers()).map_err(Into::into);
    let (train, seed) = (job.train, job.seed);
    let (model, report) =
        neumf::fit_pretrained(train, &config, &fine_tuning, &runs, seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

/// Settings of a student: its own, and what it learns from its teacher.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Distilled<C> {
    student: C,
    distillation: Distillation,
}

impl<C: Default + DeserializeOwned + Serialize> Distilled<C> {
    fn resolve(settings: &Settings, validate: fn(&C) -> Result<(), ConfigError>) -> Result<Value, String> {
        let resolved = resolve::<Self, String>(settings, |_| Ok(()))?;
        let config: Self = serde_json::from_value(resolved.clone()).map_err(|error| error.to_string())?;
        validate(&config.student).map_err(|error| format!("student: {error}"))?;
        config.distillation.validate().map_err(|error| format!("distillation: {error}"))?;
        if config.distillation == Distillation::default() {
            return Err("distillation says nothing; give it experts, lists, or both".into());
        }
        Ok(resolved)
    }

    /// Trains with the guides of the distillation.
    fn train<R>(job: Job<'_>, fit: impl FnOnce(&C, Guides<'_>, Job<'_>) -> Result<R>) -> Result<R> {
        let config: Self = config(&job)?;
        let teacher = TeacherOf(job.teacher.context("a student without a teacher")?.answers());
        let train = job.train;
        let seen = |user| train.items_of(user);
        let seed = job.seed.stream("distillation");
        let guides = config.distillation.guides(&teacher, train.n_users(), train.n_items(), seen, seed)?;
        fit(&config.student, guides, job)
    }
}

/// Trains and saves a distilled matrix factorisation.
fn distilled_mf(job: Job<'_>) -> Result<Option<FitReport>> {
    Distilled::<MfConfig>::train(job, |config, guides, job| {
        let validate = job.validate;
        let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
        let (train, fit, seed) = (job.train, job.fit, job.seed);
        let (model, report) = mf::fit_guided(train, config, fit, seed, guides, &mut validate, job.observer)?;
        model.save(job.path, Overwrite::Replace)?;
        Ok(Some(report))
    })
}

/// Trains and saves a distilled NeuMF.
fn distilled_neu_mf(job: Job<'_>) -> Result<Option<FitReport>> {
    Distilled::<NeuMfConfig>::train(job, |config, guides, job| {
        let validate = job.validate;
        let mut validate = |model: &NeuMf| validate(model.answers()).map_err(Into::into);
        let (train, fit, seed) = (job.train, job.fit, job.seed);
        let (model, report) = neumf::fit_guided(train, config, fit, seed, guides, &mut validate, job.observer)?;
        model.save(job.path, Overwrite::Replace)?;
        Ok(Some(report))
    })
}

/// Settings of the member of the NeuMF family that the kind is named after; `base` gives what they start from.
fn resolve_neu_mf(settings: &Settings, base: &NeuMfConfig) -> Result<Value, String> {
    let config = resolve_from(base, settings, NeuMfConfig::validate)?;
    let got: NeuMfConfig = serde_json::from_value(config.clone()).map_err(|error| error.to_string())?;
    if got.model() == base.model() {
        Ok(config)
    } else {
        Err(format!("these widths make a model of kind {}, not {}; name the other kind", got.model(), base.model()))
    }
}

/// Settings of matrix factorisation with the loss that the kind is named after.
fn resolve_mf(settings: &Settings, loss: &str) -> Result<Value, String> {
    let mut settings = settings.clone();
    match settings.insert("loss".into(), loss.into()) {
        Some(other) if other != loss => {
            Err(format!("loss is {other}, but this kind has \"{loss}\"; name the other kind"))
        }
        _ => resolve(&settings, MfConfig::validate),
    }
}

const KINDS: &[Kind] = &[
    Kind {
        name: "pop-rank",
        by_epochs: false,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve::<NoSettings, String>(settings, |_| Ok(())),
        train: |job| {
            teachers::PopRank::fit(job.train)?.save(job.path, Overwrite::Replace)?;
            Ok(None)
        },
        open: |path| Ok(Box::new(Scored(teachers::PopRank::open(path)?))),
    },
    Kind {
        name: "item-cf",
        by_epochs: false,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, teachers::ItemCfConfig::validate),
        train: |job| {
            teachers::ItemCf::fit(job.train, &config(&job)?)?.save(job.path, Overwrite::Replace)?;
            Ok(None)
        },
        open: |path| Ok(Box::new(Scored(teachers::ItemCf::open(path)?))),
    },
    Kind {
        name: "ease",
        by_epochs: false,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, teachers::EaseConfig::validate),
        train: |job| {
            teachers::Ease::fit(job.train, &config(&job)?)?.save(job.path, Overwrite::Replace)?;
            Ok(None)
        },
        open: |path| Ok(Box::new(Scored(teachers::Ease::open(path)?))),
    },
    Kind {
        name: "ials",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, teachers::ials::IalsConfig::validate),
        train: |job| factors(job, teachers::ials::fit),
        open: open_factors,
    },
    Kind {
        name: "mf-bpr",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve_mf(settings, "bpr"),
        train: |job| factors(job, mf::fit),
        open: open_factors,
    },
    Kind {
        name: "mf-bce",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve_mf(settings, "bce"),
        train: |job| factors(job, mf::fit),
        open: open_factors,
    },
    Kind {
        name: "gmf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve_neu_mf(settings, &NeuMfConfig::gmf(64)),
        train: neu_mf,
        open: open_neu_mf,
    },
    Kind {
        name: "mlp",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve_neu_mf(settings, &NeuMfConfig::mlp(64, &[128, 64, 32])),
        train: neu_mf,
        open: open_neu_mf,
    },
    Kind {
        name: "neu-mf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve_neu_mf(settings, &NeuMfConfig::default()),
        train: neu_mf,
        open: open_neu_mf,
    },
    Kind {
        name: "neu-mf-pretrained",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, Pretrained::validate),
        train: pretrained_neu_mf,
        open: open_neu_mf,
    },
    Kind {
        name: "distilled-mf",
        by_epochs: true,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| Distilled::resolve(settings, MfConfig::validate),
        train: distilled_mf,
        open: open_factors,
    },
    Kind {
        name: "distilled-neu-mf",
        by_epochs: true,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| Distilled::resolve(settings, NeuMfConfig::validate),
        train: distilled_neu_mf,
        open: open_neu_mf,
    },
    Kind {
        name: "light-gcn",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, teachers::light_gcn::LightGcnConfig::validate),
        train: |job| factors(job, teachers::light_gcn::fit),
        open: open_factors,
    },
    Kind {
        name: "dssm",
        by_epochs: true,
        needs_teacher: false,
        needs_text: true,
        resolve: |settings| resolve(settings, DssmConfig::validate),
        train: |job| {
            let settings: DssmConfig = config(&job)?;
            let text = job.text.context("a text model without text")?;
            let validate = job.validate;
            let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
            let (train, fit, seed) = (job.train, job.fit, job.seed);
            let (model, report) = dssm::fit(train, text, &settings, fit, seed, &mut validate, job.observer)?;
            model.save(job.path, Overwrite::Replace)?;
            Ok(Some(report))
        },
        open: open_factors,
    },
    Kind {
        name: "gcn-cf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, teachers::gcn_cf::GcnCfConfig::validate),
        train: |job| factors(job, teachers::gcn_cf::fit),
        open: open_factors,
    },
    Kind {
        name: "spectral-cf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, teachers::spectral_cf::SpectralCfConfig::validate),
        train: |job| factors(job, teachers::spectral_cf::fit),
        open: open_factors,
    },
];
