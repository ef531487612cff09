//! Kinds that learn what comes next and are served as factors: FM and YoutubeDNN.

use anyhow::Result;
use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_teachers::Factors;
use rectify_teachers::towers::{self, TowersConfig};
use rectify_tensor::train::FitReport;
use serde_json::Value;

use super::teachers::open_factors;
use super::{Job, Kind, Model, config, resolve_from};
use crate::reproduce::experiment::Settings;

/// Trains on the users whose rows are samples, and saves everybody's vectors.
fn train(job: Job<'_>) -> Result<Option<FitReport>> {
    let settings: TowersConfig = config(&job)?;
    let validate = job.validate;
    let mut validate = |model: &Factors| validate(model.answers()).map_err(Into::into);
    let (data, users) = (job.train, job.beside.training_users);
    let (model, report) = towers::fit(data, users, &settings, job.fit, job.seed, &mut validate, job.observer)?;
    model.save(job.path, Overwrite::Replace)?;
    Ok(Some(report))
}

/// Settings of the model that the kind is named after; `base` gives what they start from.
fn resolve(settings: &Settings, base: &TowersConfig) -> Result<Value, String> {
    let config = resolve_from(base, settings, TowersConfig::validate)?;
    let got: TowersConfig = serde_json::from_value(config.clone()).map_err(|error| error.to_string())?;
    if got.model() == base.model() {
        Ok(config)
    } else {
        Err(format!("hidden makes a model of kind {}, not {}; name the other kind", got.model(), base.model()))
    }
}

const fn kind(name: &'static str, resolve: fn(&Settings) -> Result<Value, String>) -> Kind {
    Kind { name, by_epochs: true, needs_teacher: false, needs_text: false, resolve, train, open: open_factors }
}

pub(super) const KINDS: &[Kind] = &[
    kind("fm", |settings| resolve(settings, &TowersConfig::fm())),
    kind("youtube-dnn", |settings| resolve(settings, &TowersConfig::default())),
];
