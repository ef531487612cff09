//! Kinds that train on a GPU, too.

use anyhow::Result;
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_teachers::neumf::{self, NeuMf, NeuMfConfig};
use rectify_teachers::{Factors, gcn_cf as gcn, mf};
use rectify_tensor::cuda::GpuOps;
use rectify_tensor::train::FitReport;

use super::{Job, Kind, Model, config};

/// A training on a device.
pub(crate) type Train = fn(Job<'_>, &GpuOps) -> Result<Option<FitReport>>;

const TRAINERS: &[(&str, Train)] = &[
    ("mf-bpr", mf_bpr),
    ("gmf", neu_mf),
    ("mlp", neu_mf),
    ("neu-mf", neu_mf),
    ("gcn-cf", gcn_cf),
    ("light-rec", super::codes::light_rec_on),
];

/// Names of the kinds.
pub(crate) fn names() -> Vec<&'static str> {
    TRAINERS.iter().map(|(name, _)| *name).collect()
}

/// How a kind trains on a device, if it can.
pub(crate) fn find(kind: &Kind) -> Option<Train> {
    TRAINERS.iter().find(|(name, _)| *name == kind.name).map(|(_, train)| *train)
}

fn mf_bpr(job: Job<'_>, ops: &GpuOps) -> Result<Option<FitReport>> {
    let config: mf::MfConfig = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
    let (model, report) = mf::fit_on(ops, job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

fn neu_mf(job: Job<'_>, ops: &GpuOps) -> Result<Option<FitReport>> {
    let config: NeuMfConfig = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &NeuMf| validate(model.answers()).map_err(Into::into);
    let (model, report) = neumf::fit_on(ops, job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

fn gcn_cf(job: Job<'_>, ops: &GpuOps) -> Result<Option<FitReport>> {
    let config: gcn::GcnCfConfig = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
    let (model, report) = gcn::fit_on(ops, job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}
