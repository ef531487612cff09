//! report.md: tables that read well as plain text too.

use std::fmt::Write;

use super::table::{Cell, Table, column_widths};
use super::view::Section;
use crate::record::Verdict;

/// The whole report: tables first, how they were made last.
pub(super) fn render(sections: &[Section], notes: &[String], command: &str) -> String {
    let mut titles: Vec<&str> = sections.iter().map(|section| section.title.as_str()).collect();
    titles.dedup();
    let mut out = String::new();
    let _ = match titles[..] {
        [one] => writeln!(out, "# {one}"),
        _ => writeln!(out, "# Results"),
    };
    for section in sections {
        let _ = match (titles.len(), sections.len()) {
            (1, 1) => writeln!(out, "\nProtocol: {}.", section.protocol),
            (1, _) => writeln!(out, "\n## {}", section.protocol),
            _ => writeln!(out, "\n## {}: {}", section.title, section.protocol),
        };
        for table in &section.tables {
            let _ = write!(out, "\n### {}\n\n{}", table.caption, render_table(table));
        }
    }
    if !notes.is_empty() {
        out.push_str("\n## Left out\n\n");
        for note in notes {
            let _ = writeln!(out, "- {note}");
        }
    }
    out.push_str("\n## How it was made\n\n");
    let _ = writeln!(out, "- command: `{command}`");
    let mut facts: Vec<(&str, &str)> = Vec::new();
    for (name, value) in sections.iter().flat_map(|section| &section.facts) {
        if !facts.contains(&(*name, value.as_str())) {
            facts.push((name, value));
            let _ = writeln!(out, "- {name}: {value}");
        }
    }
    out.push_str("- times: of a machine that other work may share, so CPU time is the one to compare\n");
    out
}

/// A table with aligned columns.
fn render_table(table: &Table) -> String {
    let cells: Vec<Vec<String>> = std::iter::once(table.header.iter().map(|h| escape(h)).collect())
        .chain(table.rows.iter().map(|row| row.iter().map(render_cell).collect()))
        .collect();
    let widths = column_widths(&cells);
    let mut out = String::new();
    for (line, row) in cells.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ =
                if column < table.n_text { write!(out, "| {cell:<width$} ") } else { write!(out, "| {cell:>width$} ") };
        }
        out.push_str("|\n");
        if line == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(width + 1);
                let _ = if column < table.n_text { write!(out, "|{dashes}-") } else { write!(out, "|{dashes}:") };
            }
            out.push_str("|\n");
        }
    }
    out
}

fn render_cell(cell: &Cell) -> String {
    let text = escape(&cell.text);
    match cell.verdict {
        Some(Verdict::Level) => format!("*{text}*"),
        Some(Verdict::Fails) => format!("**{text}**"),
        Some(Verdict::Holds) | None => {
            if cell.best {
                format!("**{text}**")
            } else {
                text
            }
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::sample;
    use crate::report::view;

    #[test]
    fn every_row_of_a_table_has_the_width_of_its_header() {
        let text = render(&view::sections(&sample()), &[], "cargo xtask reproduce");
        let mut width = None;
        for line in text.lines() {
            if line.starts_with('|') {
                let now = line.chars().count();
                assert_eq!(*width.get_or_insert(now), now, "{line}");
            } else {
                width = None;
            }
        }
        assert!(text.contains("| light-gcn "), "{text}");
        assert!(text.contains("| LightGCN <beats> MF & PopRank | holds "), "{text}");
        let place = |part: &str| text.find(part).unwrap();
        let order = [
            place("Against published values"),
            place("### Claims"),
            place("### Quality and cost"),
            place("- command: `cargo xtask"),
        ];
        assert!(order.is_sorted(), "{order:?} in {text}");
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        assert_eq!(escape("a|b"), "a\\|b");
    }
}
