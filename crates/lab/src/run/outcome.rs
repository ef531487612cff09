//! What the seeds of a model gave: values for the record.

use std::collections::BTreeMap;

use anyhow::Result;
use rectify_core::rng::Seed;
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Evaluation};
use rectify_models::train::{Choice, TestValues};

use crate::experiment::Plan;
use crate::record::{Record, at_epoch, tidy};

/// One model over all seeds.
#[derive(Default)]
pub(super) struct Outcome {
    /// What the search chose with the first seed.
    pub(super) chosen: Option<Choice>,
    pub(super) tested: Tested,
    /// The same among the plan's other candidates.
    pub(super) also: Tested,
    pub(super) train_seconds: Vec<f64>,
    /// Test values along the way, of each seed.
    pub(super) tests: Vec<BTreeMap<u32, TestValues>>,
}

/// What was found of a model among some candidates, an evaluation a seed.
#[derive(Default)]
pub(super) struct Tested {
    pub(super) evaluations: Vec<Evaluation>,
    /// The same model served in other ways, by variant.
    pub(super) variants: Vec<(String, Vec<Evaluation>)>,
}

impl Tested {
    /// Adds one seed of a variant.
    pub(super) fn add_variant(&mut self, variant: &str, evaluation: Evaluation) {
        match self.variants.iter_mut().find(|(known, _)| known == variant) {
            Some((_, evaluations)) => evaluations.push(evaluation),
            None => self.variants.push((variant.to_owned(), vec![evaluation])),
        }
    }

    /// The evaluations of each variant, those of the plain model first, under no name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &[Evaluation])> {
        let variants = self.variants.iter().map(|(variant, evaluations)| (variant.as_str(), &evaluations[..]));
        std::iter::once(("", &self.evaluations[..])).chain(variants)
    }
}

/// What the records of one plan among some candidates have in common.
pub(super) struct Recording<'a> {
    pub(super) plan: &'a Plan,
    pub(super) candidates: Candidates,
    /// In words.
    pub(super) protocol: &'a str,
    pub(super) first_seed: u64,
    pub(super) device: &'a str,
    pub(super) commit: &'a str,
}

impl Recording<'_> {
    /// What was found among these candidates.
    pub(super) fn tested<'o>(&self, outcome: &'o Outcome) -> &'o Tested {
        if self.candidates == self.plan.candidates { &outcome.tested } else { &outcome.also }
    }

    /// Mean over the seeds of every metric, with its interval, and of the epochs that were tested.
    pub(super) fn records(&self, model: &str, outcome: &Outcome) -> Result<Vec<Record>> {
        let plan = self.plan;
        let bootstrap = Bootstrap { seed: Seed(self.first_seed), ..Bootstrap::default() };
        let record = |variant: &str, metric: String, value: f64, ci95: Option<[f64; 2]>| {
            self.record(model, variant, metric, value, ci95, mean(&outcome.train_seconds))
        };
        let mut records = Vec::new();
        for (variant, evaluations) in self.tested(outcome).all() {
            for summary in Evaluation::pooled(evaluations)?.summaries(&bootstrap)? {
                let values: Vec<f64> = evaluations.iter().filter_map(|e| e.value(summary.metric)).collect();
                let interval = summary.interval.map(|i| [tidy(i.low), tidy(i.high)]);
                records.push(record(variant, summary.metric.to_string(), mean(&values), interval));
            }
        }
        if self.candidates != plan.candidates {
            return Ok(records);
        }
        // An epoch that one of the seeds did not reach has no mean.
        let Some((first, others)) = outcome.tests.split_first() else { return Ok(records) };
        for (epoch, values) in first.iter().filter(|(epoch, _)| others.iter().all(|tests| tests.contains_key(epoch))) {
            for metric in &plan.metrics {
                let name = metric.to_string();
                if values.contains_key(&name) {
                    let of_seeds: Vec<f64> =
                        outcome.tests.iter().filter_map(|t| t[epoch].get(&name).copied()).collect();
                    records.push(record(&at_epoch(*epoch), name, mean(&of_seeds), None));
                }
            }
        }
        Ok(records)
    }

    fn record(
        &self,
        model: &str,
        variant: &str,
        metric: String,
        value: f64,
        ci95: Option<[f64; 2]>,
        train_seconds: f64,
    ) -> Record {
        let plan = self.plan;
        let of = plan.published.iter().find(|p| {
            let here = p.among.unwrap_or(plan.candidates) == self.candidates;
            here && p.model == model && p.variant == variant && p.values.contains_key(&metric)
        });
        Record {
            paper: plan.paper.clone(),
            table: of.map(|p| p.table.clone()),
            dataset: plan.dataset.clone(),
            protocol: self.protocol.to_owned(),
            model: model.to_owned(),
            variant: variant.to_owned(),
            value: tidy(value),
            ci95,
            paper_value: of.and_then(|p| p.values.get(&metric).copied()),
            metric,
            seeds: plan.seeds,
            train_seconds: tidy(train_seconds),
            device: self.device.to_owned(),
            commit: self.commit.to_owned(),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
