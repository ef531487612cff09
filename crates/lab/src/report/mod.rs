//! results.json, runs.jsonl, report.md, report.html, and the tables on the terminal: renderings of one [`Results`].

mod curves;
mod figure_plots;
mod html;
mod json;
mod markdown;
mod names;
mod plot;
mod table;
mod tables;
mod terminal;
mod test_curve;
mod view;

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use rectify_core::artifact::{Overwrite, write_atomically};

use crate::record::file::File;
use crate::record::{Results, Run};

/// Settings and curves of every run, a line each.
const RUNS: &str = "runs.jsonl";

/// Writes four files into `out`, replacing those of an earlier run: results.json, runs.jsonl, report.md and report.html.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(results: &Results, command: &str, out: &Path) -> Result<()> {
    let sections = view::sections(results);
    let mut runs = String::new();
    for run in &results.runs {
        runs += &serde_json::to_string(run)?;
        runs.push('\n');
    }
    for (name, text) in [
        ("results.json", json::render(&File::of(results, command))?),
        (RUNS, runs),
        ("report.md", markdown::render(&sections, &results.notes, command)),
        ("report.html", html::render(&sections, &results.notes, command)?),
    ] {
        write_atomically(&out.join(name), Overwrite::Replace, |file: &mut dyn Write| file.write_all(text.as_bytes()))?;
    }
    Ok(())
}

/// Reads a results.json, with the settings and curves of the runs.jsonl beside it if there is one, and what was typed.
///
/// # Errors
/// A file that cannot be read or has another form.
pub fn read(path: &Path) -> Result<(Results, String)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file: File = serde_json::from_str(&text).with_context(|| {
        format!("{}: expected a results.json as this version of reproduce writes it", path.display())
    })?;
    let command = file.command.clone();
    let mut results = file.results();
    let runs = path.with_file_name(RUNS);
    if runs.is_file() {
        let text = std::fs::read_to_string(&runs).with_context(|| format!("reading {}", runs.display()))?;
        let run = |(i, line): (usize, &str)| {
            serde_json::from_str::<Run>(line).with_context(|| format!("{}, line {}", runs.display(), i + 1))
        };
        results.runs = text.lines().enumerate().map(run).collect::<Result<_>>()?;
    }
    Ok((results, command))
}

/// The tables and claims as plain text, for a terminal.
#[must_use]
pub fn text(results: &Results) -> String {
    terminal::render(&view::sections(results), &results.notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::sample;

    #[test]
    fn what_is_written_reads_back_equal() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let results = sample();
        write(&results, "cargo xtask reproduce", folder.path())?;
        let path = folder.path().join("results.json");
        assert_eq!(read(&path)?, (results, "cargo xtask reproduce".to_owned()));
        for name in ["report.md", "report.html"] {
            assert!(std::fs::read_to_string(folder.path().join(name))?.contains("light-gcn"), "{name}");
        }
        let lines = std::fs::read_to_string(folder.path().join(RUNS))?;
        std::fs::write(folder.path().join(RUNS), lines.replace("\"seed\":0", "\"seed\":\"x\""))?;
        let message = format!("{:#}", read(&path).unwrap_err());
        assert!(message.contains("runs.jsonl, line 1") && message.contains("invalid type"), "{message}");
        Ok(())
    }

    /// The pages of docs/results are what this program makes of the JSON beside them; RECTIFY_WRITE_PAGES=1 writes them anew.
    #[test]
    fn recorded_pages_say_what_their_json_says() -> Result<()> {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results");
        let mut n_pages = 0;
        for folder in std::fs::read_dir(&recorded)?.collect::<std::io::Result<Vec<_>>>()? {
            if !folder.path().is_dir() {
                continue;
            }
            for file in std::fs::read_dir(folder.path())?.collect::<std::io::Result<Vec<_>>>()? {
                let path = file.path();
                if path.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let (results, command) = read(&path)?;
                let page = markdown::render(&view::sections(&results), &results.notes, &command);
                let beside = path.with_extension("md");
                if std::env::var_os("RECTIFY_WRITE_PAGES").is_some() {
                    std::fs::write(&beside, &page)?;
                }
                assert!(std::fs::read_to_string(&beside)? == page, "{} is not up to date", beside.display());
                n_pages += 1;
            }
        }
        assert!(n_pages > 20, "{n_pages} recorded pages in {}", recorded.display());
        Ok(())
    }
}
