//! results.json, report.md, report.html, and the tables on the terminal: four renderings of one [`Results`].

mod course;
mod curves;
mod figures;
mod html;
mod json;
mod markdown;
pub(crate) mod plot;
pub(crate) mod terminal;
pub(crate) mod view;

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use rectify_core::artifact::{Overwrite, write_atomically};

use crate::record::Results;

/// Writes the three files into `out`, replacing those of an earlier run.
pub(crate) fn write(results: &Results, command: &str, out: &Path) -> Result<()> {
    let sections = view::sections(results);
    let json = json::render(results)?;
    for (name, text) in [
        ("results.json", json),
        ("report.md", markdown::render(&sections, &results.notes, command)),
        ("report.html", html::render(&sections, &results.notes, command)),
    ] {
        write_atomically(&out.join(name), Overwrite::Replace, |file: &mut dyn Write| file.write_all(text.as_bytes()))?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::{Claim, Epoch, Record, Run, Trial, Validation, tidy};

    fn record(model: &str, metric: &str, value: f64, paper_value: Option<f64>) -> Record {
        Record {
            paper: "baselines".into(),
            table: paper_value.map(|_| "authors' log".into()),
            dataset: "gowalla".into(),
            protocol: "given split, full ranking".into(),
            model: model.into(),
            variant: String::new(),
            metric: metric.into(),
            value,
            ci95: Some([tidy(value - 0.001), tidy(value + 0.001)]),
            paper_value,
            seeds: 1,
            train_seconds: 12.0,
            device: "cpu".into(),
            commit: "abc1234".into(),
        }
    }

    fn run(model: &str, query_us: f64, model_bytes: u64, epochs: u32) -> Run {
        let value = |epoch: u32| tidy(0.18 - 0.1 / f64::from(epoch));
        Run {
            paper: "baselines".into(),
            dataset: "gowalla".into(),
            model: model.into(),
            variant: String::new(),
            seed: 0,
            key: "00ff".into(),
            config: serde_json::json!({"embedding_dim": 64}),
            cached: false,
            train_seconds: 12.0,
            train_cpu_seconds: Some(11.0),
            eval_seconds: 0.5,
            peak_rss_bytes: Some(100_000_000),
            model_bytes,
            query_us,
            n_params: (epochs > 0).then_some(4_533_696),
            item_bytes: None,
            all_users_seconds: None,
            measured: BTreeMap::new(),
            figures: Vec::new(),
            validation: Some(Validation { metric: "ndcg@20".into(), value: 0.17, epoch: Some(epochs) }),
            curve: (1..=epochs).map(|epoch| Epoch { epoch, loss: Some(0.5), validation: Some(value(epoch)) }).collect(),
            search: vec![
                Trial { settings: serde_json::json!({"learning_rate": 0.001}), value: 0.17 },
                Trial { settings: serde_json::json!({"learning_rate": 0.01}), value: 0.12 },
            ],
        }
    }

    /// Results of three models with everything a report can show.
    pub(crate) fn sample() -> Results {
        Results {
            records: vec![
                record("pop-rank", "recall@20", 0.0416, None),
                record("pop-rank", "ndcg@20", 0.0317, None),
                record("mf-bpr", "recall@20", 0.1291, None),
                record("mf-bpr", "ndcg@20", 0.1109, None),
                record("light-gcn", "recall@20", 0.1806, Some(0.1824)),
                record("light-gcn", "ndcg@20", 0.1535, Some(0.1547)),
            ],
            claims: vec![Claim {
                paper: "baselines".into(),
                id: "graph-helps".into(),
                text: "LightGCN <beats> MF & PopRank".into(),
                holds: true,
                left: 0.1806,
                right: 0.1291,
                p_value: Some(0.0123),
            }],
            runs: vec![
                run("pop-rank", 40.0, 163_924, 0),
                run("mf-bpr", 900.0, 18_134_784, 30),
                run("light-gcn", 910.0, 18_134_800, 60),
            ],
            notes: vec!["claim 'x' was not decided: model 'y' was left out".into()],
        }
    }

    #[test]
    fn three_files_are_written_and_json_reads_back_equal() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let results = sample();
        write(&results, "cargo xtask reproduce", folder.path())?;
        let text = std::fs::read_to_string(folder.path().join("results.json"))?;
        assert_eq!(serde_json::from_str::<Results>(&text)?, results);
        for name in ["report.md", "report.html"] {
            assert!(std::fs::read_to_string(folder.path().join(name))?.contains("light-gcn"), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_record_has_exactly_the_documented_fields() -> Result<()> {
        let value = serde_json::to_value(&sample().records[0])?;
        let fields: Vec<&str> = value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let mut documented = [
            "paper",
            "table",
            "dataset",
            "protocol",
            "model",
            "variant",
            "metric",
            "value",
            "ci95",
            "paper_value",
            "seeds",
            "train_seconds",
            "device",
            "commit",
        ];
        documented.sort_unstable();
        let mut found = fields.clone();
        found.sort_unstable();
        assert_eq!(found, documented);
        Ok(())
    }
}
