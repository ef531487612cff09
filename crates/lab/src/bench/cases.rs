//! The cases of `bench all`: what is measured, against whom, and what is promised.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, ItemFilter, Retriever, TopK};

use rectify_data::SyntheticConfig;
use rectify_teachers::mf::{self, MfConfig};
use rectify_tensor::RowUpdate;
use rectify_tensor::train::{Event, FitConfig};

use super::npy;
use crate::measure::Stopwatch;

/// One measurement of ours; a cost in the case's unit.
type Once = Box<dyn FnMut() -> Result<f64> + Send>;

/// Name and cost of each peer that answered.
pub(crate) type Costs = Vec<(String, f64)>;

/// One case.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Makes inputs in a folder, where the peer finds them too, and returns what is measured.
    pub(crate) prepare: fn(&Path) -> Result<Once>,
    /// The peers' program under `benches/peers`, its arguments, and how to read costs from what it prints.
    pub(crate) script: &'static str,
    pub(crate) arguments: fn(&Path) -> Vec<String>,
    pub(crate) read: fn(&str) -> Result<Costs>,
    /// Peers with the least ratio `peer / ours` that is promised.
    pub(crate) promises: &'static [(&'static str, f64)],
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    vec![
        Case {
            name: "exact/1M x 64/1 query",
            unit: "ms",
            prepare: |folder| exact(folder, 1),
            script: "exact_ip.py",
            arguments: |folder| exact_arguments(folder, 1),
            read: exact_costs,
            promises: &[("numpy", 2.0), ("torch", 2.0), ("faiss", 2.0), ("faiss-blas", 2.0), ("scann", 2.0)],
        },
        Case {
            name: "exact/1M x 64/256 queries",
            unit: "ms",
            prepare: |folder| exact(folder, 256),
            script: "exact_ip.py",
            arguments: |folder| exact_arguments(folder, 256),
            read: exact_costs,
            promises: &[("numpy", 1.5), ("torch", 1.5), ("faiss", 1.5), ("faiss-blas", 1.5), ("scann", 1.5)],
        },
        // Same updates as dense Adam, every row at every step.
        Case {
            name: "bpr/exact Adam",
            unit: "µs",
            prepare: |_| bpr(RowUpdate::Exact),
            script: "bpr.py",
            arguments: bpr_arguments,
            read: bpr_costs,
            promises: &[("torch fused Adam", 4.0)],
        },
        // Touched rows alone, as SparseAdam does.
        Case {
            name: "bpr/lazy Adam",
            unit: "µs",
            prepare: |_| bpr(RowUpdate::Lazy),
            script: "bpr.py",
            arguments: bpr_arguments,
            read: bpr_costs,
            promises: &[("torch fused Adam", 4.0), ("torch SparseAdam", 5.0)],
        },
    ]
}

const N_ITEMS: usize = 1_000_000;
const N_QUERIES: usize = 256;
const DIM: usize = 64;
const K: usize = 100;

/// Exact top 100 of a batch.
fn exact(folder: &Path, batch: usize) -> Result<Once> {
    let draw = |name: &str, n: usize| -> Vec<f32> {
        let mut rng = Seed(1).stream(name).rng();
        (0..n * DIM).map(|_| rng.normal() as f32).collect()
    };
    let (items, queries) = (draw("items", N_ITEMS), draw("queries", N_QUERIES));
    npy::write(&folder.join("items.npy"), &[N_ITEMS as u64, DIM as u64], &items)?;
    npy::write(&folder.join("queries.npy"), &[N_QUERIES as u64, DIM as u64], &queries)?;
    let index = ExactIndex::build(items, DIM, &ExactConfig::default())?;
    let mut out = vec![TopK::new(); batch];
    Ok(Box::new(move || {
        let asked: Vec<&[f32]> = queries.chunks_exact(DIM).take(batch).collect();
        let watch = Stopwatch::of_process();
        index.top_k_batch(&asked, K, &[ItemFilter::all()], &mut out)?;
        Ok(watch.cpu_seconds().context("this system counts no processor time")? * 1e3)
    }))
}

fn exact_arguments(folder: &Path, batch: usize) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec!["--items".into(), file("items.npy"), "--queries".into(), file("queries.npy")];
    arguments.extend(["--rounds".into(), "1".into(), "--k".into(), K.to_string(), "--batch".into(), batch.to_string()]);
    arguments
}

fn exact_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        method: String,
        cpu_ms_median: f64,
    }
    let rows: Vec<Row> = serde_json::from_str(printed)?;
    Ok(rows.into_iter().map(|row| (row.method, row.cpu_ms_median)).collect())
}

/// The shape of MovieLens 1M.
const BPR_DATA: SyntheticConfig =
    SyntheticConfig { n_users: 6040, n_items: 3706, mean_interactions: 165.0, ..SyntheticConfig::small() };
const BPR_BATCH: usize = 1024;

/// An epoch of BPR, per sample.
fn bpr(row_update: RowUpdate) -> Result<Once> {
    let data = BPR_DATA.generate("bench", Seed(0))?.interactions;
    let config = MfConfig { embedding_dim: DIM, batch_size: BPR_BATCH, row_update, ..MfConfig::default() };
    let fit = FitConfig { max_epochs: 1, patience: None, eval_every: 0, checkpoint: None };
    Ok(Box::new(move || {
        let (mut watch, mut cost) = (None, None);
        let mut observer = |event: &Event| {
            match event {
                Event::Started { .. } => watch = Some(Stopwatch::of_process()),
                Event::Trained { stats, .. } => {
                    let cpu = watch.as_ref().and_then(Stopwatch::cpu_seconds);
                    cost = cpu.map(|seconds| seconds / stats.samples as f64 * 1e6);
                }
                Event::Validated { .. } | Event::Checkpointed { .. } | Event::Finished { .. } | _ => {}
            }
            ControlFlow::Continue(())
        };
        mf::fit(&data, &config, &fit, Seed(1), &mut |_| Ok(0.0), &mut observer)?;
        cost.context("this system counts no processor time")
    }))
}

fn bpr_arguments(_: &Path) -> Vec<String> {
    [("--users", BPR_DATA.n_users), ("--items", BPR_DATA.n_items), ("--dim", DIM), ("--batch", BPR_BATCH)]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value.to_string()])
        .collect()
}

fn bpr_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        peer: String,
        cpu_us_per_sample: f64,
    }
    let row = |line| serde_json::from_str::<Row>(line).map(|row| (row.peer, row.cpu_us_per_sample));
    Ok(printed.lines().map(row).collect::<Result<_, _>>()?)
}
