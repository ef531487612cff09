//! One experiment on one data set: split, search, train, evaluate, record.

use std::time::Instant;

use anyhow::{Context as _, Result};
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, ItemFilter, TopK, UserId};
use rectify_data::{Duplicates, Holdout, Interactions, InteractionsBuilder, Split};
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Cut, Evaluation, Metric, System, evaluate, evaluate_test};
use serde_json::Value;

use super::cache::{Cache, Recipe, Trained};
use super::experiment::{Plan, PlannedModel, merge};
use super::progress::Progress;
use super::registry::{self, Answers, Kind};
use super::{claims, protocol};
use crate::measure::{Stopwatch, quantile};
use crate::record::{Epoch, Record, Results, Run, Trial, Validation, tidy};
use crate::source::Source;

/// What all experiments of one command share.
pub(crate) struct Context<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) first_seed: u64,
    pub(crate) profile: &'a str,
    pub(crate) commit: &'a str,
}

/// Users whose top lists are timed.
const TIMED_USERS: usize = 101;

/// Epochs at most, where an experiment does not say.
const MAX_EPOCHS: u32 = 100;

/// Checks what can be checked without data: kinds and all settings, those of the search too.
pub(crate) fn check(plan: &Plan) -> Result<()> {
    for model in &plan.models {
        let kind = registry::find(&model.kind).with_context(|| format!("experiment {}", plan.paper))?;
        configs(kind, model).with_context(|| format!("model {} of experiment {}", model.name, plan.paper))?;
    }
    Ok(())
}

/// The plain configuration of a model, and every one to try with the settings that make it different.
fn configs(kind: &Kind, model: &PlannedModel) -> Result<(Value, Vec<(Value, Value)>)> {
    let plain = kind.resolve(&model.settings)?;
    let trials = model
        .trials
        .iter()
        .map(|overlay| {
            let mut settings = model.settings.clone();
            merge(&mut settings, overlay);
            Ok((Value::Object(overlay.clone()), kind.resolve(&settings)?))
        })
        .collect::<Result<_>>()?;
    Ok((plain, trials))
}

/// One model over all seeds.
struct Outcome {
    /// What the search chose with the first seed.
    chosen: Option<(Value, Vec<Trial>)>,
    evaluations: Vec<Evaluation>,
    train_seconds: Vec<f64>,
}

/// Runs a plan and adds what it found to `results`.
pub(crate) fn run(
    plan: &Plan,
    source: &Source,
    context: &Context<'_>,
    progress: &mut Progress,
    results: &mut Results,
) -> Result<()> {
    let data = source.load()?;
    let protocol = plan.protocol.clone().unwrap_or_else(|| source.usual_protocol(&data));
    let protocol_text = format!("{}; profile {}", protocol::describe(&protocol, plan.candidates), context.profile);
    let mut outcomes: Vec<Outcome> = plan
        .models
        .iter()
        .map(|_| Outcome { chosen: None, evaluations: Vec::new(), train_seconds: Vec::new() })
        .collect();
    for repeat in 0..plan.seeds {
        let seed = Seed(context.first_seed);
        let split = rectify_data::split(&data.interactions, data.fixed.as_ref(), &protocol, seed, repeat)
            .with_context(|| format!("splitting {}", plan.dataset))?;
        let full = if plan.refit { Some(with_validation(&split)?) } else { None };
        for (model, outcome) in plan.models.iter().zip(&mut outcomes) {
            let one = One {
                plan,
                model,
                kind: registry::find(&model.kind)?,
                split: full.as_ref().map_or(&split, |full| full),
                searched: &split,
                seed: context.first_seed + u64::from(repeat),
                context,
            };
            let run = one.run(outcome, progress)?;
            results.runs.push(run);
        }
    }

    let first = results.records.len();
    for (model, outcome) in plan.models.iter().zip(&outcomes) {
        results.records.extend(records(plan, model, outcome, &protocol_text, context)?);
    }
    let (decided, notes) = claims::decide(&plan.claims, &results.records[first..]);
    results.claims.extend(decided);
    results.notes.extend(notes);
    Ok(())
}

/// The split with its validation part put back into training.
fn with_validation(split: &Split) -> Result<Split> {
    let train = match &split.validation {
        Some(validation) => union(&split.train, validation)?,
        None => split.train.clone(),
    };
    Ok(Split { train, validation: None, test: split.test.clone(), training_users: split.training_users.clone() })
}

fn union(train: &Interactions, held: &Holdout) -> Result<Interactions> {
    let mut builder = InteractionsBuilder::new(train.n_users(), train.n_items()).duplicates(Duplicates::default());
    for (user, item) in train.pairs() {
        builder.push(user, item);
    }
    for user in held.users() {
        for &item in held.truth_of(user) {
            builder.push(user, item);
        }
    }
    Ok(builder.build()?.0)
}

/// One model with one seed.
struct One<'a> {
    plan: &'a Plan,
    model: &'a PlannedModel,
    kind: &'static Kind,
    /// What the reported model is trained on.
    split: &'a Split,
    /// What settings and epochs are chosen on.
    searched: &'a Split,
    seed: u64,
    context: &'a Context<'a>,
}

impl One<'_> {
    fn run(&self, outcome: &mut Outcome, progress: &mut Progress) -> Result<Run> {
        let (plain, trials) = configs(self.kind, self.model)?;
        if outcome.chosen.is_none() {
            outcome.chosen = Some(if trials.is_empty() || self.searched.validation.is_none() {
                (plain, Vec::new())
            } else {
                self.search(trials, progress)?
            });
        }
        let (config, search) = outcome.chosen.clone().unwrap_or_default();
        let label = format!("{} seed {}", self.model.name, self.seed);
        let chosen = self.train(&config, &label, progress)?;
        let trained = if self.plan.refit && self.searched.validation.is_some() {
            self.refit(&config, &chosen, &label, progress)?
        } else {
            self.train(&config, &label, progress)?
        };

        let model = self.kind.open(&trained.path)?;
        let watch = Stopwatch::of_process();
        let evaluation = evaluate_test(
            self.system(model.answers(), &self.plan.metrics),
            self.split,
            &self.plan.metrics,
            self.plan.candidates,
        )
        .with_context(|| format!("evaluating {}", self.model.name))?;
        let eval_seconds = watch.wall_seconds();
        let first_metric = self.plan.metrics[0];
        progress.end(&format!(
            "{label}: {first_metric} {:.4}, trained {:.1} s{}, evaluated {eval_seconds:.1} s",
            evaluation.value(first_metric).unwrap_or(f64::NAN),
            trained.origin.train_seconds,
            if trained.cached { " (kept)" } else { "" },
        ));
        outcome.train_seconds.push(trained.origin.train_seconds);
        outcome.evaluations.push(evaluation);
        Ok(Run {
            paper: self.plan.paper.clone(),
            dataset: self.plan.dataset.clone(),
            model: self.model.name.clone(),
            variant: String::new(),
            seed: self.seed,
            config,
            cached: trained.cached,
            train_seconds: trained.origin.train_seconds,
            train_cpu_seconds: trained.origin.train_cpu_seconds,
            eval_seconds: tidy(eval_seconds),
            peak_rss_bytes: trained.origin.peak_rss_bytes,
            model_bytes: std::fs::metadata(&trained.path).map_or(0, |m| m.len()),
            query_us: tidy(query_us(model.answers(), self.plan, &self.split.train)?),
            validation: chosen.origin.validation.map(|value| Validation {
                metric: self.plan.select_by.to_string(),
                value,
                epoch: chosen.origin.best_epoch,
            }),
            curve: chosen
                .origin
                .history
                .iter()
                .map(|e| Epoch { epoch: e.epoch, loss: Some(e.loss), validation: e.metric })
                .collect(),
            search,
            key: trained.key,
        })
    }

    /// Tries every setting on the validation part; the first of the best wins.
    fn search(&self, trials: Vec<(Value, Value)>, progress: &mut Progress) -> Result<(Value, Vec<Trial>)> {
        let n = trials.len();
        let mut tried = Vec::new();
        let mut best: Option<(f64, Value)> = None;
        for (i, (settings, config)) in trials.into_iter().enumerate() {
            let label = format!("{} search {}/{n}", self.model.name, i + 1);
            let trained = self.train(&config, &label, progress)?;
            let value = trained.origin.validation.context("a search without validation value")?;
            progress.end(&format!(
                "{label}: {} {value:.4}  {}",
                self.plan.select_by,
                crate::report::view::settings(&settings)
            ));
            if best.as_ref().is_none_or(|(least, _)| value > *least) {
                best = Some((value, config));
            }
            tried.push(Trial { settings, value });
        }
        let (_, config) = best.context("a search without settings")?;
        Ok((config, tried))
    }

    /// Trains with validation.
    fn train(&self, config: &Value, label: &str, progress: &mut Progress) -> Result<Trained> {
        let training = &self.model.training;
        let select_by = format!("{} among {}", self.plan.select_by, self.plan.candidates);
        let validation = self.searched.validation.as_ref();
        let recipe = Recipe {
            kind: self.kind,
            config,
            train: &self.searched.train,
            validation,
            select_by: &select_by,
            max_epochs: training.max_epochs.unwrap_or(MAX_EPOCHS),
            patience: training.patience.filter(|p| *p > 0),
            eval_every: training.eval_every.unwrap_or(1),
            seed: self.seed,
        };
        let measure = |model: Answers<'_>| self.validate(model);
        self.context.cache.get(&recipe, label, validation.map(|_| &measure as _), progress)
    }

    /// Trains on training and validation data together, for as many epochs as were best.
    fn refit(&self, config: &Value, chosen: &Trained, label: &str, progress: &mut Progress) -> Result<Trained> {
        let recipe = Recipe {
            kind: self.kind,
            config,
            train: &self.split.train,
            validation: None,
            select_by: "",
            max_epochs: chosen.origin.best_epoch.or(self.model.training.max_epochs).unwrap_or(MAX_EPOCHS),
            patience: None,
            eval_every: 0,
            seed: self.seed,
        };
        self.context.cache.get(&recipe, &format!("{label} refit"), None, progress)
    }

    /// Lists where lists suffice and the model makes them fast; scores otherwise.
    fn system<'m>(&self, model: Answers<'m>, metrics: &[Metric]) -> System<'m> {
        let lists_suffice = self.plan.candidates != Candidates::Sampled
            && metrics.iter().all(|metric| matches!(metric.cut(), Cut::At(_)));
        match model.retriever {
            Some(retriever) if lists_suffice => System::Retriever(retriever),
            _ => System::Scorer(model.scorer),
        }
    }

    fn validate(&self, model: Answers<'_>) -> Result<f64> {
        let holdout = self.searched.validation.as_ref().context("no validation part")?;
        let metric: Metric = self.plan.select_by;
        let evaluation =
            evaluate(self.system(model, &[metric]), &self.searched.train, holdout, &[metric], self.plan.candidates)?;
        evaluation.value(metric).context("the validation gave no value")
    }
}

/// Mean over the seeds of every metric, with the interval of the first.
fn records(
    plan: &Plan,
    model: &PlannedModel,
    outcome: &Outcome,
    protocol_text: &str,
    context: &Context<'_>,
) -> Result<Vec<Record>> {
    let Some(first) = outcome.evaluations.first() else { return Ok(Vec::new()) };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let summaries = first.summaries(&Bootstrap { seed: Seed(context.first_seed), ..Bootstrap::default() })?;
    Ok(summaries
        .iter()
        .map(|summary| {
            let values: Vec<f64> = outcome.evaluations.iter().filter_map(|e| e.value(summary.metric)).collect();
            let published = plan.published.iter().find(|p| p.model == model.name && p.metric == summary.metric);
            Record {
                paper: plan.paper.clone(),
                table: published.map(|p| p.table.clone()),
                dataset: plan.dataset.clone(),
                protocol: protocol_text.to_owned(),
                model: model.name.clone(),
                variant: String::new(),
                metric: summary.metric.to_string(),
                value: tidy(mean(&values)),
                ci95: summary.interval.map(|i| [tidy(i.low), tidy(i.high)]),
                paper_value: published.map(|p| p.value),
                seeds: plan.seeds,
                train_seconds: tidy(mean(&outcome.train_seconds)),
                device: "cpu".into(),
                commit: context.commit.to_owned(),
            }
        })
        .collect())
}

/// Median wall time of one user's list, as long as the longest cut-off, on this thread.
fn query_us(model: Answers<'_>, plan: &Plan, train: &Interactions) -> Result<f64> {
    let longest = plan.metrics.iter().filter_map(|metric| match metric.cut() {
        Cut::At(k) => Some(k),
        Cut::Truth | Cut::All => None,
    });
    let k = longest.max().unwrap_or(100).min(train.n_items());
    let exhaustive = Exhaustive::new(model.scorer);
    let retriever = model.retriever.unwrap_or(&exhaustive);
    let step = (train.n_users() / TIMED_USERS).max(1);
    let mut top = TopK::new();
    let mut times = Vec::with_capacity(TIMED_USERS);
    for user in (0..train.n_users()).step_by(step).map(|u| UserId(u as u32)).take(TIMED_USERS) {
        let filter = ItemFilter::seen(train.items_of(user))?;
        let start = Instant::now();
        retriever.top_k(&user, k, &filter, &mut top)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(quantile(&mut times, 0.5))
}
