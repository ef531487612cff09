//! The case of trees: training of the preference model of TDM, JTM and DeFoRec.

use anyhow::Result;
use rectify_core::ItemId;
use rectify_core::rng::Seed;
use rectify_forest::{Histories, Learners, PreferenceConfig, Tree, preference};

use crate::case::{Case, Costs, Once, epoch_cost};

/// Items of MovieLens-1M.
const N_ITEMS: u32 = 3706;
/// Four batches.
const SAMPLES: usize = 512;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    vec![Case {
        name: "forest/training",
        unit: "µs",
        prepare: |_| prepare(),
        script: "forest.py",
        arguments: |_| vec!["--items".into(), N_ITEMS.to_string(), "--steps".into(), "5".into()],
        read: costs,
        own: &[],
        promises: &[("torch", 2.0)],
    }]
}

/// An epoch over samples with full windows.
fn prepare() -> Result<Once> {
    let config = PreferenceConfig { samples_per_epoch: Some(SAMPLES), ..PreferenceConfig::default() };
    let config = PreferenceConfig { min_history: config.shape.history_len(), ..config };
    let mut rng = Seed(1).rng();
    let length = config.min_history + 8;
    let rows = (0..SAMPLES / 8).map(|_| (0..length).map(|_| ItemId(rng.below(N_ITEMS))).collect::<Vec<_>>());
    let histories = Histories::from_rows(rows);
    let tree = Tree::random(N_ITEMS as usize, Seed(1))?;
    Ok(Box::new(move || {
        let learners = Learners { histories: &histories, users: None };
        epoch_cost(|epoch| {
            preference::fit(learners, &tree, &config, epoch.of())?;
            Ok(())
        })
    }))
}

fn costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        cpu_us_per_sample: f64,
    }
    let row: Row = serde_json::from_str(printed)?;
    Ok(vec![("torch".into(), row.cpu_us_per_sample)])
}
