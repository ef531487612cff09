//! Codes of users and items, by rectify-hashing's methods.

use rectify_hashing::bccf::{self, BccfConfig};
use rectify_hashing::bin_cf::{self, BinCfConfig};
use rectify_hashing::dcf::{self, DcfConfig};
use rectify_hashing::dcmf::{self, DcmfConfig, Features};
use rectify_hashing::pph::{self, PphConfig};
use rectify_hashing::signs::{self, SignConfig};
use serde_json::Value;

use crate::settings::resolve;
use crate::train::{FitRequest, Fitted};
use crate::{ModelError, Settings, SettingsError};

/// The settings of a kind.
macro_rules! settings {
    ($($name:ident: $config:ty),*) => { $(
        pub(in crate::builtin) fn $name(settings: &Settings) -> Result<Value, SettingsError> {
            resolve(settings, <$config>::validate)
        }
    )* };
}

settings!(
    bin_cf_settings: BinCfConfig,
    signs_settings: SignConfig,
    dcf_settings: DcfConfig,
    dcmf_settings: DcmfConfig,
    bccf_settings: BccfConfig,
    pph_settings: PphConfig
);

pub(in crate::builtin) fn bin_cf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<BinCfConfig>()?);
    let teacher = request.teacher("dgcn-bincf")?;
    request.by_epochs(|run| bin_cf::fit(train, &teacher, &config, run))
}

pub(in crate::builtin) fn signs(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (teacher, config) = (request.teacher("signs")?, request.config::<SignConfig>()?);
    let codes = signs::fit(&teacher, request.train.n_users(), &config, request.seed).map_err(ModelError::other)?;
    Ok(Fitted::at_once(codes))
}

pub(in crate::builtin) fn dcf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<DcfConfig>()?);
    request.by_epochs(|run| dcf::fit(train, &config, run))
}

pub(in crate::builtin) fn dcmf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<DcmfConfig>()?);
    request.by_epochs(|run| dcmf::fit(train, Features::default(), &config, run))
}

pub(in crate::builtin) fn bccf(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<BccfConfig>()?);
    request.by_epochs(|run| bccf::fit(train, &config, run))
}

pub(in crate::builtin) fn pph(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<PphConfig>()?);
    request.by_epochs(|run| pph::fit(train, &config, run))
}
