//! Values that were tested along training: told apart from those of finished models, since nothing was chosen by them.

use super::names::{metrics, models};
use super::plot::{Plot, Scale, Series, Style};
use super::table::{Cell, Table};
use crate::record::Record;

/// Every tested epoch of every model, if any was tested.
pub(super) fn table(tested: &[&Record]) -> Option<Table> {
    let metrics = metrics(tested);
    let mut header = vec!["model".to_owned(), "epoch".to_owned()];
    header.extend(metrics.iter().map(|&metric| metric.to_owned()));
    let rows: Vec<Vec<Cell>> = models(tested)
        .into_iter()
        .filter_map(|(model, variant)| {
            let of: Vec<&&Record> = tested.iter().filter(|r| r.model == model && r.variant == variant).collect();
            let mut row = vec![Cell::new(model), Cell::new(of.first()?.epoch()?.to_string())];
            row.extend(metrics.iter().map(|&metric| {
                let found = of.iter().find(|r| r.metric == metric);
                Cell::new(found.map_or_else(|| "–".into(), |r| format!("{:.4}", r.value)))
            }));
            Some(row)
        })
        .collect();
    (!rows.is_empty()).then(|| Table { caption: "Test values along training".into(), n_text: 1, header, rows })
}

/// The first metric against epochs, one line a model; `finished` gives the colours.
pub(super) fn plot(tested: &[&Record], finished: &[&Record]) -> Option<Plot> {
    let metric = tested.first()?.metric.as_str();
    let series = models(finished)
        .into_iter()
        .enumerate()
        .map(|(colour, (model, _))| {
            let own = tested.iter().filter(|r| r.model == model && r.metric == metric);
            let mut points: Vec<(f64, f64)> = own.filter_map(|r| Some((f64::from(r.epoch()?), r.value))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series { name: model.to_owned(), colour, points }
        })
        .filter(|series| series.points.len() > 1)
        .collect::<Vec<_>>();
    (!series.is_empty()).then(|| Plot {
        title: "Along training".into(),
        x_label: "epoch".into(),
        y_label: format!("{metric}, test"),
        x_scale: Scale::Linear,
        style: Style::Line,
        series,
    })
}

#[cfg(test)]
mod tests {
    use crate::record::at_epoch;
    use crate::record::sample::sample;
    use crate::report::view;

    #[test]
    fn tested_epochs_have_a_table_and_a_plot_of_their_own() {
        let mut results = sample();
        let last = results.records.len() - 2;
        for (epoch, value) in [(20, 0.13), (5, 0.11)] {
            let mut record = results.records[last].clone();
            (record.variant, record.value) = (at_epoch(epoch), value);
            results.records.push(record);
        }
        let section = view::sections(&results).remove(0);
        let finished = section.tables.iter().find(|t| t.caption == "Quality and cost");
        assert_eq!(finished.map(|t| t.rows.len()), Some(3), "finished models alone");
        let course = section.tables.iter().find(|t| t.caption == "Test values along training");
        let rows: Vec<Vec<&str>> = course
            .map(|t| t.rows.iter().map(|row| row.iter().map(|c| c.text.as_str()).collect()).collect())
            .unwrap_or_default();
        assert_eq!(rows, [["light-gcn", "20", "0.1300"], ["light-gcn", "5", "0.1100"]]);
        let plot = section.plots.iter().find(|p| p.title == "Along training");
        let points = plot.map(|p| (p.series.len(), p.series[0].colour, p.series[0].points.clone()));
        assert_eq!(points, Some((1, 2, vec![(5.0, 0.11), (20.0, 0.13)])));
    }
}
