//! Results with everything a report can show, for tests.

use super::*;

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
        item_bytes: (epochs > 0).then_some(model_bytes / 2),
        n_items: Some(40_981),
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
            verdict: Verdict::Holds,
            left: 0.1806,
            right: 0.1291,
            p_value: Some(0.0123),
            band: None,
        }],
        verdicts: Verdicts { holds: 1, level: 0, fails: 0 },
        runs: vec![
            run("pop-rank", 40.0, 163_924, 0),
            run("mf-bpr", 900.0, 18_134_784, 30),
            run("light-gcn", 910.0, 18_134_800, 60),
        ],
        notes: vec!["claim 'x' was not decided: model 'y' was left out".into()],
    }
}
