//! Networks: NeuMF's family, ConvNCF, PRM.

use rectify_core::Factors;
use rectify_teachers::conv_ncf::{self, ConvNcfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig, Pretraining};
use rectify_teachers::prm::{self, PrmConfig};
use rectify_tensor::train::FitConfig;
use rectify_tensor::{Optimizer, Sgd};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::{read, resolve, resolve_over};
use crate::train::{FitRequest, Fitted};
use crate::{BoxError, ModelError, Settings, SettingsError};

/// Settings of the member of the NeuMF family that the kind is named after; `base` gives what they start from.
fn family_settings(settings: &Settings, base: &NeuMfConfig) -> Result<Value, SettingsError> {
    let config = resolve_over(base, settings, NeuMfConfig::validate)?;
    let got: NeuMfConfig = read(config.clone())?;
    if got.model() == base.model() {
        Ok(config)
    } else {
        Err(SettingsError::OtherKind { what: "these widths make", got: got.model(), expected: base.model() })
    }
}

pub(in crate::builtin) fn gmf_settings(settings: &Settings) -> Result<Value, SettingsError> {
    family_settings(settings, &NeuMfConfig::gmf(64))
}

pub(in crate::builtin) fn mlp_settings(settings: &Settings) -> Result<Value, SettingsError> {
    family_settings(settings, &NeuMfConfig::mlp(64, &[128, 64, 32]))
}

pub(in crate::builtin) fn neu_mf_settings(settings: &Settings) -> Result<Value, SettingsError> {
    family_settings(settings, &NeuMfConfig::default())
}

pub(in crate::builtin) fn neu_mf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<NeuMfConfig>()?);
    request.by_epochs(|run| neumf::fit(train, &config, run))
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
    fn validate(&self) -> Result<(), BoxError> {
        self.model.validate()?;
        let wrong = |problem: BoxError| SettingsError::Part { part: "fine_tuning", problem };
        self.fine_tuning.validate().map_err(|error| wrong(error.into()))?;
        if self.pretraining_epochs == 0 {
            return Err("pretraining_epochs is 0, expected at least 1".into());
        }
        Ok(())
    }

    fn pretraining(&self) -> Pretraining {
        let alone = FitConfig { max_epochs: self.pretraining_epochs, patience: None, eval_every: 0, checkpoint: None };
        Pretraining { gmf: alone.clone(), mlp: alone, fine_tuning: self.fine_tuning }
    }
}

pub(in crate::builtin) fn pretrained_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, Pretrained::validate)
}

/// Trains GMF and MLP, then NeuMF from both.
pub(in crate::builtin) fn pretrained(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, recipe) = (request.train, request.config::<Pretrained>()?);
    request.by_epochs(|run| neumf::fit_pretrained(train, &recipe.model, &recipe.pretraining(), run))
}

/// The teacher of a kind that starts from vectors.
fn vectors<'a>(request: &FitRequest<'a>, kind: &'static str, why: &'static str) -> Result<&'a Factors, ModelError> {
    let teacher = request.teacher.ok_or(ModelError::NoTeacher { kind })?;
    teacher.factors().ok_or(ModelError::TeacherForm { kind, why })
}

pub(in crate::builtin) fn conv_ncf_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, ConvNcfConfig::validate)
}

/// Trains ConvNCF from the vectors of another model.
pub(in crate::builtin) fn conv_ncf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<ConvNcfConfig>()?);
    let start = vectors(&request, "conv-ncf", "starts from vectors; name a factorisation as teacher")?;
    request.by_epochs(|run| conv_ncf::fit(train, Some(start), &config, run))
}

pub(in crate::builtin) fn prm_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, PrmConfig::validate)
}

/// Trains PRM-BASE over the lists of another model, which is kept with it.
pub(in crate::builtin) fn prm(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<PrmConfig>()?);
    let first = vectors(&request, "prm-base", "orders lists of vectors; name a factorisation as teacher")?;
    request.by_epochs(|run| prm::fit(train, first, &config, run))
}

#[cfg(feature = "cuda")]
mod on_device {
    use rectify_tensor::cuda::GpuOps;

    use super::*;

    pub(in crate::builtin) fn neu_mf_on(request: FitRequest<'_>, ops: &GpuOps) -> Result<Fitted, ModelError> {
        let (train, config) = (request.train, request.config::<NeuMfConfig>()?);
        request.by_epochs(|run| neumf::fit_on(ops, train, &config, run))
    }

    pub(in crate::builtin) fn pretrained_on(request: FitRequest<'_>, ops: &GpuOps) -> Result<Fitted, ModelError> {
        let (train, recipe) = (request.train, request.config::<Pretrained>()?);
        request.by_epochs(|run| neumf::fit_pretrained_on(ops, train, &recipe.model, &recipe.pretraining(), run))
    }
}
#[cfg(feature = "cuda")]
pub(in crate::builtin) use on_device::*;
