//! Kinds whose items are codewords: LightRec, and quantisers that know a teacher's vectors alone.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_quantize::{
    CodedFactors, InvertedFactors, LightRecConfig, OpqConfig, QuantiserConfig, TeacherVectors, fit,
    optimised_product_quantiser, product_quantiser, residual_quantiser,
};
use rectify_tensor::train::FitReport;
use serde::Deserialize;

use super::{Answers, Job, Kind, Model, TeacherOf, config, read_served, resolve};
use crate::refusal;
use crate::reproduce::experiment::Settings;

impl Model for CodedFactors {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.items().size_bytes())
    }
}

impl Model for InvertedFactors {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.items().size_bytes())
    }
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(CodedFactors::open(path)?))
}

/// How else trained codes are served: in lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Served {
    /// Lists that a query visits at most.
    n_probes: usize,
}

impl Served {
    fn read(how: &Settings) -> Result<Self, String> {
        let served: Self = read_served(how)?;
        if served.n_probes == 0 { Err("n_probes is 0, expected at least 1".into()) } else { Ok(served) }
    }
}

pub(super) fn check_served(how: &Settings) -> Result<(), String> {
    Served::read(how).map(|_| ())
}

pub(super) fn open_served(path: &Path, how: &Settings) -> Result<Box<dyn Model>> {
    let Served { n_probes } = Served::read(how).map_err(refusal::input)?;
    Ok(Box::new(InvertedFactors::new(CodedFactors::open(path)?, n_probes)?))
}

/// What codes are learned from.
fn vectors(job: &Job<'_>) -> Result<TeacherVectors> {
    let teacher = TeacherOf(job.teacher.context("codes without a teacher")?.answers());
    Ok(TeacherVectors::of(&teacher, job.train.n_users())?)
}

fn light_rec(job: Job<'_>) -> Result<Option<FitReport>> {
    let config: LightRecConfig = config(&job)?;
    let teacher = vectors(&job)?;
    let validate = job.validate;
    let mut validate = |model: &CodedFactors| validate(model.answers()).map_err(Into::into);
    let (model, report) = fit(job.train, &teacher, &config, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

/// Trains and saves LightRec on a device.
#[cfg(feature = "cuda")]
pub(super) fn light_rec_on(job: Job<'_>, ops: &rectify_tensor::cuda::GpuOps) -> Result<Option<FitReport>> {
    let config: LightRecConfig = config(&job)?;
    let teacher = vectors(&job)?;
    let validate = job.validate;
    let mut validate = |model: &CodedFactors| validate(model.answers()).map_err(Into::into);
    let (train, fit, seed) = (job.train, job.fit, job.seed);
    let (model, report) =
        rectify_quantize::fit_on(ops, train, &teacher, &config, fit, seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

/// Trains and saves a quantiser of the teacher's items; its users are the teacher's.
fn quantiser(job: &Job<'_>, code: impl FnOnce(&TeacherVectors) -> Result<CodedFactors>) -> Result<Option<FitReport>> {
    code(&vectors(job)?)?.save(job.path, Overwrite::Replace)?;
    Ok(None)
}

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "light-rec",
        by_epochs: true,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, LightRecConfig::validate),
        train: light_rec,
        open,
    },
    Kind {
        name: "rvq",
        by_epochs: false,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, QuantiserConfig::validate),
        train: |job| {
            quantiser(&job, |teacher| {
                let items = residual_quantiser(teacher.items(), teacher.dim(), &config(&job)?, job.seed)?;
                Ok(CodedFactors::new(teacher.users().to_vec(), items)?)
            })
        },
        open,
    },
    Kind {
        name: "pq",
        by_epochs: false,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, QuantiserConfig::validate),
        train: |job| {
            quantiser(&job, |teacher| {
                let items = product_quantiser(teacher.items(), teacher.dim(), &config(&job)?, job.seed)?;
                Ok(CodedFactors::new(teacher.users().to_vec(), items)?)
            })
        },
        open,
    },
    Kind {
        name: "opq",
        by_epochs: false,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, OpqConfig::validate),
        train: |job| {
            quantiser(&job, |teacher| {
                let settings: OpqConfig = config(&job)?;
                let (rotation, items) =
                    optimised_product_quantiser(teacher.items(), teacher.dim(), &settings, job.seed)?;
                // Rotated users ask rotated items: the inner products are those of the teacher's space.
                let mut users = vec![0.0; teacher.users().len()];
                rotation.rotate_into(teacher.users(), &mut users)?;
                Ok(CodedFactors::new(users, items)?)
            })
        },
        open,
    },
];
