//! The content of results.json: all that pages show, and once what is the same for many values.
//!
//! Settings and curves of each run are in runs.jsonl beside it; results.json alone gives the same tables without them.

use serde::{Deserialize, Serialize};

use super::{Claim, Record, Results, Run, Trial, Verdicts, untold};

/// The whole file.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// What was typed.
    pub(crate) command: String,
    /// The version of the program.
    commit: String,
    /// Where models were trained.
    device: String,
    experiments: Vec<Experiment>,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "untold")]
    notes: Vec<String>,
}

/// One experiment on one data set.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    paper: String,
    dataset: String,
    seeds: u32,
    /// How data were split and what was ranked; values name theirs by its place, which is 0 where they are silent.
    protocols: Vec<String>,
    models: Vec<Model>,
    verdicts: Verdicts,
    claims: Vec<Claim>,
}

/// One model, or one way to serve it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    model: String,
    #[serde(default, skip_serializing_if = "untold")]
    variant: String,
    /// Mean over the seeds.
    train_seconds: f64,
    values: Vec<Value>,
    /// Times, sizes and measurements, one entry a seed.
    #[serde(default, skip_serializing_if = "untold")]
    runs: Vec<Run>,
    /// What was tried on validation data.
    #[serde(default, skip_serializing_if = "untold")]
    search: Vec<Trial>,
}

/// One metric of one model.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    metric: String,
    value: f64,
    #[serde(default, skip_serializing_if = "untold")]
    ci95: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "untold")]
    paper_value: Option<f64>,
    #[serde(default, skip_serializing_if = "untold")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "untold")]
    protocol: usize,
}

/// The element for which `is` holds, added where there is none, and its place.
fn place_of<T>(all: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    all.iter().position(is).unwrap_or_else(|| {
        all.push(new());
        all.len() - 1
    })
}

impl File {
    /// What pages show of some results.
    pub(crate) fn of(results: &Results, command: &str) -> Self {
        let mut file = Self { command: command.to_owned(), notes: results.notes.clone(), ..Self::default() };
        for record in &results.records {
            file.commit.clone_from(&record.commit);
            file.device.clone_from(&record.device);
            let at = place_of(
                &mut file.experiments,
                |e| e.paper == record.paper && e.dataset == record.dataset,
                || Experiment {
                    paper: record.paper.clone(),
                    dataset: record.dataset.clone(),
                    seeds: record.seeds,
                    ..Experiment::default()
                },
            );
            file.experiments[at].add(record);
        }
        for run in &results.runs {
            let of = file.experiments.iter_mut().filter(|e| e.paper == run.paper && e.dataset == run.dataset);
            for model in of.flat_map(|e| &mut e.models).filter(|m| m.model == run.model && m.variant == run.variant) {
                model.search.clone_from(&run.search);
                model.runs.push(Run {
                    paper: String::new(),
                    dataset: String::new(),
                    model: String::new(),
                    variant: String::new(),
                    key: String::new(),
                    config: serde_json::Value::Null,
                    eval_seconds: 0.0,
                    curve: Vec::new(),
                    search: Vec::new(),
                    ..run.clone()
                });
            }
        }
        for claim in &results.claims {
            if let Some(of) = file.experiments.iter_mut().find(|e| e.paper == claim.paper) {
                of.claims.push(Claim { paper: String::new(), ..claim.clone() });
                of.verdicts = Verdicts::of(&of.claims);
            }
        }
        file
    }

    /// The results, without settings and curves.
    pub(crate) fn results(self) -> Results {
        let Self { command: _, commit, device, experiments, notes } = self;
        let mut all = Results { notes, ..Results::default() };
        for experiment in experiments {
            let Experiment { paper, dataset, seeds, protocols, models, verdicts: _, claims } = experiment;
            for (at, protocol) in protocols.iter().enumerate() {
                for model in &models {
                    all.records.extend(model.values.iter().filter(|value| value.protocol == at).map(|value| Record {
                        paper: paper.clone(),
                        table: value.table.clone(),
                        dataset: dataset.clone(),
                        protocol: protocol.clone(),
                        model: model.model.clone(),
                        variant: model.variant.clone(),
                        metric: value.metric.clone(),
                        value: value.value,
                        ci95: value.ci95,
                        paper_value: value.paper_value,
                        seeds,
                        train_seconds: model.train_seconds,
                        device: device.clone(),
                        commit: commit.clone(),
                    }));
                }
            }
            for Model { model, variant, runs, search, .. } in models {
                all.runs.extend(runs.into_iter().map(|run| Run {
                    paper: paper.clone(),
                    dataset: dataset.clone(),
                    model: model.clone(),
                    variant: variant.clone(),
                    search: search.clone(),
                    ..run
                }));
            }
            all.claims.extend(claims.into_iter().map(|claim| Claim { paper: paper.clone(), ..claim }));
        }
        all.verdicts = Verdicts::of(&all.claims);
        all
    }
}

impl Experiment {
    fn add(&mut self, record: &Record) {
        let protocol = place_of(&mut self.protocols, |p| *p == record.protocol, || record.protocol.clone());
        let at = place_of(
            &mut self.models,
            |m| m.model == record.model && m.variant == record.variant,
            || Model {
                model: record.model.clone(),
                variant: record.variant.clone(),
                train_seconds: record.train_seconds,
                values: Vec::new(),
                runs: Vec::new(),
                search: Vec::new(),
            },
        );
        self.models[at].values.push(Value {
            metric: record.metric.clone(),
            value: record.value,
            ci95: record.ci95,
            paper_value: record.paper_value,
            table: record.table.clone(),
            protocol,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::sample;
    use super::*;

    #[test]
    fn nothing_that_a_page_shows_is_lost_and_what_is_common_stands_once() {
        let mut results = sample();
        let mut others: Vec<Record> = results.records.clone();
        for record in &mut others {
            record.protocol = "given split, all items".into();
            record.ci95 = None;
        }
        results.records.extend(others);
        let file = File::of(&results, "typed");
        let text = serde_json::to_string(&file).unwrap();
        for once in ["baselines", "gowalla", "abc1234", "given split, all items", "cpu"] {
            assert_eq!(text.matches(&format!("\"{once}\"")).count(), 1, "{once} in {text}");
        }
        let read: File = serde_json::from_str(&text).unwrap();
        assert_eq!(read, file);
        for run in &mut results.runs {
            (run.key, run.config, run.curve) = (String::new(), serde_json::Value::Null, Vec::new());
            run.eval_seconds = 0.0;
        }
        assert_eq!(read.results(), results);
    }
}
