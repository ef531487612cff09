//! Teachers in closed form, by counts, and as factors.

use rectify_core::Factors;
use rectify_teachers::ease::EaseConfig;
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::ials::{self, IalsConfig};
use rectify_teachers::item_cf::ItemCfConfig;
use rectify_teachers::light_gcn::{self, LightGcnConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::spectral_cf::{self, SpectralCfConfig};
use rectify_teachers::{ease as ease_model, item_cf as item_cf_model, pop_rank as pop_rank_model};
use serde_json::Value;

pub(in crate::builtin) use super::no_settings;
use crate::settings::resolve;
use crate::train::{FitRequest, Fitted};
use crate::{ModelError, Settings, SettingsError};

/// Settings and training of a kind that is served as factors.
macro_rules! factors {
    ($settings:ident, $fit:ident, $config:ty, $method:path) => {
        pub(in crate::builtin) fn $settings(settings: &Settings) -> Result<Value, SettingsError> {
            resolve(settings, <$config>::validate)
        }

        pub(in crate::builtin) fn $fit(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
            let (train, config) = (request.train, request.config::<$config>()?);
            request.by_epochs::<Factors, _>(|run| $method(train, &config, run))
        }
    };
}

factors!(ials_settings, ials, IalsConfig, ials::fit);
factors!(light_gcn_settings, light_gcn, LightGcnConfig, light_gcn::fit);
factors!(gcn_cf_settings, gcn_cf, GcnCfConfig, gcn_cf::fit);
factors!(spectral_cf_settings, spectral_cf, SpectralCfConfig, spectral_cf::fit);

pub(in crate::builtin) fn pop_rank(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    Ok(Fitted::at_once(pop_rank_model::fit(request.train).map_err(ModelError::other)?))
}

pub(in crate::builtin) fn item_cf_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, ItemCfConfig::validate)
}

pub(in crate::builtin) fn item_cf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let model = item_cf_model::fit(request.train, &request.config()?).map_err(ModelError::other)?;
    Ok(Fitted::at_once(model))
}

pub(in crate::builtin) fn ease_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, EaseConfig::validate)
}

pub(in crate::builtin) fn ease(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let model = ease_model::fit(request.train, &request.config()?).map_err(ModelError::other)?;
    Ok(Fitted::at_once(model))
}

/// Settings of matrix factorisation with the loss that the kind is named after.
fn mf_settings(settings: &Settings, loss: &'static str) -> Result<Value, SettingsError> {
    let mut settings = settings.clone();
    match settings.insert("loss".into(), loss.into()) {
        Some(got) if got != loss => Err(SettingsError::OtherLoss { got, expected: loss }),
        _ => resolve(&settings, MfConfig::validate),
    }
}

pub(in crate::builtin) fn mf_bpr_settings(settings: &Settings) -> Result<Value, SettingsError> {
    mf_settings(settings, "bpr")
}

pub(in crate::builtin) fn mf_bce_settings(settings: &Settings) -> Result<Value, SettingsError> {
    mf_settings(settings, "bce")
}

pub(in crate::builtin) fn mf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<MfConfig>()?);
    request.by_epochs(|run| mf::fit(train, &config, run))
}

#[cfg(feature = "cuda")]
mod on_device {
    use rectify_tensor::cuda::GpuOps;

    use super::*;

    pub(in crate::builtin) fn mf_on(request: FitRequest<'_>, ops: &GpuOps) -> Result<Fitted, ModelError> {
        let (train, config) = (request.train, request.config::<MfConfig>()?);
        request.by_epochs(|run| mf::fit_on(ops, train, &config, run))
    }

    pub(in crate::builtin) fn gcn_cf_on(request: FitRequest<'_>, ops: &GpuOps) -> Result<Fitted, ModelError> {
        let (train, config) = (request.train, request.config::<GcnCfConfig>()?);
        request.by_epochs(|run| gcn_cf::fit_on(ops, train, &config, run))
    }
}
#[cfg(feature = "cuda")]
pub(in crate::builtin) use on_device::*;
