//! Kinds whose users and items are bits: those of `rectify-hashing`.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_data::Interactions;
use rectify_hashing::bccf::{self, BccfConfig};
use rectify_hashing::bin_cf::{self, BinCfConfig};
use rectify_hashing::discrete::{self, DcfConfig, DcmfConfig, Features};
use rectify_hashing::pph::{self, PphConfig};
use rectify_hashing::signs::{self, SignConfig};
use rectify_hashing::{BinaryFactors, FitError, Validate};
use rectify_tensor::train::{FitConfig, FitReport, Observer};
use serde::de::DeserializeOwned;

use super::{Answers, Job, Kind, Model, TeacherOf, config, resolve};

impl Model for BinaryFactors {
    fn answers(&self) -> Answers<'_> {
        // Bits are no vectors to imitate.
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.index().size_bytes())
    }
}

/// Trains by `fit` and saves.
fn learn<C: DeserializeOwned>(
    job: Job<'_>,
    fit: impl FnOnce(
        &Interactions,
        &C,
        &FitConfig,
        Seed,
        Validate<'_>,
        &mut dyn Observer,
    ) -> Result<(BinaryFactors, FitReport), FitError>,
) -> Result<Option<FitReport>> {
    let config: C = config(&job)?;
    let validate = job.validate;
    let mut validate = |codes: &BinaryFactors| validate(codes.answers()).map_err(Into::into);
    let (codes, report) = fit(job.train, &config, job.fit, job.seed, &mut validate, job.observer)?;
    codes.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

/// The teacher of a job of a kind that needs one.
fn teacher<'a>(job: &Job<'a>) -> Result<TeacherOf<'a>> {
    Ok(TeacherOf(job.teacher.context("codes without a teacher")?.answers()))
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(BinaryFactors::open(path)?))
}

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "dgcn-bincf",
        by_epochs: true,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, BinCfConfig::validate),
        train: |job| {
            let teacher = teacher(&job)?;
            learn(job, |train, config, run, seed, validate, observer| {
                bin_cf::fit(train, &teacher, config, run, seed, validate, observer)
            })
        },
        open,
    },
    Kind {
        name: "signs",
        by_epochs: false,
        needs_teacher: true,
        needs_text: false,
        resolve: |settings| resolve(settings, SignConfig::validate),
        train: |job| {
            let (teacher, settings): (_, SignConfig) = (teacher(&job)?, config(&job)?);
            let codes = signs::fit(&teacher, job.train.n_users(), &settings, job.seed)?;
            codes.save(job.path, Overwrite::Replace)?;
            Ok(None)
        },
        open,
    },
    Kind {
        name: "dcf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, DcfConfig::validate),
        train: |job| learn(job, discrete::dcf),
        open,
    },
    Kind {
        name: "dcmf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, DcmfConfig::validate),
        train: |job| {
            learn(job, |train, config, run, seed, validate, observer| {
                discrete::dcmf(train, Features::default(), config, run, seed, validate, observer)
            })
        },
        open,
    },
    Kind {
        name: "bccf",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, BccfConfig::validate),
        train: |job| learn(job, bccf::fit),
        open,
    },
    Kind {
        name: "pph",
        by_epochs: true,
        needs_teacher: false,
        needs_text: false,
        resolve: |settings| resolve(settings, PphConfig::validate),
        train: |job| learn(job, pph::fit),
        open,
    },
];
