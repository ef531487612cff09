//! What training was like, epoch by epoch, and what quality costs.

use super::names::models;
use super::plot::{Plot, Scale, Series, Style};
use crate::record::{Record, Run, name};

/// A series for each model of the first seed that has more than one point.
fn by_epoch(records: &[&Record], runs: &[&Run], points: impl Fn(&Run) -> Vec<(f64, f64)>) -> Vec<Series> {
    let (models, first_seed) = (models(records), runs.iter().map(|r| r.seed).min());
    let runs = runs.iter().filter(|r| Some(r.seed) == first_seed).map(|run| (run, points(run)));
    runs.filter(|(_, points)| points.len() > 1)
        .map(|(run, points)| {
            let of = (run.model.as_str(), run.variant.as_str());
            let colour = models.iter().position(|model| *model == of).unwrap_or_default();
            Series { name: name(&run.model, &run.variant), colour, points }
        })
        .collect()
}

/// The validated metric by epoch.
pub(super) fn validation(records: &[&Record], runs: &[&Run]) -> Option<Plot> {
    let points = |run: &Run| run.curve.iter().filter_map(|e| Some((f64::from(e.epoch), e.validation?))).collect();
    let series = by_epoch(records, runs, points);
    let metric = runs.iter().find_map(|r| r.validation.as_ref()).map_or("validation", |v| v.metric.as_str());
    (!series.is_empty()).then(|| Plot {
        title: "Learning curves".into(),
        x_label: "epoch".into(),
        y_label: format!("{metric}, validation"),
        x_scale: Scale::Linear,
        style: Style::Line,
        series,
    })
}

/// Losses of different models have different units: each is shown as a share of its first value.
pub(super) fn losses(records: &[&Record], runs: &[&Run]) -> Option<Plot> {
    let points = |run: &Run| -> Vec<(f64, f64)> {
        let losses = || run.curve.iter().filter_map(|e| Some((f64::from(e.epoch), e.loss?)));
        let first = losses().next().map_or(1.0, |(_, loss)| loss);
        losses().map(|(epoch, loss)| (epoch, loss / first)).filter(|(_, share)| share.is_finite()).collect()
    };
    let series = by_epoch(records, runs, points);
    (!series.is_empty()).then(|| Plot {
        title: "Convergence".into(),
        x_label: "epoch".into(),
        y_label: "training loss, share of the first epoch's".into(),
        x_scale: Scale::Linear,
        style: Style::Line,
        series,
    })
}

/// What quality costs.
#[derive(Clone, Copy)]
pub(super) enum Cost {
    /// Time of a list.
    Latency,
    /// What a search reads of an item.
    ItemBytes,
}

/// The first metric against a cost, with the front of what no other model beats in both; nothing for fewer than two models.
pub(super) fn cost(records: &[&Record], runs: &[&Run], cost: Cost) -> Option<Plot> {
    let metric = &records.first()?.metric;
    let series: Vec<Series> = models(records)
        .into_iter()
        .enumerate()
        .filter_map(|(colour, (model, variant))| {
            let record = records.iter().find(|r| r.model == model && r.variant == variant && &r.metric == metric)?;
            let run = runs.iter().find(|r| r.model == model && r.variant == variant)?;
            let x = match cost {
                Cost::Latency => run.query_us,
                Cost::ItemBytes => run.item_bytes? as f64 / run.n_items? as f64,
            };
            (x > 0.0).then(|| Series { name: name(model, variant), colour, points: vec![(x, record.value)] })
        })
        .collect();
    let (title, x_label) = match cost {
        Cost::Latency => ("Quality against latency", "µs a query, one thread"),
        Cost::ItemBytes => ("Quality against size", "bytes an item"),
    };
    (series.len() > 1).then(|| Plot {
        title: title.into(),
        x_label: x_label.into(),
        y_label: metric.clone(),
        x_scale: Scale::Log,
        style: Style::Pareto,
        series,
    })
}
