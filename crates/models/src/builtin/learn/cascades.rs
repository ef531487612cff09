//! HDN, its ablations, and the MF student.

use rectify_cascade::hdn::{self, HdnConfig};
use rectify_cascade::{CascadeError, CascadeIndex, Rejection, RejectionRatios};
use rectify_core::{Scorer, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(in crate::builtin) use super::no_settings;
use crate::settings::resolve_over;
use crate::train::{FitRequest, Fitted};
use crate::{AsTeacher, ModelError, Settings, SettingsError};

/// Settings over those that a kind is named after.
macro_rules! settings {
    ($($name:ident over $base:expr),*) => { $(
        pub(in crate::builtin) fn $name(settings: &Settings) -> Result<Value, SettingsError> {
            resolve_over(&$base, settings, HdnConfig::validate)
        }
    )* };
}

settings!(
    hdn_settings over HdnConfig::default(),
    nd_settings over HdnConfig::default().nd(),
    nr_minus_settings over HdnConfig::default().nr_minus(),
    nr_nd_settings over HdnConfig::default().nr_nd(),
    mf_student_settings over HdnConfig::mf_student()
);

/// Trains; whatever teacher there is, is asked.
pub(in crate::builtin) fn fit(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<HdnConfig>()?);
    let teacher = request.teacher.map(|teacher| AsTeacher(teacher.answers()));
    let teacher = teacher.as_ref().map(|teacher| teacher as &dyn Scorer<Query = UserId>);
    request.by_epochs::<CascadeIndex, _>(|run| hdn::fit(train, teacher, &config, run))
}

/// Trains on a device.
#[cfg(feature = "cuda")]
pub(in crate::builtin) fn fit_on(
    request: FitRequest<'_>,
    ops: &rectify_tensor::cuda::GpuOps,
) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<HdnConfig>()?);
    let teacher = request.teacher.map(|teacher| AsTeacher(teacher.answers()));
    let teacher = teacher.as_ref().map(|teacher| teacher as &dyn Scorer<Query = UserId>);
    request.by_epochs::<CascadeIndex, _>(|run| hdn::fit_on(ops, train, teacher, &config, run))
}

/// The cascade of another model, which rejects nothing; nothing is learned.
pub(in crate::builtin) fn without_rejection(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let cascade = trained(&request, "hdn-nr")?.with_rejection(Rejection::Never).map_err(ModelError::other)?;
    Ok(Fitted::at_once(cascade))
}

/// Settings of [`calibrated`].
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Calibration {
    rejection_ratios: Vec<f64>,
}

impl Calibration {
    fn ratios(&self) -> Result<RejectionRatios, CascadeError> {
        RejectionRatios::new(&self.rejection_ratios)
    }
}

pub(in crate::builtin) fn calibration_settings(settings: &Settings) -> Result<Value, SettingsError> {
    let defaults = Calibration { rejection_ratios: HdnConfig::default().rejection_ratios };
    resolve_over(&defaults, settings, |config: &Calibration| config.ratios().map(drop))
}

/// Pairs of users and items that thresholds are set by: 128 MiB of values.
const CALIBRATION_PAIRS: usize = 1 << 25;

/// The cascade of another model, with thresholds at which it rejects just what is asked; nothing is learned.
pub(in crate::builtin) fn calibrated(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let ratios = request.config::<Calibration>()?.ratios().map_err(ModelError::other)?;
    let train = request.train;
    let pairs = train.n_users() * train.n_items();
    let users: Vec<UserId> =
        (0..train.n_users() as u32).step_by(pairs.div_ceil(CALIBRATION_PAIRS).max(1)).map(UserId).collect();
    let cascade = trained(&request, "hdn-calibrated")?.calibrated(&ratios, &users).map_err(ModelError::other)?;
    Ok(Fitted::at_once(cascade))
}

/// The cascade that a kind takes from its teacher.
fn trained(request: &FitRequest<'_>, kind: &'static str) -> Result<CascadeIndex, ModelError> {
    let teacher = request.teacher.ok_or(ModelError::NoTeacher { kind })?;
    let why = "takes its modules from an HDN; name one as teacher";
    Ok(teacher.cascade().ok_or(ModelError::TeacherForm { kind, why })?.clone())
}
