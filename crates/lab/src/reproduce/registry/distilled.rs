//! Kinds that are small models of a family, guided by a teacher: KD, RD, CD, DE, RRD.

use anyhow::{Context, Result};
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_distill::Distillation;
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMf, NeuMfConfig};
use rectify_teachers::{ConfigError, Factors};
use rectify_tensor::train::{FitReport, Guides};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::teachers::{open_factors, open_neu_mf};
use super::{Job, Kind, Model, TeacherOf, config, resolve};
use crate::reproduce::experiment::Settings;

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

pub(super) const KINDS: &[Kind] = &[
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
];
