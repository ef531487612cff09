//! LightRec, and quantisers of a teacher's vectors.

use rectify_core::rng::Seed;
use rectify_core::{Provenance, UserVectors};
use rectify_quantize::light_rec::{self, LightRecConfig};
use rectify_quantize::{
    CodeIndex, CodedFactors, FitError, OpqConfig, QuantiserConfig, TeacherVectors, opq as opq_method, pq as pq_method,
    rvq as rvq_method,
};
use serde_json::Value;

use crate::settings::{resolve, resolve_over};
use crate::train::{FitRequest, Fitted};
use crate::{ModelError, Settings, SettingsError};

/// What codes are learned from.
fn vectors(request: &FitRequest<'_>, kind: &'static str) -> Result<TeacherVectors, ModelError> {
    TeacherVectors::of(&request.teacher(kind)?, request.train.n_users()).map_err(ModelError::other)
}

/// Over the paper's settings, whatever the crate's defaults are.
pub(in crate::builtin) fn light_rec_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve_over(&LightRecConfig::paper(), settings, LightRecConfig::validate)
}

pub(in crate::builtin) fn light_rec(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<LightRecConfig>()?);
    let teacher = vectors(&request, "light-rec")?;
    request.by_epochs::<CodedFactors, _>(|run| light_rec::fit(train, &teacher, &config, run))
}

#[cfg(feature = "cuda")]
pub(in crate::builtin) fn light_rec_on(
    request: FitRequest<'_>,
    ops: &rectify_tensor::cuda::GpuOps,
) -> Result<Fitted, ModelError> {
    let (train, config) = (request.train, request.config::<LightRecConfig>()?);
    let teacher = vectors(&request, "light-rec")?;
    request.by_epochs::<CodedFactors, _>(|run| light_rec::fit_on(ops, train, &teacher, &config, run))
}

pub(in crate::builtin) fn quantiser_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, QuantiserConfig::validate)
}

pub(in crate::builtin) fn opq_settings(settings: &Settings) -> Result<Value, SettingsError> {
    resolve(settings, OpqConfig::validate)
}

/// Codes of a teacher's items; its users, as they are, ask them.
fn quantised(
    request: &FitRequest<'_>,
    kind: &'static str,
    code: fn(&[f32], usize, &QuantiserConfig, Seed) -> Result<CodeIndex, FitError>,
) -> Result<Fitted, ModelError> {
    let (teacher, config) = (vectors(request, kind)?, request.config::<QuantiserConfig>()?);
    let items = code(teacher.items(), teacher.dim(), &config, request.seed).map_err(ModelError::other)?;
    let users = UserVectors::new(teacher.users().to_vec(), teacher.dim())?;
    Ok(Fitted::at_once(CodedFactors::new(users, items, Provenance::new(kind, &config))?))
}

pub(in crate::builtin) fn rvq(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    quantised(&request, "rvq", rvq_method::fit)
}

pub(in crate::builtin) fn pq(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    quantised(&request, "pq", pq_method::fit)
}

pub(in crate::builtin) fn opq(request: FitRequest<'_>) -> Result<Fitted, ModelError> {
    let (teacher, config) = (vectors(&request, "opq")?, request.config::<OpqConfig>()?);
    let fitted = opq_method::fit(teacher.items(), teacher.dim(), &config, request.seed);
    let (rotation, items) = fitted.map_err(ModelError::other)?;
    // Rotated users ask rotated items: the inner products are those of the teacher's space.
    let mut users = vec![0.0; teacher.users().len()];
    rotation.rotate_into(teacher.users(), &mut users).map_err(ModelError::other)?;
    let users = UserVectors::new(users, teacher.dim())?;
    Ok(Fitted::at_once(CodedFactors::new(users, items, Provenance::new("opq", &config))?))
}
