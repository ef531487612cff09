//! What the seeds of a model gave: values for the record, and times.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, ItemFilter, Retriever, TopK, UserId};
use rectify_data::Interactions;
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Cut, Evaluation};
use serde_json::Value;

use super::cache::TestValues;
use super::plan::{Plan, PlannedModel};
use super::registry::Answers;
use super::runner::Context;
use crate::measure::{Stopwatch, quantile};
use crate::record::{Record, Trial, at_epoch, tidy};

/// Users whose top lists are timed.
const TIMED_USERS: usize = 101;
/// Users whose lists are compared with their teacher's: enough for two digits, few enough for slow teachers.
const COMPARED_USERS: usize = 1000;

/// One model over all seeds.
#[derive(Default)]
pub(crate) struct Outcome {
    /// What the search chose with the first seed.
    pub(crate) chosen: Option<(Value, Vec<Trial>)>,
    pub(crate) tested: Tested,
    /// The same among the plan's other candidates.
    pub(crate) also: Tested,
    pub(crate) train_seconds: Vec<f64>,
    /// Test values along the way, of each seed.
    pub(crate) tests: Vec<BTreeMap<u32, TestValues>>,
}

/// What was found of a model among some candidates, an evaluation a seed.
#[derive(Default)]
pub(crate) struct Tested {
    pub(crate) evaluations: Vec<Evaluation>,
    /// The same model served in other ways, by variant.
    pub(crate) variants: Vec<(String, Vec<Evaluation>)>,
}

impl Tested {
    /// Adds one seed of a variant.
    pub(crate) fn add_variant(&mut self, variant: &str, evaluation: Evaluation) {
        match self.variants.iter_mut().find(|(known, _)| known == variant) {
            Some((_, evaluations)) => evaluations.push(evaluation),
            None => self.variants.push((variant.to_owned(), vec![evaluation])),
        }
    }

    /// The evaluations of each variant, those of the plain model first, under no name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[Evaluation])> {
        let variants = self.variants.iter().map(|(variant, evaluations)| (variant.as_str(), &evaluations[..]));
        std::iter::once(("", &self.evaluations[..])).chain(variants)
    }
}

/// Mean over the seeds of every metric among `candidates`, with its interval, and of the epochs that were tested.
pub(crate) fn records(
    plan: &Plan,
    model: &PlannedModel,
    outcome: &Outcome,
    candidates: Candidates,
    protocol_text: &str,
    context: &Context<'_>,
) -> Result<Vec<Record>> {
    let first = candidates == plan.candidates;
    let tested = if first { &outcome.tested } else { &outcome.also };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let record = |variant: &str, metric: String, value: f64, ci95: Option<[f64; 2]>| {
        let of = plan.published.iter().find(|p| {
            let here = p.among.unwrap_or(plan.candidates) == candidates;
            here && p.model == model.name && p.variant == variant && p.values.contains_key(&metric)
        });
        Record {
            paper: plan.paper.clone(),
            table: of.map(|p| p.table.clone()),
            dataset: plan.dataset.clone(),
            protocol: protocol_text.to_owned(),
            model: model.name.clone(),
            variant: variant.to_owned(),
            value: tidy(value),
            ci95,
            paper_value: of.and_then(|p| p.values.get(&metric).copied()),
            metric,
            seeds: plan.seeds,
            train_seconds: tidy(mean(&outcome.train_seconds)),
            device: context.trainer.name().to_owned(),
            commit: context.commit.to_owned(),
        }
    };
    let bootstrap = Bootstrap { seed: Seed(context.first_seed), ..Bootstrap::default() };
    let mut records = Vec::new();
    for (variant, evaluations) in tested.all() {
        for summary in Evaluation::pooled(evaluations)?.summaries(&bootstrap)? {
            let values: Vec<f64> = evaluations.iter().filter_map(|e| e.value(summary.metric)).collect();
            let interval = summary.interval.map(|i| [tidy(i.low), tidy(i.high)]);
            records.push(record(variant, summary.metric.to_string(), mean(&values), interval));
        }
    }
    if !first {
        return Ok(records);
    }
    // An epoch that one of the seeds did not reach has no mean.
    let Some((first, others)) = outcome.tests.split_first() else { return Ok(records) };
    for (epoch, values) in first.iter().filter(|(epoch, _)| others.iter().all(|tests| tests.contains_key(epoch))) {
        for metric in &plan.metrics {
            let name = metric.to_string();
            if values.contains_key(&name) {
                let of_seeds: Vec<f64> = outcome.tests.iter().filter_map(|t| t[epoch].get(&name).copied()).collect();
                records.push(record(&at_epoch(*epoch), name, mean(&of_seeds), None));
            }
        }
    }
    Ok(records)
}

/// The longest cut-off of a plan, within the catalogue.
pub(crate) fn longest(plan: &Plan, n_items: usize) -> usize {
    let cuts = plan.metrics.iter().filter_map(|metric| match metric.cut() {
        Cut::At(k) => Some(k),
        Cut::Truth | Cut::All => None,
    });
    cuts.max().unwrap_or(100).min(n_items)
}

/// Users that are listed for in one call.
const BATCH: usize = 256;

/// Does `work` with the model's fastest way to lists.
fn with_lists<T>(model: Answers<'_>, work: impl FnOnce(&dyn Retriever<Query = UserId>) -> Result<T>) -> Result<T> {
    match model.retriever {
        Some(retriever) => work(retriever),
        None => work(&Exhaustive::new(model.scorer)),
    }
}

/// What lists cost, each as long as the longest cut-off.
pub(crate) struct ListCost {
    /// Median wall time of one user's list, on this thread.
    pub(crate) query_us: f64,
    /// Processor time of the lists of all users, where the plan asks for it.
    pub(crate) all_users_seconds: Option<f64>,
}

impl ListCost {
    /// Measures a model.
    pub(crate) fn of_model(model: Answers<'_>, plan: &Plan, train: &Interactions) -> Result<Self> {
        with_lists(model, |lists| Self::of(lists, plan, train))
    }

    /// Measures a way to lists.
    pub(crate) fn of(lists: &dyn Retriever<Query = UserId>, plan: &Plan, train: &Interactions) -> Result<Self> {
        let k = longest(plan, train.n_items());
        let all_users_seconds = if plan.time_all_users { all_users_seconds(lists, k, train)?.map(tidy) } else { None };
        Ok(Self { query_us: tidy(query_us(lists, k, train)?), all_users_seconds })
    }
}

fn all_users_seconds(lists: &dyn Retriever<Query = UserId>, k: usize, train: &Interactions) -> Result<Option<f64>> {
    let users: Vec<UserId> = train.users().collect();
    let watch = Stopwatch::of_process();
    let mut tops = vec![TopK::new(); BATCH];
    for users in users.chunks(BATCH) {
        let filters: Vec<_> = users.iter().map(|u| ItemFilter::seen(train.items_of(*u))).collect::<Result<_, _>>()?;
        let queries: Vec<&UserId> = users.iter().collect();
        lists.top_k_batch(&queries, k, &filters, &mut tops[..users.len()])?;
    }
    Ok(watch.cpu_seconds())
}

/// At most so many users, spread over all.
fn spread(train: &Interactions, most: usize) -> impl Iterator<Item = UserId> {
    let step = (train.n_users() / most).max(1);
    (0..train.n_users()).step_by(step).map(|u| UserId(u as u32)).take(most)
}

/// Users whose lists are timed.
pub(crate) fn timed_users(train: &Interactions) -> impl Iterator<Item = UserId> {
    spread(train, TIMED_USERS)
}

/// The share of a teacher's lists, as long as the longest cut-off, that its student lists too; with its name.
pub(crate) fn kept(
    teacher: Answers<'_>,
    student: Answers<'_>,
    plan: &Plan,
    train: &Interactions,
) -> Result<(String, f64)> {
    let k = longest(plan, train.n_items());
    let users: Vec<UserId> = spread(train, COMPARED_USERS).collect();
    let share = with_lists(teacher, |teacher| {
        with_lists(student, |student| Ok(rectify_eval::kept(teacher, student, train, &users, k)?))
    })?;
    Ok((format!("of its teacher's best {k}"), tidy(share)))
}

fn query_us(lists: &dyn Retriever<Query = UserId>, k: usize, train: &Interactions) -> Result<f64> {
    let mut top = TopK::new();
    let mut times = Vec::with_capacity(TIMED_USERS);
    for user in timed_users(train) {
        let filter = ItemFilter::seen(train.items_of(user))?;
        let start = Instant::now();
        lists.top_k(&user, k, &filter, &mut top)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(quantile(&mut times, 0.5))
}
