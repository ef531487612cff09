//! An experiment with its profile and data set applied: what will be run.

use std::collections::BTreeMap;

use anyhow::Result;
use rectify_core::UnknownName;
use rectify_data::{Cleaning, Protocol};
use rectify_eval::{Candidates, Metric};
use rectify_models::Settings;
use rectify_models::settings::merge;
use serde_json::Value;

use super::expected::{ClaimSpec, Published};
use super::file::{Experiment, Model, Overrides, RerankPlan, Training};
use crate::refusal;

/// An experiment with its profile and data set applied.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) paper: String,
    /// Its file, for error messages.
    pub(crate) place: String,
    pub(crate) title: String,
    pub(crate) dataset: String,
    pub(crate) seeds: u32,
    /// The data set's usual one when absent.
    pub(crate) cleaning: Option<Cleaning>,
    /// The data set's usual one when absent.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) candidates: Candidates,
    pub(crate) second_protocol: Option<Candidates>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) select_by: Metric,
    pub(crate) refit: bool,
    pub(crate) time_all_users: bool,
    pub(crate) models: Vec<PlannedModel>,
    pub(crate) published: Vec<Published>,
    pub(crate) claims: Vec<ClaimSpec>,
}

/// One model of a plan.
#[derive(Clone, Debug)]
pub(crate) struct PlannedModel {
    pub(crate) name: String,
    /// Where its table begins in the file.
    pub(crate) line: usize,
    pub(crate) kind: String,
    /// Name of an earlier model of the plan.
    pub(crate) teacher: Option<String>,
    /// A second pass over its best items, by an earlier model of the plan.
    pub(crate) rerank: Option<RerankPlan>,
    pub(crate) batch_sizes: Vec<usize>,
    pub(crate) settings: Settings,
    pub(crate) training: Training,
    /// Every combination to try, as settings to lay over `settings`; empty for no search.
    pub(crate) trials: Vec<Settings>,
    /// Other ways to serve what was trained.
    pub(crate) serve_variants: Vec<Settings>,
}

impl Experiment {
    /// Applies profile and data set; `chosen` restricts the models.
    ///
    /// # Errors
    /// A model that the experiment does not have, or claims that cannot be read.
    pub fn plan(&self, dataset: &str, profile: &str, chosen: &[String]) -> Result<Plan> {
        let names: Vec<&str> = self.models.iter().map(Model::name).collect();
        if let Some(name) = chosen.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(refusal::usage(UnknownName::new("model", name, names)));
        }
        let layers: Vec<&Overrides> =
            [self.profiles.get(profile), self.datasets.get(dataset)].into_iter().flatten().collect();
        fn last<'a, T: 'a>(own: &'a T, layers: &[&'a Overrides], of: fn(&Overrides) -> Option<&T>) -> &'a T {
            layers.iter().rev().find_map(|layer| of(layer)).unwrap_or(own)
        }
        let searches = *last(&true, &layers, |o| o.search.as_ref());
        // Whoever asks for a student gets its teacher too.
        let mut wanted: Vec<&str> = chosen.iter().map(String::as_str).collect();
        for model in self.models.iter().rev() {
            if wanted.contains(&model.name()) {
                wanted.extend(model.needs().map(|(_, name)| name));
            }
        }
        let among =
            |only: &Option<Vec<String>>, name: &str| only.as_ref().is_none_or(|all| all.iter().any(|n| n == name));
        let here = |only: &Option<Vec<String>>| among(only, dataset);
        let models = self
            .models
            .iter()
            .filter(|model| {
                (wanted.contains(&model.name()) || wanted.is_empty() && !model.opt_in)
                    && here(&model.datasets)
                    && among(&model.profiles, profile)
            })
            .map(|model| {
                let kind = self.kinds.get(&model.kind).cloned().unwrap_or_default();
                let mut settings = kind.settings;
                merge(&mut settings, &model.settings);
                let mut training = self.training.overridden_by(&kind.training).overridden_by(&model.training);
                let shared = self.kinds.get(&model.kind).and_then(|kind| kind.search.as_ref());
                let mut search = model.search.as_ref().or(shared);
                let shared = self.kinds.get(&model.kind).and_then(|kind| kind.serve_variants.as_ref());
                let mut serve_variants = model.serve_variants.as_ref().or(shared);
                for layer in &layers {
                    training = training.overridden_by(&layer.training);
                    for own in [layer.kinds.get(&model.kind), layer.models.get(model.name())].into_iter().flatten() {
                        merge(&mut settings, &own.settings);
                        training = training.overridden_by(&own.training);
                        search = own.search.as_ref().or(search);
                        serve_variants = own.serve_variants.as_ref().or(serve_variants);
                    }
                }
                PlannedModel {
                    name: model.name().to_owned(),
                    line: model.line,
                    kind: model.kind.clone(),
                    teacher: model.teacher.clone(),
                    rerank: model.rerank.clone(),
                    batch_sizes: model.batch_sizes.clone(),
                    settings,
                    training,
                    trials: search.filter(|_| searches).map(grid).unwrap_or_default(),
                    serve_variants: serve_variants.cloned().unwrap_or_default(),
                }
            })
            .collect();
        Ok(Plan {
            paper: self.paper.clone(),
            place: self.place.clone(),
            title: self.title.clone(),
            dataset: dataset.to_owned(),
            seeds: *last(&self.seeds, &layers, |o| o.seeds.as_ref()),
            cleaning: layers.iter().rev().find_map(|l| l.cleaning.as_ref()).or(self.cleaning.as_ref()).cloned(),
            protocol: layers.iter().rev().find_map(|l| l.protocol.as_ref()).or(self.protocol.as_ref()).cloned(),
            candidates: *last(&self.candidates, &layers, |o| o.candidates.as_ref()),
            second_protocol: self.second_protocol,
            metrics: last(&self.metrics, &layers, |o| o.metrics.as_ref()).clone(),
            select_by: *last(&self.select_by, &layers, |o| o.select_by.as_ref()),
            refit: *last(&self.refit, &layers, |o| o.refit.as_ref()),
            time_all_users: self.time_all_users,
            models,
            published: self.published_for(dataset),
            claims: self.claims_for(dataset).map_err(refusal::input)?,
        })
    }
}

/// `a.b = v` as the table `a` with `b = v`.
pub(super) fn nested(path: &str, value: Value) -> Settings {
    let (key, value) = match path.split_once('.') {
        Some((outer, inner)) => (outer, Value::Object(nested(inner, value))),
        None => (path, value),
    };
    Settings::from_iter([(key.to_owned(), value)])
}

/// Every combination of the values, the last setting varying fastest.
fn grid(search: &BTreeMap<String, Vec<Value>>) -> Vec<Settings> {
    let mut all = vec![Settings::new()];
    for (path, values) in search {
        all = all
            .iter()
            .flat_map(|base| {
                values.iter().map(|value| {
                    let mut settings = base.clone();
                    merge(&mut settings, &nested(path, value.clone()));
                    settings
                })
            })
            .collect();
    }
    if search.is_empty() { Vec::new() } else { all }
}
