//! Curves that models were measured along, each as a table and a plot.

use super::names::number;
use super::plot::{Plot, Scale, Series, Style};
use super::table::{Cell, Table};
use crate::record::{Run, name};

/// Lines that are shown together.
pub(super) struct Shown<'a> {
    caption: String,
    x_label: &'a str,
    y_label: &'a str,
    lines: Vec<(String, &'a [[f64; 2]])>,
}

/// The figures of the first seed: unnamed lines of one title together, those with names by model.
pub(super) fn all<'a>(runs: &[&'a Run]) -> Vec<Shown<'a>> {
    let first_seed = runs.iter().map(|run| run.seed).min();
    let mut all: Vec<Shown<'a>> = Vec::new();
    for run in runs.iter().filter(|run| Some(run.seed) == first_seed) {
        let model = name(&run.model, &run.variant);
        for figure in &run.figures {
            for line in &figure.lines {
                let (caption, label) = match line.name.as_str() {
                    "" => (figure.title.clone(), model.clone()),
                    own => (format!("{}: {model}", figure.title), own.to_owned()),
                };
                let points = (label, line.points.as_slice());
                match all.iter_mut().find(|shown| shown.caption == caption) {
                    Some(shown) => shown.lines.push(points),
                    None => all.push(Shown {
                        caption,
                        x_label: &figure.x_label,
                        y_label: &figure.y_label,
                        lines: vec![points],
                    }),
                }
            }
        }
    }
    all
}

/// A row for each x, a column for each line.
pub(super) fn table(shown: &Shown<'_>) -> Table {
    let mut xs: Vec<f64> = shown.lines.iter().flat_map(|(_, points)| points.iter().map(|[x, _]| *x)).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let mut header = vec![shown.x_label.to_owned()];
    header.extend(shown.lines.iter().map(|(label, _)| label.clone()));
    let rows = xs.into_iter().map(|x| {
        let at = |points: &[[f64; 2]]| points.iter().find(|[at, _]| *at == x).map(|[_, y]| number(*y));
        let cells = shown.lines.iter().map(|(_, points)| Cell::new(at(points).unwrap_or_else(|| "–".into())));
        std::iter::once(Cell::new(x.to_string())).chain(cells).collect()
    });
    Table { caption: format!("{} ({})", shown.caption, shown.y_label), n_text: 0, header, rows: rows.collect() }
}

/// The same as lines; x by its logarithm where it spans more than ten times.
pub(super) fn plot(shown: &Shown<'_>) -> Plot {
    let xs = || shown.lines.iter().flat_map(|(_, points)| points.iter().map(|[x, _]| *x));
    let (least, most) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
    let x_scale = if least > 0.0 && most > 10.0 * least { Scale::Log } else { Scale::Linear };
    let line = |(colour, (name, points)): (usize, &(String, &[[f64; 2]]))| Series {
        name: name.clone(),
        colour,
        points: points.iter().map(|[x, y]| (*x, *y)).collect(),
    };
    Plot {
        title: shown.caption.clone(),
        x_label: shown.x_label.to_owned(),
        y_label: shown.y_label.to_owned(),
        x_scale,
        style: Style::Line,
        series: shown.lines.iter().enumerate().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use crate::record::sample::sample;
    use crate::record::{Figure, Line};
    use crate::report::view;

    fn figure(title: &str, name: &str, points: &[[f64; 2]]) -> Figure {
        let lines = vec![Line { name: name.into(), points: points.to_vec() }];
        Figure { id: title.into(), title: title.into(), x_label: "batch".into(), y_label: "µs".into(), lines }
    }

    #[test]
    fn unnamed_lines_of_models_share_a_table_and_named_ones_do_not() {
        let mut results = sample();
        results.runs[1].figures =
            vec![figure("lists", "", &[[1.0, 20.0], [64.0, 3.5]]), figure("stages", "scoring", &[[1.0, 0.25]])];
        results.runs[2].figures = vec![figure("lists", "", &[[64.0, 400.0]])];
        results.runs[2].measured.insert("multiply-adds a pair".into(), 705.25);
        assert_eq!(results.runs[1].point("stages", "scoring", 1.0), Some(0.25));
        assert_eq!(results.runs[1].point("stages", "top-k", 1.0), None);
        let section = view::sections(&results).remove(0);
        let table = |caption: &str| -> Vec<Vec<String>> {
            let table = section.tables.iter().find(|table| table.caption == caption);
            let rows = table.into_iter().flat_map(|table| &table.rows);
            rows.map(|row| row.iter().map(|cell| cell.text.clone()).collect()).collect()
        };
        assert_eq!(table("lists (µs)"), [["1", "20.00", "–"], ["64", "3.50", "400"]]);
        assert_eq!(table("stages: mf-bpr (µs)"), [["1", "0.2500"]]);
        assert_eq!(table("Measured beside"), [["light-gcn", "705"]]);
        assert!(section.plots.iter().any(|plot| plot.title == "lists" && plot.series.len() == 2));
    }
}
