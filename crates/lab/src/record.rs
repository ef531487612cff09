//! What a run of experiments leaves behind.

pub(crate) mod file;
#[cfg(test)]
pub(crate) mod sample;

use std::collections::BTreeMap;

pub use rectify_models::train::tidy;
use serde::{Deserialize, Serialize};

/// A model's name in tables: `model` or `model (variant)`.
#[must_use]
pub fn name(model: &str, variant: &str) -> String {
    if variant.is_empty() { model.to_owned() } else { format!("{model} ({variant})") }
}

/// What no file needs to say: reading gives the same.
pub(crate) fn untold<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Everything that `reproduce` finds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Results {
    /// The measured values.
    pub records: Vec<Record>,
    /// The qualitative claims that could be decided.
    pub claims: Vec<Claim>,
    /// How many of them came out how.
    pub verdicts: Verdicts,
    /// How each model came about.
    pub runs: Vec<Run>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// One value of one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// The experiment's name.
    pub paper: String,
    /// Table of the paper that `paper_value` stands in.
    pub table: Option<String>,
    /// The data set's name.
    pub dataset: String,
    /// How data were split and what was ranked, in words.
    pub protocol: String,
    /// The model's name.
    pub model: String,
    /// How it was served or reranked; empty for the model itself.
    pub variant: String,
    /// The metric's name.
    pub metric: String,
    /// Mean over the seeds.
    pub value: f64,
    /// 95 % bootstrap interval over users, those of all seeds together.
    pub ci95: Option<[f64; 2]>,
    /// What was published.
    pub paper_value: Option<f64>,
    /// Number of seeds.
    pub seeds: u32,
    /// Mean over the seeds, of the chosen settings (without the search).
    pub train_seconds: f64,
    /// Where models were trained.
    pub device: String,
    /// The version of the program.
    pub commit: String,
}

/// The variant under which a value that was tested along training is recorded.
pub fn at_epoch(epoch: u32) -> String {
    format!("epoch {epoch}")
}

impl Record {
    /// The epoch after which the value was tested; nothing for a finished model.
    pub fn epoch(&self) -> Option<u32> {
        self.variant.strip_prefix("epoch ")?.parse().ok()
    }
}

/// How a claim came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The difference is the claimed one, and more than chance or the band explains.
    Holds,
    /// The sides differ by no more than chance (p at least .05) or the band explains.
    Level,
    /// The difference is the other way round, and more than chance or the band explains.
    Fails,
}

impl Verdict {
    /// As reports say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Level => "level",
            Self::Fails => "fails",
        }
    }
}

/// Numbers of claims by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Claims that hold.
    pub holds: usize,
    /// Claims whose sides are level.
    pub level: usize,
    /// Claims that fail.
    pub fails: usize,
}

impl Verdicts {
    /// Counts.
    pub fn of<'a>(claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut all = Self::default();
        for claim in claims {
            match claim.verdict {
                Verdict::Holds => all.holds += 1,
                Verdict::Level => all.level += 1,
                Verdict::Fails => all.fails += 1,
            }
        }
        all
    }
}

impl std::fmt::Display for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "holds {} / level {} / fails {}", self.holds, self.level, self.fails)
    }
}

/// A qualitative claim, decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The experiment's name.
    #[serde(default, skip_serializing_if = "untold")]
    pub paper: String,
    /// Name of the claim.
    pub id: String,
    /// What is claimed.
    pub text: String,
    /// How it came out.
    pub verdict: Verdict,
    /// The side that is claimed to be greater.
    pub left: f64,
    /// The other one, before any factor.
    pub right: f64,
    /// Of a paired t-test over users: how likely a difference as large would be if there were none. Only for claims that
    /// compare one metric of two models, without a factor.
    pub p_value: Option<f64>,
    /// Where no test decides: the relative difference up to which the sides are level.
    #[serde(default, skip_serializing_if = "untold")]
    pub band: Option<f64>,
}

impl Claim {
    /// Both sides, and what decided: how likely chance alone makes such a difference, or the band.
    #[must_use]
    pub fn numbers(&self) -> String {
        let by = match (self.p_value, self.band) {
            (Some(p), _) if p < 1e-4 => ", p < 0.0001".to_owned(),
            (Some(p), _) => format!(", p = {p:.4}"),
            (None, Some(band)) => format!(", band {} %", tidy(100.0 * band)),
            (None, None) => String::new(),
        };
        format!("{:.4} and {:.4}{by}", self.left, self.right)
    }
}

/// How one model came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The experiment's name.
    #[serde(default, skip_serializing_if = "untold")]
    pub paper: String,
    /// The data set's name.
    #[serde(default, skip_serializing_if = "untold")]
    pub dataset: String,
    /// The model's name.
    #[serde(default, skip_serializing_if = "untold")]
    pub model: String,
    /// As in its records.
    #[serde(default, skip_serializing_if = "untold")]
    pub variant: String,
    /// The seed.
    pub seed: u64,
    /// Name of the model's file in the cache.
    #[serde(default, skip_serializing_if = "untold")]
    pub key: String,
    /// The settings it was trained with.
    #[serde(default, skip_serializing_if = "untold")]
    pub config: serde_json::Value,
    /// Whether it was read from the cache; the times are then those of its training.
    pub cached: bool,
    /// Wall time of training.
    pub train_seconds: f64,
    /// CPU time of training, all threads.
    #[serde(default, skip_serializing_if = "untold")]
    pub train_cpu_seconds: Option<f64>,
    /// Wall time of evaluation.
    #[serde(default, skip_serializing_if = "untold")]
    pub eval_seconds: f64,
    /// Highest resident memory of the process so far.
    #[serde(default, skip_serializing_if = "untold")]
    pub peak_rss_bytes: Option<u64>,
    /// Size of the model's file.
    pub model_bytes: u64,
    /// Median wall time of one user's top list, one thread.
    pub query_us: f64,
    /// Learned values, for models that count them.
    #[serde(default, skip_serializing_if = "untold")]
    pub n_params: Option<u64>,
    /// Bytes of what a search reads of the items, for models that can tell them from users.
    #[serde(default, skip_serializing_if = "untold")]
    pub item_bytes: Option<u64>,
    /// Items of the catalogue.
    #[serde(default, skip_serializing_if = "untold")]
    pub n_items: Option<u64>,
    /// CPU time of listing for every user, where the experiment asks for it.
    #[serde(default, skip_serializing_if = "untold")]
    pub all_users_seconds: Option<f64>,
    /// Other numbers that were measured of it, by id, for instance `overlap@20`.
    #[serde(default, skip_serializing_if = "untold")]
    pub measured: BTreeMap<String, f64>,
    /// Curves that were measured of it.
    #[serde(default, skip_serializing_if = "untold")]
    pub figures: Vec<Figure>,
    /// Metric that was validated, and its best value.
    #[serde(default, skip_serializing_if = "untold")]
    pub validation: Option<Validation>,
    /// Loss and validated metric by epoch.
    #[serde(default, skip_serializing_if = "untold")]
    pub curve: Vec<Epoch>,
    /// Every setting that was tried on the validation data, with its value.
    #[serde(default, skip_serializing_if = "untold")]
    pub search: Vec<Trial>,
}

/// What a model was measured along: the report has a table and a plot of all models' figures of one title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What claims call it; empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "untold")]
    pub id: String,
    /// What is shown.
    pub title: String,
    /// What it is measured along.
    pub x_label: String,
    /// What is measured.
    pub y_label: String,
    /// The curves.
    pub lines: Vec<Line>,
}

/// One line of a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Empty where the model's name says all: such lines of several models share one table.
    pub name: String,
    /// Points (x, y), x rising.
    pub points: Vec<[f64; 2]>,
}

impl Run {
    /// A point of a figure, which is named by its id.
    pub fn point(&self, figure: &str, line: &str, x: f64) -> Option<f64> {
        let figure = self.figures.iter().find(|own| own.id == figure)?;
        let line = figure.lines.iter().find(|l| l.name == line)?;
        line.points.iter().find(|[at, _]| *at == x).map(|[_, y]| *y)
    }
}

/// The validated metric at its best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// The metric's name.
    pub metric: String,
    /// Its best value.
    pub value: f64,
    /// Epoch it was reached at, for models that train by epochs.
    pub epoch: Option<u32>,
}

/// One epoch of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    /// From 1.
    pub epoch: u32,
    /// Mean training loss.
    pub loss: Option<f64>,
    /// The validated metric, if it was taken.
    pub validation: Option<f64>,
}

/// One setting of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// What was laid over the other settings.
    pub settings: serde_json::Value,
    /// The validated metric.
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use super::sample::sample;
    use super::*;

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

    #[test]
    fn claims_say_what_decided_them_and_are_counted() {
        let mut claim = sample().claims.remove(0);
        assert_eq!(claim.numbers(), "0.1806 and 0.1291, p = 0.0123");
        (claim.p_value, claim.band, claim.verdict) = (None, Some(0.01), Verdict::Level);
        assert_eq!(claim.numbers(), "0.1806 and 0.1291, band 1 %");
        let verdicts = Verdicts::of([&claim, &sample().claims[0]]);
        assert_eq!(verdicts.to_string(), "holds 1 / level 1 / fails 0");
    }
}
