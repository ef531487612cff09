//! Kinds whose users and items are bits.

use std::path::Path;

use anyhow::Result;
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_hashing::BinaryFactors;
use rectify_hashing::discrete::{DcmfConfig, Features, dcmf};

use super::{Answers, Kind, Model, config, resolve};

impl Model for BinaryFactors {
    fn answers(&self) -> Answers<'_> {
        Answers { scorer: self, retriever: Some(self), hidden: None }
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.index().size_bytes())
    }
}

fn open(path: &Path) -> Result<Box<dyn Model>> {
    Ok(Box::new(BinaryFactors::open(path)?))
}

pub(super) const KINDS: &[Kind] = &[Kind {
    name: "dcmf",
    by_epochs: true,
    needs_teacher: false,
    needs_text: false,
    resolve: |settings| resolve(settings, DcmfConfig::validate),
    train: |job| {
        let settings: DcmfConfig = config(&job)?;
        let validate = job.validate;
        let mut validate = |model: &BinaryFactors| validate(model.answers()).map_err(Into::into);
        let (train, fit, seed) = (job.train, job.fit, job.seed);
        let (model, report) = dcmf(train, Features::default(), &settings, fit, seed, &mut validate, job.observer)?;
        model.save(job.path, Overwrite::Replace)?;
        Ok(Some(report))
    },
    open,
}];
