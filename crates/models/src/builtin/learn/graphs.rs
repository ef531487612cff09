//! Kinds that are candle graphs: FM, YoutubeDNN, DSSM.

use rectify_teachers::dssm::{self, DssmConfig};
use rectify_teachers::towers::{self, TowersConfig};
use serde_json::Value;

use crate::settings::{read, resolve, resolve_over};
use crate::train::{FitRequest, Fitted};
use crate::{ModelError, Settings, SettingsError};

/// Settings of the model that the kind is named after; `base` gives what they start from.
fn towers_settings(settings: &Settings, base: &TowersConfig) -> Result<Value, SettingsError> {
    let config = resolve_over(base, settings, TowersConfig::validate)?;
    let got: TowersConfig = read(config.clone())?;
    if got.model() == base.model() {
        Ok(config)
    } else {
        Err(SettingsError::OtherKind { what: "hidden makes", got: got.model(), expected: base.model() })
    }
}

pub(in crate::builtin) fn fm_settings(settings: &Settings) -> Result<Value, SettingsError> {
    towers_settings(settings, &TowersConfig::fm())
}

pub(in crate::builtin) fn youtube_dnn_settings(settings: &Settings) -> Result<Value, SettingsError> {
    towers_settings(settings, &TowersConfig::default())
}

/// Trains on the users whose rows are samples; everybody gets a vector.
pub(in crate::builtin) fn towers(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, users, config) = (request.train, request.side.training_users, request.config::<TowersConfig>()?);
    request.by_epochs(|run| towers::fit(train, users, &config, run))
}

pub(in crate::builtin) fn dssm_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, DssmConfig::validate)
}

pub(in crate::builtin) fn dssm(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<DssmConfig>()?);
    let text = request.text.ok_or(ModelError::NoText { kind: "dssm" })?;
    request.by_epochs(|run| dssm::fit(train, text, &config, run))
}
