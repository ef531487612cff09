//! report.md: tables that read well as plain text too.

use std::fmt::Write;

use super::view::{Section, Table, column_widths};

/// The whole report.
pub(crate) fn render(sections: &[Section], notes: &[String], command: &str) -> String {
    let mut out =
        format!("# Results\n\nMade by `{command}`. Times were taken on a machine that other work may share.\n");
    for section in sections {
        let _ = write!(out, "\n## {}\n\n", section.title);
        for (name, value) in &section.facts {
            let _ = writeln!(out, "- {name}: {value}");
        }
        for table in &section.tables {
            let _ = write!(out, "\n### {}\n\n{}", table.caption, render_table(table));
        }
        if !section.claims.is_empty() {
            out.push_str("\n### Claims\n\n");
            for claim in &section.claims {
                let verdict = if claim.holds { "holds" } else { "**fails**" };
                let _ = writeln!(out, "- {verdict}: {} ({})", claim.text, claim.numbers());
            }
        }
    }
    if !notes.is_empty() {
        out.push_str("\n## Left out\n\n");
        for note in notes {
            let _ = writeln!(out, "- {note}");
        }
    }
    out
}

/// A table with aligned columns.
fn render_table(table: &Table) -> String {
    let cells: Vec<Vec<String>> = std::iter::once(table.header.iter().map(|h| escape(h)).collect())
        .chain(table.rows.iter().map(|row| {
            row.iter().map(|c| if c.best { format!("**{}**", escape(&c.text)) } else { escape(&c.text) }).collect()
        }))
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

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{tests::sample, view};

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
        assert!(text.contains("- holds: LightGCN"), "{text}");
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        assert_eq!(escape("a|b"), "a\\|b");
    }
}
