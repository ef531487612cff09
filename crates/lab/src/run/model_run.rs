//! One model with one seed: trained, tested, timed, reranked, served in other ways.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use rectify_core::{Exhaustive, Rerank, Retriever, UserId};
use rectify_data::{Split, WordCounts};
use rectify_eval::{Cut, Metric, System, evaluate_test};
use rectify_models::settings::describe;
use rectify_models::train::{
    Epochs, Selection, SideInformation, Stored, TestAlong, TestValues, TrainData, TrainRequest, Trained, Trainer,
    Watch, system,
};
use rectify_models::{Answers, BoxError, Kind};
use serde_json::Value;

use super::lists::{ListCost, longest, overlap_with_teacher};
use super::measurements;
use super::outcome::Outcome;
use crate::experiment::{Plan, PlannedModel, RerankPlan};
use crate::measure::Stopwatch;
use crate::record::{Epoch, Run, Trial, Validation, tidy};

/// What all models of one seed share.
pub(super) struct Shared<'a> {
    pub(super) plan: &'a Plan,
    pub(super) trainer: &'a Trainer<'a>,
    /// What the reported model is trained on, and tested by.
    pub(super) split: &'a Split,
    /// What settings and epochs are chosen on.
    pub(super) searched: &'a Split,
    /// The words of items.
    pub(super) text: Option<&'a WordCounts>,
    /// What else the data tell.
    pub(super) side: SideInformation<'a>,
    pub(super) seed: u64,
}

/// One model with one seed.
pub(super) struct ModelRun<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) model: &'a PlannedModel,
    pub(super) kind: &'a Kind,
    pub(super) teacher: Option<&'a Trained>,
    /// What reranks its best items.
    pub(super) second: Option<(&'a RerankPlan, &'a Trained)>,
}

impl ModelRun<'_> {
    /// Does all of it, and adds what it found.
    pub(super) fn run(&self, outcome: &mut Outcome, watch: &mut dyn Watch, runs: &mut Vec<Run>) -> Result<Trained> {
        let Shared { plan, split, .. } = *self.shared;
        let made = self.train(outcome, watch)?;
        let (chosen, trained) = (&made.chosen, &made.reported);
        let label = format!("{} seed {}", self.model.name, self.shared.seed);
        let model = trained.open()?;
        let clock = Stopwatch::of_process();
        let evaluation = evaluate_test(
            system(model.answers(), &plan.metrics, plan.candidates),
            split,
            &plan.metrics,
            plan.candidates,
        )
        .with_context(|| format!("evaluating {}", self.model.name))?;
        let eval_seconds = clock.wall_seconds();
        if let Some(candidates) = plan.second_protocol {
            let system = system(model.answers(), &plan.metrics, candidates);
            outcome.also.evaluations.push(evaluate_test(system, split, &plan.metrics, candidates)?);
        }
        let first_metric = plan.metrics[0];
        watch.end(&format!(
            "{label}: {first_metric} {:.4}, trained {:.1} s{}, evaluated {eval_seconds:.1} s",
            evaluation.value(first_metric).unwrap_or(f64::NAN),
            trained.record.train_seconds,
            if trained.cached { " (from the cache)" } else { "" },
        ));
        outcome.train_seconds.push(trained.record.train_seconds);
        outcome.tests.push(trained.record.tests.clone());
        outcome.tested.evaluations.push(evaluation);
        let cost = ListCost::of_model(model.answers(), plan, &split.train)?;
        let (train, k) = (&split.train, longest(plan, split.train.n_items()));
        let mut measured = measurements::of(&*model, &made.choice.config, &self.model.batch_sizes, k, train)?;
        if let Some(teacher) = self.teacher {
            let teacher = teacher.reported.open()?;
            let overlap = overlap_with_teacher(teacher.answers(), model.answers(), plan, train)?;
            measured.measured.extend([overlap]);
        }
        let run = Run {
            query_us: cost.query_us,
            all_users_seconds: cost.all_users_seconds,
            n_params: model.n_params().map(|n| n as u64),
            item_bytes: model.item_bytes().map(|n| n as u64),
            measured: measured.measured,
            figures: measured.figures,
            eval_seconds: tidy(eval_seconds),
            ..self.record(&made, chosen, trained)
        };
        runs.push(run.clone());
        if let Some((how, by)) = self.second {
            self.rerank(&run, model.answers(), how, by, outcome, runs)?;
        }
        for how in &self.model.serve_variants {
            let model = self.kind.open_variant(&trained.path, how)?;
            let lists = model.answers().retriever.context("a model served in several ways gives lists")?;
            let run = Run { item_bytes: model.item_bytes().map(|n| n as u64), ..run.clone() };
            let variant = describe(&Value::Object(how.clone()));
            let found = self.add_variant(run, variant.clone(), lists, outcome, runs)?;
            watch.end(&format!("{label}, {variant}: {found}"));
        }
        Ok(made)
    }

    /// Trains it; what the first seed's search chose holds for all.
    fn train(&self, outcome: &mut Outcome, watch: &mut dyn Watch) -> Result<Trained> {
        let Shared { plan, split, searched, .. } = *self.shared;
        let training = &self.model.training;
        let test = |model: Answers<'_>| self.test(model);
        let request = TrainRequest {
            name: &self.model.name,
            kind: self.kind,
            settings: &self.model.settings,
            trials: &self.model.trials,
            chosen: outcome.chosen.clone(),
            data: TrainData {
                train: &searched.train,
                validation: searched.validation.as_ref(),
                full: plan.refit.then_some(&split.train),
                text: self.shared.text,
                side: self.shared.side,
            },
            select_by: Selection { metric: plan.select_by, candidates: plan.candidates },
            epochs: Epochs {
                max_epochs: training.max_epochs,
                patience: training.patience,
                eval_every: training.eval_every,
            },
            teacher: self.teacher,
            seed: self.shared.seed,
            test: training.test_at.as_deref().map(|epochs| TestAlong { epochs, measure: &test }),
        };
        let made = self.shared.trainer.fit(&request, watch)?;
        outcome.chosen.get_or_insert_with(|| made.choice.clone());
        Ok(made)
    }

    /// How the model came about; nothing of what it is measured by.
    fn record(&self, made: &Trained, chosen: &Stored, trained: &Stored) -> Run {
        let plan = self.shared.plan;
        let epochs = chosen.record.history.iter();
        let trials = made.choice.trials.iter();
        Run {
            paper: plan.paper.clone(),
            dataset: plan.dataset.clone(),
            model: self.model.name.clone(),
            variant: String::new(),
            seed: self.shared.seed,
            config: made.choice.config.clone(),
            cached: trained.cached,
            train_seconds: trained.record.train_seconds,
            train_cpu_seconds: trained.record.train_cpu_seconds,
            eval_seconds: 0.0,
            peak_rss_bytes: trained.record.peak_rss_bytes,
            model_bytes: std::fs::metadata(&trained.path).map_or(0, |m| m.len()),
            query_us: 0.0,
            n_params: None,
            item_bytes: None,
            n_items: Some(self.shared.split.train.n_items() as u64),
            all_users_seconds: None,
            measured: BTreeMap::new(),
            figures: Vec::new(),
            validation: chosen.record.validation.map(|value| Validation {
                metric: plan.select_by.to_string(),
                value,
                epoch: chosen.record.best_epoch,
            }),
            curve: epochs.map(|e| Epoch { epoch: e.epoch, loss: Some(e.loss), validation: e.metric }).collect(),
            search: trials.map(|t| Trial { settings: t.settings.clone(), value: t.value }).collect(),
            key: trained.key.clone(),
        }
    }

    /// Reranks the best items of a model, and adds a run for each depth.
    fn rerank(
        &self,
        first: &Run,
        model: Answers<'_>,
        how: &RerankPlan,
        by: &Trained,
        outcome: &mut Outcome,
        runs: &mut Vec<Run>,
    ) -> Result<()> {
        let second = by.reported.open()?;
        for &depth in &how.depths {
            let all = Exhaustive::new(model.scorer);
            let lists = Rerank::new(model.retriever.unwrap_or(&all), second.answers().scorer, depth)?;
            self.add_variant(first.clone(), how.variant(depth), &lists, outcome, runs)?;
        }
        Ok(())
    }

    /// Evaluates another way to a model's lists and adds it beside the model's own run; tells the first metric.
    fn add_variant(
        &self,
        own: Run,
        variant: String,
        lists: &dyn Retriever<Query = UserId>,
        outcome: &mut Outcome,
        runs: &mut Vec<Run>,
    ) -> Result<String> {
        let Shared { plan, split, .. } = *self.shared;
        let metrics: Vec<Metric> = plan.metrics.iter().copied().filter(|m| matches!(m.cut(), Cut::At(_))).collect();
        let clock = Stopwatch::of_process();
        let evaluate_among = |candidates| evaluate_test(System::Retriever(lists), split, &metrics, candidates);
        let evaluation = evaluate_among(plan.candidates)?;
        let eval_seconds = tidy(clock.wall_seconds());
        let first = metrics.first().and_then(|metric| Some(format!("{metric} {:.4}", evaluation.value(*metric)?)));
        let cost = ListCost::of(lists, plan, &split.train)?;
        outcome.tested.add_variant(&variant, evaluation);
        if let Some(candidates) = plan.second_protocol {
            outcome.also.add_variant(&variant, evaluate_among(candidates)?);
        }
        runs.push(Run {
            variant,
            eval_seconds,
            query_us: cost.query_us,
            all_users_seconds: cost.all_users_seconds,
            // Learned or measured with the model itself, and told there.
            measured: BTreeMap::new(),
            figures: Vec::new(),
            curve: Vec::new(),
            search: Vec::new(),
            ..own
        });
        Ok(first.unwrap_or_default())
    }

    /// What is reported of a model in training.
    fn test(&self, model: Answers<'_>) -> Result<TestValues, BoxError> {
        let Shared { plan, split, .. } = *self.shared;
        let metrics = &plan.metrics;
        let evaluation = evaluate_test(system(model, metrics, plan.candidates), split, metrics, plan.candidates)?;
        Ok(metrics.iter().filter_map(|m| Some((m.to_string(), tidy(evaluation.value(*m)?)))).collect())
    }
}
