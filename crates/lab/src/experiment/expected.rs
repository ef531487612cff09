//! What results are held against: values that were published, and claims.

use std::collections::BTreeMap;

use rectify_eval::{Candidates, Metric};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

use crate::measurement::{Curve, Measurement};

/// A table from the literature, as an experiment's file holds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedTable {
    pub(super) dataset: String,
    /// Table of the paper, or who printed them.
    table: String,
    /// Which of the two answers they belong to; the experiment's first when absent.
    among: Option<Candidates>,
    /// Its columns.
    metrics: Vec<Metric>,
    /// Its rows, by `model` or `model (variant)`; a value a column.
    rows: BTreeMap<String, Vec<f64>>,
}

/// Values from the literature, of one model.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) model: String,
    /// As in the records; empty for the model itself.
    pub(crate) variant: String,
    pub(crate) table: String,
    pub(crate) among: Option<Candidates>,
    /// By the metric's name.
    pub(crate) values: BTreeMap<String, f64>,
}

impl PublishedTable {
    pub(super) fn rows(&self) -> impl Iterator<Item = Published> {
        self.rows.iter().map(|(name, row)| {
            let (model, variant) = model_and_variant(name);
            Published {
                model: model.to_owned(),
                variant: variant.to_owned(),
                table: self.table.clone(),
                among: self.among,
                values: self.metrics.iter().map(ToString::to_string).zip(row.iter().copied()).collect(),
            }
        })
    }

    /// Name of a row that has not one value for each metric, and the problem.
    pub(super) fn check(&self) -> Result<(), (&str, String)> {
        let Some((name, row)) = self.rows.iter().find(|(_, row)| row.len() != self.metrics.len()) else {
            return Ok(());
        };
        let (table, got, expected) = (&self.table, row.len(), self.metrics.len());
        let problem = format!("row '{name}' has {got} values, expected one for each of {expected} metrics");
        Err((name, format!("published {table}: {problem}")))
    }
}

/// `model (variant)`, as tables print it; the variant is empty if there is none.
fn model_and_variant(name: &str) -> (&str, &str) {
    name.strip_suffix(')').and_then(|name| name.split_once(" (")).unwrap_or((name, ""))
}

/// Claims of one text, as an experiment's file holds them: of two models, one for each measure, or of anything else that was measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimGroup {
    /// Where its table begins in the file.
    #[serde(skip)]
    pub(super) line: usize,
    id: String,
    text: String,
    /// Data sets it speaks of; the experiment's `claims_on` when absent.
    pub(super) datasets: Option<Vec<String>>,
    /// The model that is at least as good, as `model` or `model (variant)`.
    better: Option<String>,
    /// The model that it is compared with, likewise.
    than: Option<String>,
    /// What decides between the two; the experiment's `claims_by`, or else `select_by`, when absent.
    by: Option<Vec<Measure>>,
    left: Option<Side>,
    right: Option<Side>,
    #[serde(default = "one")]
    factor: f64,
    /// Relative difference up to which the sides are level, where no test over users decides: for claims with a factor, and of
    /// anything but one metric of two models. 1 % when absent.
    #[serde(default = "one_percent")]
    band: f64,
}

const fn one() -> f64 {
    1.0
}

const fn one_percent() -> f64 {
    0.01
}

/// What decides between two models: `METRIC` or `METRIC among CANDIDATES`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Measure {
    metric: Metric,
    among: Option<Candidates>,
}

impl From<Metric> for Measure {
    fn from(metric: Metric) -> Self {
        Self { metric, among: None }
    }
}

impl TryFrom<String> for Measure {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (metric, among) = match text.split_once(" among ") {
            Some((metric, among)) => {
                let among: StrDeserializer<'_, serde::de::value::Error> = among.into_deserializer();
                (metric, Some(Candidates::deserialize(among).map_err(|error| error.to_string())?))
            }
            None => (text.as_str(), None),
        };
        Ok(Self { metric: metric.parse::<Metric>().map_err(|error| error.to_string())?, among })
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.metric)?;
        self.among.map_or(Ok(()), |among| write!(f, " among {among}"))
    }
}

/// A claim: `left` is greater than `right` times `factor`.
#[derive(Clone, Debug)]
pub(crate) struct ClaimSpec {
    pub(crate) id: String,
    pub(crate) text: String,
    /// Which of the two answers decides it; the experiment's first when absent.
    pub(crate) among: Option<Candidates>,
    pub(crate) left: Side,
    pub(crate) right: Side,
    pub(crate) factor: f64,
    pub(crate) band: f64,
}

/// One side of a claim: a metric, a number or a point of a figure that was measured of a model, or just a value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Side {
    #[serde(default)]
    pub(crate) model: String,
    /// As in the records; empty when absent.
    #[serde(default)]
    pub(crate) variant: String,
    pub(crate) metric: Option<Metric>,
    /// Id of a number.
    pub(crate) measured: Option<String>,
    pub(crate) point: Option<Point>,
    pub(crate) value: Option<f64>,
}

/// A point of a figure.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Point {
    /// Its id.
    pub(crate) figure: String,
    /// Empty when absent.
    #[serde(default)]
    pub(crate) line: String,
    pub(crate) x: f64,
}

impl ClaimGroup {
    /// Its claims; `usual` decides where the file says nothing.
    ///
    /// # Errors
    /// Fields that are missing or do not go together.
    pub(super) fn claims(&self, usual: &[Measure]) -> Result<Vec<ClaimSpec>, String> {
        let problem = |text: &str| format!("claim '{}': {text}", self.id);
        let claim = |id: String, text: String, among, left, right| ClaimSpec {
            id,
            text,
            among,
            left,
            right,
            factor: self.factor,
            band: self.band,
        };
        if !(0.0..1.0).contains(&self.band) {
            return Err(problem(&format!("field band is {}, expected at least 0 and less than 1", self.band)));
        }
        match (&self.better, &self.than, &self.left, &self.right) {
            (Some(better), Some(than), None, None) => {
                let measures = self.by.as_deref().unwrap_or(usual);
                if measures.is_empty() {
                    return Err(problem("field by is empty, expected at least one metric"));
                }
                let side = |name: &str, metric| {
                    let (model, variant) = model_and_variant(name);
                    Side { model: model.into(), variant: variant.into(), metric: Some(metric), ..Side::default() }
                };
                let of = |measure: &Measure| {
                    let (id, text) = match measures {
                        [_] => (self.id.clone(), self.text.clone()),
                        _ => (format!("{}, {measure}", self.id), format!("{} ({measure})", self.text)),
                    };
                    claim(id, text, measure.among, side(better, measure.metric), side(than, measure.metric))
                };
                Ok(measures.iter().map(of).collect())
            }
            (None, None, Some(left), Some(right)) => {
                for (which, side) in [("left", left), ("right", right)] {
                    side.check().map_err(|error| problem(&format!("field {which}: {error}")))?;
                }
                if self.by.is_some() {
                    return Err(problem("field by belongs to better and than"));
                }
                Ok(vec![claim(self.id.clone(), self.text.clone(), None, left.clone(), right.clone())])
            }
            _ => Err(problem("expected better and than, or left and right")),
        }
    }
}

impl Side {
    fn check(&self) -> Result<(), String> {
        let given = [self.metric.is_some(), self.measured.is_some(), self.point.is_some(), self.value.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err("expected one of metric, measured, point and value".into());
        }
        match (self.value.is_some(), self.model.is_empty()) {
            (true, false) => return Err("a value belongs to no model".into()),
            (false, true) => return Err("field model is missing".into()),
            _ => {}
        }
        let measured = self.measured.as_deref().map_or(Ok(()), |id| Measurement::of(id).map(|_| ()));
        let figure = self.point.as_ref().map_or(Ok(()), |point| Curve::of(&point.figure).map(|_| ()));
        measured.and(figure).map_err(|unknown| unknown.to_string())
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        let what = match (&self.metric, &self.measured, &self.point) {
            (Some(metric), _, _) => metric.to_string(),
            (_, Some(id), _) => Measurement::of(id).map_or_else(|_| id.clone(), Measurement::title),
            (_, _, Some(Point { figure, line, x })) => {
                let line = if line.is_empty() { String::new() } else { format!(", {line},") };
                format!(
                    "{}{line} at {x}",
                    Curve::of(figure).map_or_else(|_| figure.clone(), |curve| curve.title().into())
                )
            }
            (None, None, None) => return self.value.unwrap_or_default().to_string(),
        };
        format!("{what} of {}", crate::record::name(&self.model, &self.variant))
    }
}
