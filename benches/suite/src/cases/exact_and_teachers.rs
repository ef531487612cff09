//! Cases of exact search and of teachers' training.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, ItemFilter, Retriever, TopK};
use rectify_data::{Interactions, SyntheticConfig};
use rectify_lab::measure::Stopwatch;
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::light_gcn::{self, LightGcnConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::RowUpdate;

use crate::case::{Case, Costs, ML_1M_HALF_SHAPE, ML_1M_SHAPE, Once, epoch_cost, exact_costs};
use crate::npy;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "exact/1M x 64/1 query",
            unit: "ms",
            prepare: |folder| exact(folder, 1),
            script: "exact_ip.py",
            arguments: |folder| exact_arguments(folder, 1),
            read: exact_costs,
            own: &[],
            promises: &[("numpy", 2.0), ("torch", 2.0), ("faiss", 2.0), ("faiss-blas", 2.0), ("scann", 2.0)],
        },
        Case {
            name: "exact/1M x 64/256 queries",
            unit: "ms",
            prepare: |folder| exact(folder, 256),
            script: "exact_ip.py",
            arguments: |folder| exact_arguments(folder, 256),
            read: exact_costs,
            own: &[],
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
            own: &[],
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
            own: &[],
            promises: &[("torch fused Adam", 4.0), ("torch SparseAdam", 5.0)],
        },
        // Plain gradient descent a sample without locks, against our batches of 1,024; both check their negatives.
        Case {
            name: "bpr/beside implicit",
            unit: "µs",
            prepare: |folder| {
                write_pairs(folder, &ML_1M_SHAPE.generate("bench", Seed(0))?.interactions)?;
                bpr(RowUpdate::Lazy)
            },
            script: "implicit_bpr.py",
            arguments: |folder| vec![folder.join(PAIRS).display().to_string(), "--dim".into(), DIM.to_string()],
            read: bpr_costs,
            own: &[],
            promises: &[("implicit, gradient descent", 1.2)],
        },
        Case {
            name: "neumf/512 rows, exact Adam",
            unit: "µs",
            prepare: |_| neu_mf(RowUpdate::Exact),
            script: "neumf.py",
            arguments: neu_mf_arguments,
            read: neu_mf_costs,
            own: &[],
            promises: &[("torch fused Adam", 2.0)],
        },
        Case {
            name: "neumf/512 rows, lazy Adam",
            unit: "µs",
            prepare: |_| neu_mf(RowUpdate::Lazy),
            script: "neumf.py",
            arguments: neu_mf_arguments,
            read: neu_mf_costs,
            own: &[],
            promises: &[("torch fused Adam", 2.0)],
        },
        // The peer's backward is written by hand and uses the symmetric adjacency again; it draws no samples.
        Case {
            name: "light-gcn/3 layers",
            unit: "µs",
            prepare: light_gcn,
            script: "light_gcn.py",
            arguments: graph_arguments,
            read: graph_costs,
            own: &[],
            promises: &[("torch CSR", 1.5)],
        },
        Case {
            name: "gcn-cf",
            unit: "µs",
            prepare: gcn_cf,
            script: "gcn_cf.py",
            arguments: graph_arguments,
            read: graph_costs,
            own: &[],
            promises: &[("torch CSR", 2.0)],
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
        Ok(watch.cpu_seconds().context("this system counts no CPU time")? * 1e3)
    }))
}

fn exact_arguments(folder: &Path, batch: usize) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec!["--items".into(), file("items.npy"), "--queries".into(), file("queries.npy")];
    arguments.extend(["--rounds".into(), "1".into(), "--k".into(), K.to_string(), "--batch".into(), batch.to_string()]);
    arguments
}

/// The shape of Gowalla's training pairs.
const GOWALLA_SHAPE: SyntheticConfig =
    SyntheticConfig { n_users: 29_858, n_items: 40_981, mean_interactions: 27.0, ..SyntheticConfig::small() };
const BPR_BATCH: usize = 1024;
const NEU_MF_BATCH: usize = 512;
const PAIRS: &str = "pairs.txt";

/// An epoch of BPR.
fn bpr(row_update: RowUpdate) -> Result<Once> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = MfConfig { embedding_dim: DIM, batch_size: BPR_BATCH, row_update, ..MfConfig::default() };
    Ok(Box::new(move || {
        epoch_cost(|epoch| {
            mf::fit(&data, &config, epoch.of())?;
            Ok(())
        })
    }))
}

/// An epoch of NeuMF, 128-64-32.
fn neu_mf(row_update: RowUpdate) -> Result<Once> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = NeuMfConfig { batch_size: NEU_MF_BATCH, row_update, ..NeuMfConfig::default() };
    Ok(Box::new(move || {
        epoch_cost(|epoch| {
            neumf::fit(&data, &config, epoch.of())?;
            Ok(())
        })
    }))
}

fn neu_mf_arguments(_: &Path) -> Vec<String> {
    let sizes = [("--users", ML_1M_SHAPE.n_users), ("--items", ML_1M_SHAPE.n_items), ("--batch", NEU_MF_BATCH)];
    let mut arguments: Vec<String> = sizes.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]).collect();
    arguments.extend(["--repeat".into(), "2".into()]);
    arguments
}

fn neu_mf_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        samples_per_cpu_s: f64,
    }
    let row: Row = serde_json::from_str(printed)?;
    Ok(vec![("torch fused Adam".into(), 1e6 / row.samples_per_cpu_s)])
}

/// Writes `user item item …` lines for a peer.
fn write_pairs(folder: &Path, data: &Interactions) -> Result<()> {
    let mut lines = String::new();
    for user in data.users() {
        lines.push_str(&user.to_string());
        for item in data.items_of(user) {
            lines.push_str(&format!(" {item}"));
        }
        lines.push('\n');
    }
    Ok(std::fs::write(folder.join(PAIRS), lines)?)
}

/// An epoch of LightGCN, 3 layers; the pairs are written for the peer.
fn light_gcn(folder: &Path) -> Result<Once> {
    let data = GOWALLA_SHAPE.generate("bench", Seed(0))?.interactions;
    write_pairs(folder, &data)?;
    let config = LightGcnConfig::default();
    Ok(Box::new(move || {
        epoch_cost(|epoch| {
            light_gcn::fit(&data, &config, epoch.of())?;
            Ok(())
        })
    }))
}

/// An epoch of GCN-CF; the pairs are written for the peer.
fn gcn_cf(folder: &Path) -> Result<Once> {
    let data = ML_1M_HALF_SHAPE.generate("bench", Seed(0))?.interactions;
    write_pairs(folder, &data)?;
    let config = GcnCfConfig::default();
    Ok(Box::new(move || {
        epoch_cost(|epoch| {
            gcn_cf::fit(&data, &config, epoch.of())?;
            Ok(())
        })
    }))
}

fn graph_arguments(folder: &Path) -> Vec<String> {
    vec![folder.join(PAIRS).display().to_string(), "--repeat".into(), "1".into()]
}

fn graph_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        batch: f64,
        step_cpu_ms: f64,
    }
    let row: Row = serde_json::from_str(printed)?;
    Ok(vec![("torch CSR".into(), row.step_cpu_ms * 1e3 / row.batch)])
}

fn bpr_arguments(_: &Path) -> Vec<String> {
    [("--users", ML_1M_SHAPE.n_users), ("--items", ML_1M_SHAPE.n_items), ("--dim", DIM), ("--batch", BPR_BATCH)]
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
