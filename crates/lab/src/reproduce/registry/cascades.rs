//! Kinds that reject early: HDN, its ablations, and the MF student.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_cascade::{CascadeError, CascadeIndex, FitError, HdnConfig, Rejection, RejectionRatios, Validate, fit};
use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{Index, Scorer, UserId};
use rectify_data::Interactions;
use rectify_tensor::train::{FitConfig, FitReport, Observer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answers, Job, Kind, Model, NoSettings, TeacherOf, config, resolve, resolve_from};
use crate::refusal;
use crate::reproduce::experiment::Settings;

impl Model for CascadeIndex {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn n_params(&self) -> Option<usize> {
        let parts = self.parts();
        let modules = parts.modules.iter().map(|module| module.decision.len() + module.weight.len()).sum::<usize>();
        Some(parts.users.len() + parts.items.len() + modules + parts.score.len())
    }

    fn cascade(&self) -> Option<&CascadeIndex> {
        Some(self)
    }
}

/// Settings over those that the kind is named after.
fn settings_of(settings: &Settings, base: &HdnConfig) -> Result<Value, String> {
    resolve_from(base, settings, HdnConfig::validate)
}

/// Trains by any of the ways to, and saves; whatever teacher the job has is asked.
fn train_by(
    job: Job<'_>,
    fit: impl FnOnce(
        &Interactions,
        Option<&dyn Scorer<Query = UserId>>,
        &HdnConfig,
        &FitConfig,
        Seed,
        Validate<'_>,
        &mut dyn Observer,
    ) -> Result<(CascadeIndex, FitReport), FitError>,
) -> Result<Option<FitReport>> {
    let config: HdnConfig = config(&job)?;
    let teacher = job.teacher.map(|teacher| TeacherOf(teacher.answers()));
    let teacher = teacher.as_ref().map(|teacher| teacher as &dyn Scorer<Query = UserId>);
    let validate = job.validate;
    let mut validate = |index: &CascadeIndex| validate(index.answers()).map_err(Into::into);
    let (index, report) = fit(job.train, teacher, &config, job.fit, job.seed, &mut validate, job.observer)?;
    index.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

fn train(job: Job<'_>) -> Result<Option<FitReport>> {
    train_by(job, fit)
}

/// Trains and saves on a device.
#[cfg(feature = "cuda")]
pub(super) fn train_on(job: Job<'_>, ops: &rectify_tensor::cuda::GpuOps) -> Result<Option<FitReport>> {
    train_by(job, |train, teacher, config, run, seed, validate, observer| {
        rectify_cascade::fit_on(ops, train, teacher, config, run, seed, validate, observer)
    })
}

/// The cascade of another model, which rejects nothing; nothing is learned.
pub(super) fn without_rejection(job: &Job<'_>) -> Result<Option<FitReport>> {
    trained(job)?.with_rejection(Rejection::Never)?.save(job.path, Overwrite::Replace)?;
    Ok(None)
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

/// Pairs of users and items that thresholds are set by: 128 MiB of values.
const CALIBRATION_PAIRS: usize = 1 << 25;

/// The cascade of another model, with thresholds at which it rejects just what is asked; nothing is learned.
pub(super) fn calibrated(job: &Job<'_>) -> Result<Option<FitReport>> {
    let ratios = config::<Calibration>(job)?.ratios()?;
    let pairs = job.train.n_users() * job.train.n_items();
    let users: Vec<UserId> =
        (0..job.train.n_users() as u32).step_by(pairs.div_ceil(CALIBRATION_PAIRS).max(1)).map(UserId).collect();
    trained(job)?.calibrated(&ratios, &users)?.save(job.path, Overwrite::Replace)?;
    Ok(None)
}

/// The cascade that a kind takes from its teacher.
fn trained(job: &Job<'_>) -> Result<CascadeIndex> {
    let cascade = job.teacher.context("a cascade without another")?.cascade();
    let none = || refusal::input("this kind takes its modules from an HDN; name one as teacher");
    Ok(cascade.ok_or_else(none)?.clone())
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(CascadeIndex::open(path)?))
}

const fn kind(name: &'static str, needs_teacher: bool, resolve: fn(&Settings) -> Result<Value, String>) -> Kind {
    Kind { name, by_epochs: true, needs_teacher, needs_text: false, resolve, train, open }
}

pub(super) const KINDS: &[Kind] = &[
    kind("hdn", true, |settings| settings_of(settings, &HdnConfig::default())),
    kind("hdn-nd", false, |settings| settings_of(settings, &HdnConfig::default().nd())),
    Kind {
        name: "hdn-nr",
        by_epochs: false,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve::<NoSettings, String>(settings, |_| Ok(())),
        train: |job| without_rejection(&job),
        open,
    },
    Kind {
        name: "hdn-calibrated",
        by_epochs: false,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| {
            let defaults = Calibration { rejection_ratios: HdnConfig::default().rejection_ratios };
            resolve_from(&defaults, settings, |config| config.ratios().map(drop))
        },
        train: |job| calibrated(&job),
        open,
    },
    kind("hdn-nr-minus", true, |settings| settings_of(settings, &HdnConfig::default().nr_minus())),
    kind("hdn-nr-nd", false, |settings| settings_of(settings, &HdnConfig::default().nr_nd())),
    kind("mf-student", true, |settings| settings_of(settings, &HdnConfig::mf_student())),
];
