//! `bench all --device cuda`: scans and trainings on a GPU beside the CPU's, on the same inputs in the same minutes.
//!
//! The CPU's cost is its CPU time; the GPU's is the time on the wall of the whole call, uploads of queries and downloads of
//! lists or parameters included. For scans, what the scoring kernels must move (the index once, the scores once) over their time is set
//! against a plain read of a gibibyte on the same device.

mod scans;
mod trainings;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use rectify_args::{BenchAllArgs, RetrievalArgs};
use rectify_core::{ExactConfig, ExactIndex, UnknownName};
use rectify_gpu_search::DeviceExactIndex;
use rectify_lab::refusal;
use rectify_tensor::cuda::{Gpu, GpuOps};
use serde::Serialize;

/// One case, measured.
#[derive(Debug, Serialize)]
struct Row {
    case: &'static str,
    unit: &'static str,
    /// CPU time on the CPU, and time on the wall with the GPU: medians of the rounds.
    cpu: f64,
    gpu: f64,
    /// Of a scan: bytes of index and scores over the scoring kernel's time, as a share of a plain read's.
    bandwidth_share: Option<f64>,
    /// Of a scan: whether both gave the same lists. Of a training: relative difference of the losses.
    agreement: String,
}

/// What all cases share.
struct Bench {
    gpu: Arc<Gpu>,
    ops: GpuOps,
    rounds: u16,
    /// Bytes a second of a plain read.
    read: f64,
}

impl Bench {
    fn open(rounds: u16) -> Result<Self> {
        let gpu = Arc::new(Gpu::open(0).map_err(|error| refusal::usage(format!("--device cuda: {error}")))?);
        let ops = GpuOps::new(Arc::clone(&gpu));
        let read = plain_read(&ops)?;
        Ok(Self { gpu, ops, rounds, read })
    }

    fn head(&self) -> Result<()> {
        println!("{}: a plain read moves {:.0} GB/s", self.gpu.describe()?.name, self.read * 1e-9);
        println!("{:<30} {:>14} {:>14} {:>8} {:>12}  agreement", "case", "CPU", "GPU", "times", "of bandwidth");
        Ok(())
    }
}

/// `bench retrieval --device cuda`: exact search of any arrays on both.
pub(crate) fn exact_arrays(args: &RetrievalArgs, items: Vec<f32>, dim: usize, asked: &[&[f32]]) -> Result<()> {
    let bench = Bench::open(args.rounds)?;
    let index = ExactIndex::build(items, dim, &ExactConfig { first_pass: args.method == "exact" })?;
    let device = DeviceExactIndex::upload(&bench.gpu, &index)?;
    let row = scans::scan(&bench, "given arrays", &index, &device, asked, args.k, size_of_val(index.rows()))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&row)?);
    } else {
        bench.head()?;
        println!("{}", line(&row));
    }
    Ok(())
}

/// A case by its name.
type Case = (&'static str, fn(&Bench, &'static str) -> Result<Row>);

const CASES: [Case; 10] = [
    ("exact/1M x 64/256 queries", scans::exact),
    ("codes/8 bytes/256 queries", scans::codes),
    ("hamming/128 bits/256 queries", scans::hamming),
    ("cascade/100k x 32/256 users", scans::cascade),
    ("forest/100k/256 histories", scans::forest),
    ("bpr/exact Adam", trainings::bpr),
    ("neumf/512 rows, exact Adam", trainings::neu_mf),
    ("gcn-cf", trainings::graph),
    ("light-rec/no distillation", trainings::light_rec),
    ("hdn/512 rows, exact Adam", trainings::hdn),
];

/// Measures every chosen case and prints.
pub(crate) fn run(args: &BenchAllArgs) -> Result<()> {
    let chosen: Vec<&Case> =
        CASES.iter().filter(|(name, _)| args.only.as_ref().is_none_or(|text| name.contains(text.as_str()))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
        let asked = args.only.as_deref().unwrap_or_default();
        return Err(refusal::usage(UnknownName::new("case with a form for a GPU", asked, names)));
    }
    let bench = Bench::open(args.rounds)?;
    let mut rows = Vec::new();
    if !args.json {
        bench.head()?;
    }
    for (case, measure) in chosen {
        let row = measure(&bench, case).with_context(|| format!("case {case}"))?;
        if !args.json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    Ok(())
}

fn line(row: &Row) -> String {
    let share = row.bandwidth_share.map_or_else(|| "–".into(), |share| format!("{:.0} %", 100.0 * share));
    format!(
        "{:<30} {:>11.3} {} {:>11.3} {} {:>8.1} {share:>12}  {}",
        row.case,
        row.cpu,
        row.unit,
        row.gpu,
        row.unit,
        row.cpu / row.gpu,
        row.agreement
    )
}

/// Bytes a second of summing a gibibyte.
fn plain_read(ops: &GpuOps) -> Result<f64> {
    let values = ops.gpu().zeros::<f32>(1 << 28)?;
    ops.sum(&values)?;
    let start = Instant::now();
    for _ in 0..10 {
        ops.sum(&values)?;
    }
    Ok(10.0 * f64::from(1 << 30) / start.elapsed().as_secs_f64())
}
