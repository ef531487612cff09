//! One view of the results, which terminal, Markdown and HTML each render in their way.

use super::curves::Cost;
use super::plot::Plot;
use super::table::Table;
use super::{curves, figure_plots, tables, test_curve};
use crate::record::{Claim, Record, Results, Run};

/// All that is said about one paper on one data set.
pub(super) struct Section {
    pub(super) title: String,
    /// How data were split and what was ranked.
    pub(super) protocol: String,
    /// Seeds, device, commit.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
}

/// Turns results into sections, in the order of their records.
pub(super) fn sections(results: &Results) -> Vec<Section> {
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
            let claims: Vec<Claim> = results.claims.iter().filter(|c| c.paper == paper).cloned().collect();
            let first = !told.contains(&(paper, dataset));
            told.push((paper, dataset));
            section(paper, dataset, protocol, &records, &runs, first.then_some(&claims))
        })
        .collect()
}

/// `claims` with the first protocol of an experiment, which tells, too, what no protocol changes: searches and measurements.
fn section(
    paper: &str,
    dataset: &str,
    protocol: &str,
    records: &[&Record],
    runs: &[&Run],
    claims: Option<&Vec<Claim>>,
) -> Section {
    let mut facts = Vec::new();
    if let Some(first) = records.first() {
        facts.push(("seeds", first.seeds.to_string()));
        facts.push(("device", first.device.clone()));
        facts.push(("commit", first.commit.clone()));
    }
    let (tested, finished): (Vec<&Record>, Vec<&Record>) = records.iter().partition(|r| r.epoch().is_some());
    let mut shown: Vec<Table> = tables::against_paper(records).into_iter().collect();
    shown.extend(claims.and_then(|claims| tables::claims(claims)));
    shown.push(tables::quality(&finished, runs));
    shown.extend(test_curve::table(&tested));
    let records = finished.as_slice();
    let mut plots = vec![
        curves::cost(records, runs, Cost::Latency),
        curves::cost(records, runs, Cost::ItemBytes),
        test_curve::plot(&tested, records),
    ];
    if claims.is_some() {
        shown.extend(tables::searches(runs));
        shown.extend(tables::measured(runs));
        let along = figure_plots::all(runs);
        shown.extend(along.iter().map(figure_plots::table));
        plots.extend([curves::validation(records, runs), curves::losses(records, runs)]);
        plots.extend(along.iter().map(|shown| Some(figure_plots::plot(shown))));
    }
    Section {
        title: format!("{paper} on {dataset}"),
        protocol: protocol.to_owned(),
        facts,
        tables: shown,
        plots: plots.into_iter().flatten().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::sample;

    #[test]
    fn what_no_protocol_changes_is_told_with_the_first_alone() {
        let mut results = sample();
        let mut others = results.records.clone();
        for record in &mut others {
            record.protocol = "given split, all items".into();
        }
        results.records.extend(others);
        let sections = sections(&results);
        let captions: Vec<Vec<&str>> =
            sections.iter().map(|s| s.tables.iter().map(|t| t.caption.as_str()).collect()).collect();
        let both = ["Against published values", "Quality and cost"];
        let first = [both[0], "Claims: holds 1 / level 0 / fails 0", both[1], "Search on validation data"];
        assert_eq!(captions, [first.as_slice(), &both]);
        assert!(sections[0].plots.iter().any(|plot| plot.title == "Convergence"));
        assert!(sections[1].plots.iter().all(|plot| plot.title.starts_with("Quality against")));
    }
}
