//! What a run of experiments leaves behind: the content of results.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rounds to ten significant digits: more would be noise, and so few survive JSON unchanged in every parser.
pub(crate) fn tidy(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

/// Everything that `reproduce` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    /// The measured values.
    pub(crate) records: Vec<Record>,
    /// The qualitative claims that could be decided.
    pub(crate) claims: Vec<Claim>,
    /// How each model came about.
    pub(crate) runs: Vec<Run>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
}

/// One value of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) paper: String,
    /// Table of the paper that `paper_value` stands in.
    pub(crate) table: Option<String>,
    pub(crate) dataset: String,
    pub(crate) protocol: String,
    pub(crate) model: String,
    pub(crate) variant: String,
    pub(crate) metric: String,
    /// Mean over the seeds.
    pub(crate) value: f64,
    /// 95 % bootstrap interval over users, those of all seeds together.
    pub(crate) ci95: Option<[f64; 2]>,
    pub(crate) paper_value: Option<f64>,
    pub(crate) seeds: u32,
    /// Mean over the seeds, of the chosen settings (without the search).
    pub(crate) train_seconds: f64,
    pub(crate) device: String,
    pub(crate) commit: String,
}

/// The variant under which a value that was tested along training is recorded.
pub(crate) fn at_epoch(epoch: u32) -> String {
    format!("epoch {epoch}")
}

impl Record {
    /// The epoch after which the value was tested; nothing for a finished model.
    pub(crate) fn epoch(&self) -> Option<u32> {
        self.variant.strip_prefix("epoch ")?.parse().ok()
    }
}

/// A qualitative claim, decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    pub(crate) paper: String,
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) holds: bool,
    pub(crate) left: f64,
    pub(crate) right: f64,
    /// Of a paired t-test over users: how likely a difference as large would be if there were none. Only for claims that
    /// compare one metric of two models, without a factor.
    pub(crate) p_value: Option<f64>,
}

impl Claim {
    /// Both sides, and how likely chance alone makes such a difference.
    pub(crate) fn numbers(&self) -> String {
        let p = match self.p_value {
            Some(p) if p < 1e-4 => ", p < 0.0001".to_owned(),
            Some(p) => format!(", p = {p:.4}"),
            None => String::new(),
        };
        format!("{:.4} and {:.4}{p}", self.left, self.right)
    }
}

/// How one model came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) paper: String,
    pub(crate) dataset: String,
    pub(crate) model: String,
    pub(crate) variant: String,
    pub(crate) seed: u64,
    /// Name of the model's file in the cache.
    pub(crate) key: String,
    /// The settings it was trained with.
    pub(crate) config: serde_json::Value,
    /// Whether it was read from the cache; the times are then those of its training.
    pub(crate) cached: bool,
    /// Wall time of training.
    pub(crate) train_seconds: f64,
    /// Processor time of training, all threads.
    pub(crate) train_cpu_seconds: Option<f64>,
    /// Wall time of evaluation.
    pub(crate) eval_seconds: f64,
    /// Highest resident memory of the process so far.
    pub(crate) peak_rss_bytes: Option<u64>,
    /// Size of the model's file.
    pub(crate) model_bytes: u64,
    /// Median wall time of one user's top list, one thread.
    pub(crate) query_us: f64,
    /// Learned values, for models that count them.
    pub(crate) n_params: Option<u64>,
    /// Bytes of what a search reads of the items, for models that can tell them from users.
    pub(crate) item_bytes: Option<u64>,
    /// Processor time of listing for every user, where the experiment asks for it.
    pub(crate) all_users_seconds: Option<f64>,
    /// Other numbers that were measured of it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) measured: BTreeMap<String, f64>,
    /// Curves that were measured of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) figures: Vec<Figure>,
    /// Metric that was validated, and its best value.
    pub(crate) validation: Option<Validation>,
    /// Loss and validated metric by epoch.
    pub(crate) curve: Vec<Epoch>,
    /// Every setting that was tried on the validation data, with its value.
    pub(crate) search: Vec<Trial>,
}

/// What a model was measured along: the report has a table and a plot of all models' figures of one title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) lines: Vec<Line>,
}

/// One line of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// Empty where the model's name says all: such lines of several models share one table.
    pub(crate) name: String,
    /// Points (x, y), x rising.
    pub(crate) points: Vec<[f64; 2]>,
}

impl Run {
    /// A point of a figure.
    pub(crate) fn point(&self, title: &str, line: &str, x: f64) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.title == title)?;
        let line = figure.lines.iter().find(|l| l.name == line)?;
        line.points.iter().find(|[at, _]| *at == x).map(|[_, y]| *y)
    }
}

/// The validated metric at its best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validation {
    pub(crate) metric: String,
    pub(crate) value: f64,
    /// Epoch it was reached at, for models that train by epochs.
    pub(crate) epoch: Option<u32>,
}

/// One epoch of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Epoch {
    pub(crate) epoch: u32,
    pub(crate) loss: Option<f64>,
    pub(crate) validation: Option<f64>,
}

/// One setting of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trial {
    pub(crate) settings: serde_json::Value,
    pub(crate) value: f64,
}

#[cfg(test)]
mod tests {
    use super::{at_epoch, tidy};
    use crate::report::tests::sample;

    #[test]
    fn a_value_tested_along_training_knows_its_epoch() {
        let mut record = sample().records.remove(0);
        assert_eq!(record.epoch(), None);
        record.variant = at_epoch(25);
        assert_eq!(record.epoch(), Some(25));
    }

    #[test]
    fn tidy_numbers_survive_json_bit_for_bit() {
        for i in 1..2000 {
            let value = tidy((f64::from(i) * 0.731).sin() / 3.0);
            let text = serde_json::to_string(&value).unwrap_or_default();
            assert_eq!(serde_json::from_str::<f64>(&text).ok(), Some(value), "{text}");
        }
        assert!((tidy(1.0 / 3.0) - 1.0 / 3.0).abs() < 1e-10);
        assert_eq!(tidy(0.0), 0.0);
    }
}
