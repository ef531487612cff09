//! `bench all --device cuda`: scans and trainings on a GPU beside the processor's, on the same inputs in the same minutes.
//!
//! The processor's cost is its processor time; the GPU's is the time on the wall of the whole call, uploads of queries and downloads of
//! lists or parameters included. For scans, what the scoring kernel moves (the index once, the scores once) over its time is set
//! against a plain read of a gibibyte on the same device.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, Index, ItemFilter, Retriever, TopK};
use rectify_gpu_search::{DeviceExactIndex, DeviceScores, DeviceSearch};
use rectify_hashing::{BinaryCodes, HammingIndex};
use rectify_quantize::{self as quantize, CodeIndex, CodeShape, Composition, Distillation, LightRecConfig};
use rectify_teachers::gcn_cf::{self, GcnCfConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::cuda::{Gpu, GpuOps};
use serde::Serialize;

use super::cases::{ML_1M_HALF_SHAPE, ML_1M_SHAPE, epoch_cost, epoch_wall};
use crate::args::{BenchAllArgs, RetrievalArgs};
use crate::measure::{Stopwatch, quantile};
use crate::{refusal, suggest};

const N_ITEMS: usize = 1_000_000;
const N_QUERIES: usize = 256;
const DIM: usize = 64;
const K: usize = 100;

/// One case, measured.
#[derive(Debug, Serialize)]
struct Row {
    case: &'static str,
    unit: &'static str,
    /// Processor time on the processor, and time on the wall with the GPU: medians of the rounds.
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
pub(super) fn exact_arrays(args: &RetrievalArgs, items: Vec<f32>, dim: usize, asked: &[&[f32]]) -> Result<()> {
    let bench = Bench::open(args.rounds)?;
    let index = ExactIndex::build(items, dim, &ExactConfig { first_pass: args.method == "exact" })?;
    let device = DeviceExactIndex::upload(&bench.gpu, &index)?;
    let row = scan(&bench, "given arrays", &index, &device, asked, args.k, size_of_val(index.rows()))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&row)?);
    } else {
        bench.head()?;
        println!("{}", line(&row));
    }
    Ok(())
}

type Case = (&'static str, fn(&Bench) -> Result<Row>);

const CASES: [Case; 7] = [
    ("exact/1M x 64/256 queries", exact),
    ("codes/8 bytes/256 queries", codes),
    ("hamming/128 bits/256 queries", hamming),
    ("bpr/exact Adam", bpr),
    ("neumf/512 rows, exact Adam", neu_mf),
    ("gcn-cf", graph),
    ("light-rec/no distillation", light_rec),
];

/// Measures every chosen case and prints.
pub(crate) fn run(args: &BenchAllArgs) -> Result<()> {
    let chosen: Vec<&Case> =
        CASES.iter().filter(|(name, _)| args.only.as_ref().is_none_or(|text| name.contains(text.as_str()))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
        let asked = args.only.as_deref().unwrap_or_default();
        return Err(refusal::usage(suggest::unknown("case with a form for a GPU", asked, &names)));
    }
    let bench = Bench::open(args.rounds)?;
    let mut rows = Vec::new();
    if !args.json {
        bench.head()?;
    }
    for (case, measure) in chosen {
        let row = measure(&bench).with_context(|| format!("case {case}"))?;
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

/// A batch of queries on both, lists compared; `bytes` is what a scan reads of the index.
fn scan<S, Q, I>(
    bench: &Bench,
    case: &'static str,
    index: &I,
    device: &DeviceSearch<S>,
    asked: &[&[Q]],
    k: usize,
    bytes: usize,
) -> Result<Row>
where
    S: DeviceScores<Query = [Q]>,
    Q: Sync,
    I: Index<Query = [Q]>,
{
    let (mut here, mut there) = (vec![TopK::new(); asked.len()], vec![TopK::new(); asked.len()]);
    let per_query = 1e3 / asked.len() as f64;
    let (mut cpu, mut gpu, mut scoring) = (Vec::new(), Vec::new(), Vec::new());
    device.top_k_batch(asked, k, &[ItemFilter::all()], &mut there)?;
    // As many as the device keeps scores of at a time.
    let scored = &asked[..asked.len().min(N_QUERIES)];
    let mut scores = bench.gpu.zeros(scored.len() * index.len())?;
    for _ in 0..bench.rounds {
        let watch = Stopwatch::of_process();
        index.top_k_batch(asked, k, &[ItemFilter::all()], &mut here)?;
        cpu.push(watch.cpu_seconds().context("this system counts no processor time")? * per_query);
        let start = Instant::now();
        device.top_k_batch(asked, k, &[ItemFilter::all()], &mut there)?;
        gpu.push(start.elapsed().as_secs_f64() * per_query);
        let start = Instant::now();
        device.scores().score_all(scored, &mut scores)?;
        bench.gpu.synchronize()?;
        scoring.push(start.elapsed().as_secs_f64());
    }
    ensure!(here == there, "the lists of the GPU are not those of the processor");
    let moved = (bytes + 4 * scores.len()) as f64;
    Ok(Row {
        case,
        unit: "ms",
        cpu: quantile(&mut cpu, 0.5),
        gpu: quantile(&mut gpu, 0.5),
        bandwidth_share: Some(moved / quantile(&mut scoring, 0.5) / bench.read),
        agreement: "same lists".into(),
    })
}

fn normals(name: &str, n: usize) -> Vec<f32> {
    let mut rng = Seed(1).stream(name).rng();
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn exact(bench: &Bench) -> Result<Row> {
    let queries = normals("queries", N_QUERIES * DIM);
    let config = ExactConfig { first_pass: false };
    let plain = ExactIndex::build(normals("items", N_ITEMS * DIM), DIM, &config)?;
    let device = DeviceExactIndex::upload(&bench.gpu, &plain)?;
    let asked: Vec<&[f32]> = queries.chunks_exact(DIM).collect();
    scan(bench, CASES[0].0, &plain, &device, &asked, K, size_of_val(plain.rows()))
}

fn codes(bench: &Bench) -> Result<Row> {
    let (n_codebooks, part) = (8, DIM / 8);
    let shape = CodeShape { embedding_dim: DIM, n_codebooks, n_codewords: 256, composition: Composition::Product };
    let mut rng = Seed(1).stream("codes").rng();
    let codes: Vec<u8> = (0..N_ITEMS * n_codebooks).map(|_| rng.next_u64() as u8).collect();
    let index = CodeIndex::from_codes(shape, &normals("codebooks", n_codebooks * 256 * part), &codes)?;
    let queries = normals("queries", N_QUERIES * DIM);
    let asked: Vec<&[f32]> = queries.chunks_exact(DIM).collect();
    scan(bench, CASES[1].0, &index, &index.on_device(&bench.gpu)?, &asked, K, index.size_bytes())
}

fn hamming(bench: &Bench) -> Result<Row> {
    let mut rng = Seed(1).stream("bits").rng();
    let mut draw = |n: usize| (0..2 * n).map(|_| rng.next_u64()).collect::<Vec<u64>>();
    let (items, queries) = (draw(N_ITEMS), draw(N_QUERIES));
    let index = HammingIndex::new(&BinaryCodes::from_words(items, 128)?)?;
    let asked: Vec<&[u64]> = queries.chunks_exact(2).collect();
    scan(bench, CASES[2].0, &index, &index.on_device(&bench.gpu)?, &asked, K, index.size_bytes())
}

/// An epoch on both: microseconds a sample, and how far the losses are apart.
fn training(
    bench: &Bench,
    case: &'static str,
    mut here: impl FnMut(&mut f64) -> Result<f64>,
    mut there: impl FnMut(&mut f64) -> Result<f64>,
) -> Result<Row> {
    let (mut cpu, mut gpu, mut losses) = (Vec::new(), Vec::new(), [0.0; 2]);
    there(&mut losses[1])?;
    for _ in 0..bench.rounds {
        cpu.push(here(&mut losses[0])?);
        gpu.push(there(&mut losses[1])?);
    }
    let apart = (losses[1] - losses[0]).abs() / losses[0];
    ensure!(apart < 1e-3, "the loss of the GPU is {}, the processor's {}", losses[1], losses[0]);
    Ok(Row {
        case,
        unit: "µs",
        cpu: quantile(&mut cpu, 0.5),
        gpu: quantile(&mut gpu, 0.5),
        bandwidth_share: None,
        agreement: format!("losses {apart:.0e} apart"),
    })
}

fn bpr(bench: &Bench) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = MfConfig { embedding_dim: DIM, ..MfConfig::default() };
    training(
        bench,
        CASES[3].0,
        |loss| {
            epoch_cost(|fit, observer| {
                *loss = mf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let fitted = mf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

fn neu_mf(bench: &Bench) -> Result<Row> {
    let data = ML_1M_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = NeuMfConfig { batch_size: 512, ..NeuMfConfig::default() };
    training(
        bench,
        CASES[4].0,
        |loss| {
            epoch_cost(|fit, observer| {
                *loss = neumf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let fitted = neumf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

fn graph(bench: &Bench) -> Result<Row> {
    let data = ML_1M_HALF_SHAPE.generate("bench", Seed(0))?.interactions;
    let config = GcnCfConfig::default();
    training(
        bench,
        CASES[5].0,
        |loss| {
            epoch_cost(|fit, observer| {
                *loss = gcn_cf::fit(&data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let fitted = gcn_cf::fit_on(&bench.ops, &data, &config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}

fn light_rec(bench: &Bench) -> Result<Row> {
    let (data, teacher) = super::light_rec::inputs()?;
    let config = LightRecConfig { distillation: Distillation::None, ..LightRecConfig::default() };
    let config = &config;
    training(
        bench,
        CASES[6].0,
        |loss| {
            epoch_cost(|fit, observer| {
                let fitted = quantize::fit(&data, &teacher, config, fit, Seed(1), &mut |_| Ok(0.0), observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
        |loss| {
            epoch_wall(|fit, observer| {
                let seed = Seed(1);
                let mut none = |_: &_| Ok(0.0);
                let fitted = quantize::fit_on(&bench.ops, &data, &teacher, config, fit, seed, &mut none, observer)?;
                *loss = fitted.1.history[0].loss;
                Ok(())
            })
        },
    )
}
