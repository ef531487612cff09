//! Small models of a family, guided by a teacher.

use rectify_core::ConfigError;
use rectify_distill::Distillation;
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::train::Guides;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::{read, resolve};
use crate::train::{FitRequest, Fitted};
use crate::{BoxError, ModelError, Settings, SettingsError};

/// Settings of a student: its own, and what it learns from its teacher.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Distilled<C> {
    student: C,
    distillation: Distillation,
}

impl<C: Default + DeserializeOwned + Serialize> Distilled<C> {
    fn resolve(settings: &Settings, validate: fn(&C) -> Result<(), ConfigError>) -> Result<Value, SettingsError> {
        let resolved = resolve::<Self, BoxError>(settings, |_| Ok(()))?;
        let config: Self = read(resolved.clone())?;
        let part = |part: &'static str| move |error: BoxError| SettingsError::Part { part, problem: error };
        validate(&config.student).map_err(|error| part("student")(error.into()))?;
        config.distillation.validate().map_err(|error| part("distillation")(error.into()))?;
        if config.distillation == Distillation::default() {
            return Err(SettingsError::Empty { table: "distillation", expected: "experts, lists, or both" });
        }
        Ok(resolved)
    }

    /// Trains with the guides of the distillation.
    fn fit(
        request: FitRequest<'_>,
        kind: &'static str,
        fit: impl FnOnce(&C, Guides<'_>, FitRequest<'_>) -> Result<Fitted, ModelError>,
    ) -> Result<Fitted, ModelError> {
        let config: Self = request.config()?;
        let teacher = request.teacher(kind)?;
        let train = request.train;
        let seen = |user| train.items_of(user);
        let seed = request.seed.stream("distillation");
        let guides = config.distillation.guides(&teacher, train.n_users(), train.n_items(), seen, seed);
        fit(&config.student, guides.map_err(ModelError::other)?, request)
    }
}

pub(in crate::builtin) fn mf_settings(settings: &Settings) -> Result<Value, SettingsError> {
    Distilled::resolve(settings, MfConfig::validate)
}

pub(in crate::builtin) fn mf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    Distilled::fit(request, "distilled-mf", |config: &MfConfig, guides, request| {
        let train = request.train;
        request.by_epochs(|run| mf::fit_guided(train, config, guides, run))
    })
}

pub(in crate::builtin) fn neu_mf_settings(settings: &Settings) -> Result<Value, SettingsError> {
    Distilled::resolve(settings, NeuMfConfig::validate)
}

pub(in crate::builtin) fn neu_mf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    Distilled::fit(request, "distilled-neu-mf", |config: &NeuMfConfig, guides, request| {
        let train = request.train;
        request.by_epochs(|run| neumf::fit_guided(train, config, guides, run))
    })
}
