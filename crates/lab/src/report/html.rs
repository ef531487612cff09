//! report.html: one file, no script, nothing loaded from elsewhere.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot;
use super::table::Table;
use super::view::Section;

/// The whole page.
pub(super) fn render(sections: &[Section], notes: &[String], command: &str) -> Result<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "rectify: results" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { "Results" }
                    p.lead {
                        "Made by " code { (command) } ". Times were taken on a machine that other work may share; "
                        "CPU time is the one to compare."
                    }
                    @if sections.len() > 1 {
                        nav aria-label="Sections" { ul {
                            @for (i, section) in sections.iter().enumerate() {
                                // Its other protocols follow it.
                                @if i == 0 || sections[i - 1].title != section.title {
                                    li { a href=(format!("#s{i}")) { (section.title) } }
                                }
                            }
                        } }
                    }
                }
                main {
                    @for (i, section) in sections.iter().enumerate() { (render_section(section, i)?) }
                    @if !notes.is_empty() {
                        h2 { "Left out" }
                        ul { @for note in notes { li { (note) } } }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn render_section(section: &Section, number: usize) -> Result<Markup> {
    Ok(html! {
        section id=(format!("s{number}")) {
            h2 { (section.title) }
            dl.facts {
                dt { "protocol" } dd { (section.protocol) }
                @for (name, value) in &section.facts { dt { (name) } dd { (value) } }
            }
            @for table in &section.tables { (render_table(table)) }
            @if !section.plots.is_empty() {
                div.plots { @for plot in &section.plots { (plot::render(plot)?) } }
            }
        }
    })
}

fn render_table(table: &Table) -> Markup {
    html! {
        h3 { (table.caption) }
        // Focusable, so that a keyboard can scroll it.
        div.scroll tabindex="0" role="region" aria-label=(table.caption) {
            table {
                thead { tr { @for (column, title) in table.header.iter().enumerate() {
                    th scope="col" .n[column >= table.n_text] { (title) }
                } } }
                tbody { @for row in &table.rows {
                    tr { @for (column, cell) in row.iter().enumerate() {
                        @if column == 0 {
                            th scope="row" { (cell.text) }
                        } @else {
                            td .n[column >= table.n_text] .wrap[column < table.n_text && cell.verdict.is_none()] {
                                @if let Some(verdict) = cell.verdict {
                                    span class=(format!("verdict {}", verdict.name())) { (cell.text) }
                                } @else if cell.best { b { (cell.text) } } @else { (cell.text) }
                                @if let Some(small) = &cell.small { small { (small) } }
                            }
                        }
                    } }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::record::sample::sample;
    use crate::report::view;

    #[test]
    fn the_page_loads_nothing_escapes_text_and_shows_every_part() {
        let page = super::render(&view::sections(&sample()), &["note".into()], "cargo xtask reproduce").unwrap();
        for outside in ["http:", "https:", "<script", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("LightGCN &lt;beats&gt; MF &amp; PopRank"));
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("Convergence"));
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(page.contains("name=\"viewport\"") && page.contains("lang=\"en\""));
    }
}
