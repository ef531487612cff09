//! Tables for a terminal.

use std::fmt::Write;

use super::table::{Table, column_widths};
use super::view::Section;

/// All sections as plain text.
pub(super) fn render(sections: &[Section], notes: &[String]) -> String {
    let mut out = String::new();
    for section in sections {
        let _ = writeln!(out, "\n{}\n{}", section.title, "─".repeat(section.title.chars().count()));
        let _ = writeln!(out, "  protocol  {}", section.protocol);
        for (name, value) in &section.facts {
            let _ = writeln!(out, "  {name:<9} {value}");
        }
        for table in &section.tables {
            let _ = writeln!(out, "\n  {}\n{}", table.caption, grid(table));
        }
    }
    for note in notes {
        let _ = writeln!(out, "\n  note: {note}");
    }
    out
}

/// One table, aligned, without frame; the best of a column has a star.
fn grid(table: &Table) -> String {
    let header = table.header.iter().map(Clone::clone).collect();
    let rows = table.rows.iter().map(|row| {
        row.iter().map(|cell| format!("{}{}", if cell.best { "*" } else { "" }, cell.text)).collect::<Vec<_>>()
    });
    let cells: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let widths = column_widths(&cells);
    let mut out = String::new();
    for row in &cells {
        let mut line = "   ".to_owned();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ =
                if column < table.n_text { write!(line, " {cell:<width$} ") } else { write!(line, " {cell:>width$} ") };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::record::sample::sample;
    use crate::report::view;

    #[test]
    fn paper_ours_difference_and_claims_are_shown() {
        let text = super::render(&view::sections(&sample()), &["n".into()]);
        for part in [
            "paper",
            "ours",
            "difference",
            "0.1824",
            "LightGCN <beats> MF & PopRank  holds",
            "Claims: holds 1 / level 0 / fails 0",
            "*0.1806",
            "note: n",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
