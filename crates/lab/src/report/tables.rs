//! The tables of a report.

use std::collections::BTreeMap;

use rectify_models::settings::describe;

use super::names::{bytes, metrics, microseconds, models, number, seconds};
use super::table::{Cell, Table};
use crate::record::{Claim, Record, Run, Verdicts, name};

/// Every model with every metric and what it costs.
pub(super) fn quality(records: &[&Record], runs: &[&Run]) -> Table {
    let metrics = metrics(records);
    let best: BTreeMap<&str, f64> = metrics
        .iter()
        .map(|&m| (m, records.iter().filter(|r| r.metric == m).map(|r| r.value).fold(f64::NEG_INFINITY, f64::max)))
        .collect();
    let mut header = vec!["model".to_owned()];
    header.extend(metrics.iter().map(|&m| m.to_owned()));
    header.extend(["train", "train, CPU", "size", "query"].map(str::to_owned));
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
                        verdict: None,
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
pub(super) fn against_paper(records: &[&Record]) -> Option<Table> {
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

/// What was claimed, how it came out, and what decided, if anything could be decided.
pub(super) fn claims(claims: &[Claim]) -> Option<Table> {
    let row = |claim: &Claim| {
        vec![
            Cell::new(claim.text.clone()),
            Cell { verdict: Some(claim.verdict), ..Cell::new(claim.verdict.name()) },
            Cell::new(claim.numbers()),
        ]
    };
    let header = ["what is claimed", "verdict", "greater side, other side, decided by"].map(str::to_owned).to_vec();
    (!claims.is_empty()).then(|| Table {
        caption: format!("Claims: {}", Verdicts::of(claims)),
        n_text: 3,
        header,
        rows: claims.iter().map(row).collect(),
    })
}

/// Every setting that was tried on the validation data, the chosen one marked, if anything was searched: once a model, since
/// what the first split chooses holds for all.
pub(super) fn searches(runs: &[&Run]) -> Option<Table> {
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
            vec![Cell::new(model.clone()), Cell::new(describe(&trial.settings)), value]
        }));
        shown.push(model);
    }
    let header = ["model", "tried", "validation"].map(str::to_owned).to_vec();
    (!rows.is_empty()).then(|| Table { caption: "Search on validation data".into(), n_text: 2, header, rows })
}

/// Single numbers that were measured beside the quality; the mean of the seeds.
pub(super) fn measured(runs: &[&Run]) -> Option<Table> {
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
            Cell::new(if values.is_empty() { "–".to_owned() } else { number(mean) })
        }));
        row
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let mut header = vec!["model".to_owned()];
    header.extend(names.iter().map(|&name| name.to_owned()));
    (!rows.is_empty()).then(|| Table { caption: "Measured beside".into(), n_text: 1, header, rows })
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::record::sample::sample;
    use crate::report::view::{Section, sections};

    fn quality(section: &Section) -> &Table {
        section.tables.iter().find(|table| table.caption == "Quality and cost").unwrap()
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
        let table = quality(&sections[0]);
        let best: Vec<&str> = table.rows.iter().filter(|r| r[1].best).map(|r| r[0].text.as_str()).collect();
        assert_eq!(best, ["light-gcn"]);
    }

    #[test]
    fn published_values_are_compared_with_relative_differences() {
        let sections = sections(&sample());
        let table = &sections[0].tables[0];
        assert_eq!(table.caption, "Against published values");
        // (0.1806 - 0.1824) / 0.1824 = -0.99 %
        assert_eq!(table.rows[0][5].text, "-1.0 %");
    }

    #[test]
    fn a_model_without_run_shows_a_dash_for_its_costs() {
        let mut results = sample();
        results.runs.clear();
        let sections = sections(&results);
        assert_eq!(quality(&sections[0]).rows[0].last().map(|c| c.text.as_str()), Some("–"));
        assert!(sections[0].plots.is_empty());
    }
}
