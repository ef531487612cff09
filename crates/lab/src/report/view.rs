//! One view of the results, which terminal, Markdown and HTML each render in their way.

use std::collections::BTreeMap;

use super::plot::{Plot, Scale, Series, Style};
use super::{course, curves, figures};
use crate::record::{Claim, Record, Results, Run};

/// All that is said about one paper on one data set.
pub(crate) struct Section {
    pub(crate) title: String,
    /// Protocol, device, seeds, commit.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) tables: Vec<Table>,
    pub(crate) plots: Vec<Plot>,
    pub(crate) claims: Vec<Claim>,
}

/// A table; the first `n_text` columns hold words, the others numbers.
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) n_text: usize,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// The best of its column.
    pub(crate) best: bool,
    /// Small print: an interval.
    pub(crate) small: Option<String>,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), best: false, small: None }
    }
}

/// Turns results into sections, in the order of their records.
pub(crate) fn sections(results: &Results) -> Vec<Section> {
    let mut keys: Vec<(&str, &str, &str)> = Vec::new();
    for record in &results.records {
        let key = (record.paper.as_str(), record.dataset.as_str(), record.protocol.as_str());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut told = Vec::new();
    keys.into_iter()
        .map(|(paper, dataset, protocol)| {
            let records: Vec<&Record> = results
                .records
                .iter()
                .filter(|r| r.paper == paper && r.dataset == dataset && r.protocol == protocol)
                .collect();
            let runs: Vec<&Run> = results.runs.iter().filter(|r| r.paper == paper && r.dataset == dataset).collect();
            let claims = if told.contains(&paper) {
                Vec::new()
            } else {
                results.claims.iter().filter(|c| c.paper == paper).cloned().collect()
            };
            told.push(paper);
            section(paper, dataset, protocol, &records, &runs, claims)
        })
        .collect()
}

fn section(
    paper: &str,
    dataset: &str,
    protocol: &str,
    records: &[&Record],
    runs: &[&Run],
    claims: Vec<Claim>,
) -> Section {
    let mut facts = vec![("protocol", protocol.to_owned())];
    if let Some(first) = records.first() {
        facts.push(("seeds", first.seeds.to_string()));
        facts.push(("device", first.device.clone()));
        facts.push(("commit", first.commit.clone()));
    }
    let (tested, finished): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|r| r.epoch().is_some());
    let mut tables = vec![quality(&finished, runs)];
    tables.extend(against_paper(records));
    tables.extend(course::table(&tested));
    tables.extend(searches(runs));
    tables.extend(measured(runs));
    let along = figures::all(runs);
    tables.extend(along.iter().map(figures::table));
    let records = finished.as_slice();
    let plots = [
        curves::validation(records, runs),
        course::plot(&tested, records),
        curves::losses(records, runs),
        cost_plot(records, runs, Cost::Latency),
        cost_plot(records, runs, Cost::Bytes),
    ];
    Section {
        title: format!("{paper} on {dataset}"),
        facts,
        tables,
        plots: plots.into_iter().flatten().chain(along.iter().map(figures::plot)).collect(),
        claims,
    }
}

/// Models of some records, in their order.
pub(super) fn models<'a>(records: &[&'a Record]) -> Vec<(&'a str, &'a str)> {
    let mut models = Vec::new();
    for record in records {
        let key = (record.model.as_str(), record.variant.as_str());
        if !models.contains(&key) {
            models.push(key);
        }
    }
    models
}

/// Metrics of some records, in their order.
pub(super) fn metrics<'a>(records: &[&'a Record]) -> Vec<&'a str> {
    let mut metrics = Vec::new();
    for record in records {
        if !metrics.contains(&record.metric.as_str()) {
            metrics.push(record.metric.as_str());
        }
    }
    metrics
}

/// Every model with every metric and what it costs.
fn quality(records: &[&Record], runs: &[&Run]) -> Table {
    let metrics = metrics(records);
    let best: BTreeMap<&str, f64> = metrics
        .iter()
        .map(|&m| (m, records.iter().filter(|r| r.metric == m).map(|r| r.value).fold(f64::NEG_INFINITY, f64::max)))
        .collect();
    let mut header = vec!["model".to_owned()];
    header.extend(metrics.iter().map(|&m| m.to_owned()));
    header.extend(["train", "train CPU", "size", "query"].map(str::to_owned));
    // Only where something is known of them.
    let counted = runs.iter().any(|r| r.n_params.is_some());
    let timed = runs.iter().any(|r| r.all_users_seconds.is_some());
    let weighed = runs.iter().any(|r| r.item_bytes.is_some());
    header.extend(counted.then(|| "parameters".to_owned()));
    header.extend(weighed.then(|| "items alone".to_owned()));
    header.extend(timed.then(|| "all users, CPU".to_owned()));
    let rows = models(records)
        .into_iter()
        .map(|(model, variant)| {
            let mut row = vec![Cell::new(name(model, variant))];
            for &metric in &metrics {
                let found = records.iter().find(|r| r.model == model && r.variant == variant && r.metric == metric);
                row.push(found.map_or_else(
                    || Cell::new("–"),
                    |r| Cell {
                        text: format!("{:.4}", r.value),
                        best: best[metric] == r.value,
                        small: r.ci95.map(|[low, high]| format!("{low:.4} to {high:.4}")),
                    },
                ));
            }
            let of: Vec<&&Run> = runs.iter().filter(|r| r.model == model && r.variant == variant).collect();
            let mean = |value: fn(&Run) -> Option<f64>| {
                let values: Option<Vec<f64>> = of.iter().map(|r| value(r)).collect();
                values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
            };
            for (value, unit) in [
                (mean(|r| Some(r.train_seconds)), seconds as fn(f64) -> String),
                (mean(|r| r.train_cpu_seconds), seconds),
                (mean(|r| Some(r.model_bytes as f64)), bytes),
                (mean(|r| Some(r.query_us)), microseconds),
            ] {
                row.push(Cell::new(value.map_or_else(|| "–".into(), unit)));
            }
            if counted {
                let n = mean(|r| r.n_params.map(|n| n as f64));
                row.push(Cell::new(n.map_or_else(|| "–".into(), |n| format!("{:.2} M", n / 1e6))));
            }
            if weighed {
                let n = mean(|r| r.item_bytes.map(|n| n as f64));
                row.push(Cell::new(n.map_or_else(|| "–".into(), bytes)));
            }
            if timed {
                row.push(Cell::new(mean(|r| r.all_users_seconds).map_or_else(|| "–".into(), seconds)));
            }
            row
        })
        .collect();
    Table { caption: "Quality and cost".into(), n_text: 1, header, rows }
}

/// *paper | ours | difference*, if any value was published.
fn against_paper(records: &[&Record]) -> Option<Table> {
    let rows: Vec<Vec<Cell>> = records
        .iter()
        .filter_map(|r| {
            let paper = r.paper_value?;
            let relative = (r.value - paper) / paper * 100.0;
            Some(vec![
                Cell::new(name(&r.model, &r.variant)),
                Cell::new(r.metric.clone()),
                Cell::new(r.table.clone().unwrap_or_default()),
                Cell::new(format!("{paper:.4}")),
                Cell::new(format!("{:.4}", r.value)),
                Cell::new(format!("{relative:+.1} %")),
            ])
        })
        .collect();
    let header = ["model", "metric", "source", "paper", "ours", "difference"].map(str::to_owned).to_vec();
    (!rows.is_empty()).then(|| Table { caption: "Against published values".into(), n_text: 3, header, rows })
}

/// Every setting that was tried on the validation data, the chosen one marked, if anything was searched: once a model, since
/// what the first split chooses holds for all.
fn searches(runs: &[&Run]) -> Option<Table> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut shown: Vec<String> = Vec::new();
    for run in runs.iter().filter(|r| !r.search.is_empty()) {
        let model = name(&run.model, &run.variant);
        if shown.contains(&model) {
            continue;
        }
        let best = run.search.iter().map(|trial| trial.value).fold(f64::NEG_INFINITY, f64::max);
        rows.extend(run.search.iter().map(|trial| {
            let value = Cell { best: trial.value == best, ..Cell::new(format!("{:.4}", trial.value)) };
            vec![Cell::new(model.clone()), Cell::new(settings(&trial.settings)), value]
        }));
        shown.push(model);
    }
    let header = ["model", "tried", "validation"].map(str::to_owned).to_vec();
    (!rows.is_empty()).then(|| Table { caption: "Search on validation data".into(), n_text: 2, header, rows })
}

/// Single numbers that were measured beside the quality; the mean of the seeds.
fn measured(runs: &[&Run]) -> Option<Table> {
    let mut names: Vec<&str> = runs.iter().flat_map(|run| run.measured.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let mut of: Vec<(&str, &str)> = Vec::new();
    for run in runs.iter().filter(|run| !run.measured.is_empty()) {
        let key = (run.model.as_str(), run.variant.as_str());
        if !of.contains(&key) {
            of.push(key);
        }
    }
    let rows = of.into_iter().map(|(model, variant)| {
        let mut row = vec![Cell::new(name(model, variant))];
        row.extend(names.iter().map(|&name| {
            let own = runs.iter().filter(|run| run.model == model && run.variant == variant);
            let values: Vec<f64> = own.filter_map(|run| run.measured.get(name).copied()).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            Cell::new(if values.is_empty() { "–".to_owned() } else { figures::number(mean) })
        }));
        row
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let mut header = vec!["model".to_owned()];
    header.extend(names.iter().map(|&name| name.to_owned()));
    (!rows.is_empty()).then(|| Table { caption: "Measured beside".into(), n_text: 1, header, rows })
}

/// Characters of the widest cell of each column; every row has as many cells as the first.
pub(crate) fn column_widths(cells: &[Vec<String>]) -> Vec<usize> {
    let n_columns = cells.first().map_or(0, Vec::len);
    (0..n_columns).map(|c| cells.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect()
}

/// A JSON object as `a = 1, b.c = 2`: dots lead to inner tables, as in an experiment file.
pub(crate) fn settings(value: &serde_json::Value) -> String {
    fn leaves(path: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        match value.as_object() {
            Some(map) => map.iter().for_each(|(key, value)| {
                leaves(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, out);
            }),
            None => out.push(format!("{path} = {value}")),
        }
    }
    let mut out = Vec::new();
    leaves("", value, &mut out);
    out.join(", ")
}

#[derive(Clone, Copy)]
enum Cost {
    Latency,
    Bytes,
}

/// The first metric against a cost; nothing for fewer than two models.
fn cost_plot(records: &[&Record], runs: &[&Run], cost: Cost) -> Option<Plot> {
    let metric = &records.first()?.metric;
    let series: Vec<Series> = models(records)
        .into_iter()
        .enumerate()
        .filter_map(|(colour, (model, variant))| {
            let record = records.iter().find(|r| r.model == model && r.variant == variant && &r.metric == metric)?;
            let run = runs.iter().find(|r| r.model == model && r.variant == variant)?;
            let x = match cost {
                Cost::Latency => run.query_us,
                Cost::Bytes => run.model_bytes as f64,
            };
            (x > 0.0).then(|| Series { name: name(model, variant), colour, points: vec![(x, record.value)] })
        })
        .collect();
    let (title, x_label) = match cost {
        Cost::Latency => ("Quality against latency", "µs per query, one thread"),
        Cost::Bytes => ("Quality against size", "bytes of the model's file"),
    };
    (series.len() > 1).then(|| Plot {
        title: title.into(),
        x_label: x_label.into(),
        y_label: metric.clone(),
        x_scale: Scale::Log,
        style: Style::Dots,
        series,
    })
}

/// A model's name in tables.
pub(crate) fn name(model: &str, variant: &str) -> String {
    if variant.is_empty() { model.to_owned() } else { format!("{model} ({variant})") }
}

/// Seconds, as a person reads them.
pub(crate) fn seconds(s: f64) -> String {
    if s < 0.0995 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 99.5 {
        format!("{s:.1} s")
    } else if s < 5970.0 {
        format!("{:.0} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3600.0)
    }
}

fn bytes(b: f64) -> String {
    if b < 1e3 {
        format!("{b:.0} B")
    } else if b < 1e6 {
        format!("{:.1} kB", b / 1e3)
    } else if b < 1e9 {
        format!("{:.1} MB", b / 1e6)
    } else {
        format!("{:.2} GB", b / 1e9)
    }
}

fn microseconds(us: f64) -> String {
    if us < 100.0 {
        format!("{us:.1} µs")
    } else if us < 1e4 {
        format!("{us:.0} µs")
    } else {
        format!("{:.1} ms", us / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn units_are_chosen_by_size() {
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(65.04), "65.0 s");
        assert_eq!(seconds(600.0), "10 min");
        assert_eq!(bytes(1_234_567.0), "1.2 MB");
        assert_eq!(microseconds(12_345.0), "12.3 ms");
    }

    #[test]
    fn settings_are_written_as_in_an_experiment_file() {
        let value = serde_json::json!({"a": {"b": 0.1, "c": {"d": "x"}}, "e": 2});
        assert_eq!(settings(&value), "a.b = 0.1, a.c.d = \"x\", e = 2");
    }

    #[test]
    fn every_trial_is_shown_once_and_the_chosen_one_marked() {
        let sample = sample();
        assert!(sample.runs.iter().filter(|run| !run.search.is_empty()).count() > 1, "several seeds carry the search");
        let sections = sections(&sample);
        let table = sections[0].tables.iter().find(|t| t.caption == "Search on validation data");
        let rows: Vec<(&str, &str, bool)> = table
            .map(|t| t.rows.iter().map(|r| (r[0].text.as_str(), r[1].text.as_str(), r[2].best)).collect())
            .unwrap_or_default();
        let mut once = rows.clone();
        once.dedup();
        assert_eq!(rows, once);
        assert_eq!(rows[0].1, "learning_rate = 0.001");
        assert!(rows[0].2 && !rows[1].2, "{rows:?}");
        let models: Vec<&str> = rows.iter().map(|row| row.0).collect();
        assert!(rows.len() == 2 * models.chunk_by(|a, b| a == b).count(), "two trials a model: {rows:?}");
    }

    #[test]
    fn the_best_value_of_each_metric_is_marked() {
        let sections = sections(&sample());
        let table = &sections[0].tables[0];
        let best: Vec<&str> = table.rows.iter().filter(|r| r[1].best).map(|r| r[0].text.as_str()).collect();
        assert_eq!(best, ["light-gcn"]);
    }

    #[test]
    fn published_values_are_compared_with_relative_differences() {
        let sections = sections(&sample());
        let table = &sections[0].tables[1];
        assert_eq!(table.caption, "Against published values");
        // (0.1806 - 0.1824) / 0.1824 = -0.99 %
        assert_eq!(table.rows[0][5].text, "-1.0 %");
    }

    #[test]
    fn a_model_without_run_shows_a_dash_for_its_costs() {
        let mut results = sample();
        results.runs.clear();
        let sections = sections(&results);
        assert_eq!(sections[0].tables[0].rows[0].last().map(|c| c.text.as_str()), Some("–"));
        assert!(sections[0].plots.is_empty());
    }
}
