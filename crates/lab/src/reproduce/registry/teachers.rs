//! Kinds that learn from interactions alone, or with the words of items: the teachers.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{Index, Scorer, Teacher, UserId};
use rectify_data::Interactions;
use rectify_teachers::conv_ncf::{self, ConvNcf, ConvNcfConfig};
use rectify_teachers::dssm::{self, DssmConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMf, NeuMfConfig, PretrainRuns};
use rectify_teachers::prm::{self, Prm, PrmConfig};
use rectify_teachers::{self as teachers, Factors, FitError};
use rectify_tensor::train::{FitConfig, FitReport, Observer};
use rectify_tensor::{Optimizer, Sgd};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answers, Job, Kind, Model, NoSettings, config, resolve, resolve_from};
use crate::refusal;
use crate::reproduce::experiment::Settings;

/// A model without a faster way than scoring everything.
struct Scored<S>(S);

impl<S: Scorer<Query = UserId>> Model for Scored<S> {
    fn answers(&self) -> Answers<'_> {
        scored(&self.0)
    }
}

fn scored(scorer: &dyn Scorer<Query = UserId>) -> Answers<'_> {
    Answers { scorer, retriever: None, hidden: None }
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

    fn factors(&self) -> Option<&Factors> {
        Some(self)
    }
}

impl Model for NeuMf {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: self.hidden() }
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.n_params())
    }
}

/// Trains, by any of the ways to, and saves a model that is served as factors.
pub(super) fn factors<C: DeserializeOwned>(
    job: Job<'_>,
    fit: impl FnOnce(
        &Interactions,
        &C,
        &FitConfig,
        Seed,
        teachers::Validate<'_, Factors>,
        &mut dyn Observer,
    ) -> Result<(Factors, FitReport), FitError>,
) -> Result<Option<FitReport>> {
    let config: C = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
    let (model, report) = fit(job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

pub(super) fn open_factors(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(Factors::open(path)?))
}

/// Trains, by any of the ways to, and saves GMF, MLP or NeuMF.
pub(super) fn neu_mf_by(
    job: Job<'_>,
    fit: impl FnOnce(
        &Interactions,
        &NeuMfConfig,
        &FitConfig,
        Seed,
        teachers::Validate<'_, NeuMf>,
        &mut dyn Observer,
    ) -> Result<(NeuMf, FitReport), FitError>,
) -> Result<Option<FitReport>> {
    let config: NeuMfConfig = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &NeuMf| validate(model.answers()).map_err(Into::into);
    let (model, report) = fit(job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

fn neu_mf(job: Job<'_>) -> Result<Option<FitReport>> {
    neu_mf_by(job, neumf::fit)
}

pub(super) fn open_neu_mf(path: &Path) -> Result<Box<dyn Model>> {
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

/// Trains GMF and MLP, then NeuMF from both, by any of the ways to, and saves it.
pub(super) fn pretrained_by(
    job: Job<'_>,
    fit: impl FnOnce(
        &Interactions,
        &NeuMfConfig,
        &Optimizer,
        &PretrainRuns,
        Seed,
        teachers::Validate<'_, NeuMf>,
        &mut dyn Observer,
    ) -> Result<(NeuMf, FitReport), FitError>,
) -> Result<Option<FitReport>> {
    let Pretrained { model: config, fine_tuning, pretraining_epochs } = config(&job)?;
    let alone = FitConfig { max_epochs: pretraining_epochs, patience: None, eval_every: 0, checkpoint: None };
    let runs = PretrainRuns { gmf: alone.clone(), mlp: alone, joint: job.fit.clone() };
    let validate = job.validate;
    let mut validate = |model: &NeuMf| validate(model.answers()).map_err(Into::into);
    let (model, report) = fit(job.train, &config, &fine_tuning, &runs, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

/// Trains ConvNCF from the vectors of another model, and saves it.
fn conv_ncf(job: Job<'_>) -> Result<Option<FitReport>> {
    let config: ConvNcfConfig = config(&job)?;
    let start = job.teacher.context("ConvNCF without a start")?.factors();
    let start = start.ok_or_else(|| refusal::input("conv-ncf starts from vectors; name a factorisation as teacher"))?;
    let validate = job.validate;
    let mut validate = |model: &ConvNcf| validate(scored(model)).map_err(Into::into);
    let (train, fit, seed) = (job.train, job.fit, job.seed);
    let (model, report) = conv_ncf::fit(train, Some(start), &config, fit, seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

impl Model for Prm {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn n_params(&self) -> Option<usize> {
        Some(self.n_params())
    }
}

/// Trains PRM-BASE over the lists of another model, and saves both.
fn prm_base(job: Job<'_>) -> Result<Option<FitReport>> {
    let config: PrmConfig = config(&job)?;
    let first = job.teacher.context("PRM-BASE without a first stage")?.factors();
    let first =
        first.ok_or_else(|| refusal::input("prm-base orders lists of vectors; name a factorisation as teacher"))?;
    let validate = job.validate;
    let mut validate = |model: &Prm| validate(model.answers()).map_err(Into::into);
    let (train, fit, seed) = (job.train, job.fit, job.seed);
    let (model, report) = prm::fit(train, first, &config, fit, seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
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

pub(super) const KINDS: &[Kind] = &[
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
        train: |job| pretrained_by(job, neumf::fit_pretrained),
        open: open_neu_mf,
    },
    Kind {
        name: "conv-ncf",
        by_epochs: true,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, ConvNcfConfig::validate),
        train: conv_ncf,
        open: |path| Ok(Box::new(Scored(ConvNcf::open(path)?))),
    },
    Kind {
        name: "prm-base",
        by_epochs: true,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, PrmConfig::validate),
        train: prm_base,
        open: |path| Ok(Box::new(Prm::open(path)?)),
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
