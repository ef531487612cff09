//! `bench retrieval`: any index on any arrays.

use std::time::Instant;

use anyhow::{Context, Result};
use rectify_args::{Device, RetrievalArgs};
use rectify_core::{ExactConfig, ExactIndex, Exhaustive, Index, ItemFilter, Retriever, TopK, UnknownName};
use rectify_lab::measure::{Stopwatch, quantile};
use rectify_lab::refusal;
use serde::Serialize;

use crate::npy::{self, Matrix};

/// Queries whose answers are compared with the exhaustive ones: enough for three digits of recall.
const MAX_CHECKED: usize = 256;

/// An index over vectors, whichever.
type VectorIndex = Box<dyn Index<Query = [f32]>>;

/// Makes an index of the items.
type Build = fn(Matrix) -> Result<VectorIndex>;

/// Methods by name.
const METHODS: &[(&str, Build)] = &[
    ("exact", |items| exact(items, &ExactConfig::default())),
    ("exact-f32", |items| exact(items, &ExactConfig { first_pass: false })),
];

fn exact(items: Matrix, config: &ExactConfig) -> Result<VectorIndex> {
    Ok(Box::new(ExactIndex::build(items.values, items.dim, config)?))
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measurement {
    method: String,
    n_items: usize,
    n_queries: usize,
    dim: usize,
    k: usize,
    rounds: u16,
    build: Times,
    size_bytes: usize,
    /// Share of the exact top k that was found, over the checked queries.
    recall: f64,
    /// Whether every checked list equals the exact one, ids and order.
    same_ids: bool,
    checked_queries: usize,
    single: Single,
    batch: Batch,
}

/// Wall and CPU time, in seconds.
#[derive(Debug, Serialize)]
struct Times {
    wall_seconds: f64,
    cpu_seconds: Option<f64>,
}

/// One query at a time, on one thread.
#[derive(Debug, Serialize)]
struct Single {
    /// Thread time of a query: median and minimum of the rounds' means.
    cpu_us: Option<f64>,
    cpu_us_min: Option<f64>,
    /// Wall time of a query, over all queries of all rounds.
    latency_us_p50: f64,
    latency_us_p90: f64,
    latency_us_p99: f64,
    latency_us_min: f64,
    queries_per_second: f64,
}

/// All queries in one call.
#[derive(Debug, Serialize)]
struct Batch {
    threads: u16,
    /// CPU time of a query, all threads: median and minimum of the rounds.
    cpu_us: Option<f64>,
    cpu_us_min: Option<f64>,
    /// Wall time of a query.
    wall_us: f64,
    queries_per_second: f64,
}

/// Measures and prints.
pub(crate) fn run(args: &RetrievalArgs) -> Result<()> {
    let known: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
    let (_, build) = METHODS
        .iter()
        .find(|(name, _)| *name == args.method)
        .ok_or_else(|| refusal::usage(UnknownName::new("method", &args.method, known)))?;
    let items = npy::read(&args.items)?;
    let queries = npy::read(&args.queries)?;
    if items.dim != queries.dim {
        return Err(refusal::input(format!(
            "{} has {} columns and {} has {}, expected the same number",
            args.items.display(),
            items.dim,
            args.queries.display(),
            queries.dim
        )));
    }
    if args.k == 0 || args.k > items.n_rows {
        return Err(refusal::usage(format!("--k is {}, expected 1 to {} (the number of items)", args.k, items.n_rows)));
    }
    if args.device == Device::Cuda {
        return on_device(args, items, &queries);
    }
    let measurement = measure(args, items, &queries, *build)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&measurement)?);
    } else {
        print!("{}", table(&measurement));
    }
    Ok(())
}

#[cfg(not(feature = "cuda"))]
fn on_device(_: &RetrievalArgs, _: Matrix, _: &Matrix) -> Result<()> {
    Err(crate::needs_cuda())
}

/// The exact index on a GPU beside the CPU's, in one batch.
#[cfg(feature = "cuda")]
fn on_device(args: &RetrievalArgs, items: Matrix, queries: &Matrix) -> Result<()> {
    crate::on_device::exact_arrays(args, items.values, items.dim, &queries.rows().collect::<Vec<_>>())
}

fn measure(args: &RetrievalArgs, items: Matrix, queries: &Matrix, build: Build) -> Result<Measurement> {
    let (n_items, dim) = (items.n_rows, items.dim);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(args.threads))
        .build()
        .context("cannot start the thread pool")?;
    // Without its first pass the exact index is one fixed-order dot product an item: the truth.
    let truth = Exhaustive::new(ExactIndex::build(items.values.clone(), dim, &ExactConfig { first_pass: false })?);
    let queries: Vec<&[f32]> = queries.rows().collect();
    let n_checked = queries.len().min(MAX_CHECKED);
    let watch = Stopwatch::of_process();
    let index = pool.install(|| build(items))?;
    let build = Times { wall_seconds: watch.wall_seconds(), cpu_seconds: watch.cpu_seconds() };

    let everything = ItemFilter::all();
    let (mut found, mut same) = (0usize, true);
    let (mut ours, mut exact) = (TopK::new(), TopK::new());
    for query in &queries[..n_checked] {
        index.top_k(query, args.k, &everything, &mut ours)?;
        truth.top_k(query, args.k, &everything, &mut exact)?;
        let exact_items: std::collections::HashSet<_> = exact.items().collect();
        found += ours.items().filter(|item| exact_items.contains(item)).count();
        same &= ours.items().eq(exact.items());
    }
    drop(truth);

    let single = measure_single(&*index, &queries, args)?;
    let batch = pool.install(|| measure_batch(&*index, &queries, args))?;
    Ok(Measurement {
        method: args.method.clone(),
        n_items,
        n_queries: queries.len(),
        dim,
        k: args.k,
        rounds: args.rounds,
        build,
        size_bytes: index.size_bytes(),
        recall: found as f64 / (n_checked * args.k) as f64,
        same_ids: same,
        checked_queries: n_checked,
        single,
        batch,
    })
}

fn measure_single(index: &dyn Index<Query = [f32]>, queries: &[&[f32]], args: &RetrievalArgs) -> Result<Single> {
    let n = queries.len() as f64;
    let mut top = TopK::new();
    let (mut latencies, mut cpu, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let watch = Stopwatch::of_thread();
        for query in queries {
            let start = Instant::now();
            index.top_k(query, args.k, &ItemFilter::all(), &mut top)?;
            latencies.push(start.elapsed().as_secs_f64() * 1e6);
        }
        wall.push(watch.wall_seconds() / n);
        cpu.extend(watch.cpu_seconds().map(|s| s / n * 1e6));
    }
    let (cpu_us, cpu_us_min) = median_and_minimum(&mut cpu);
    Ok(Single {
        cpu_us,
        cpu_us_min,
        latency_us_p50: quantile(&mut latencies, 0.5),
        latency_us_p90: quantile(&mut latencies, 0.9),
        latency_us_p99: quantile(&mut latencies, 0.99),
        latency_us_min: quantile(&mut latencies, 0.0),
        queries_per_second: 1.0 / quantile(&mut wall, 0.5),
    })
}

fn measure_batch(index: &dyn Index<Query = [f32]>, queries: &[&[f32]], args: &RetrievalArgs) -> Result<Batch> {
    let n = queries.len() as f64;
    let mut out = vec![TopK::new(); queries.len()];
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let watch = Stopwatch::of_process();
        index.top_k_batch(queries, args.k, &[ItemFilter::all()], &mut out)?;
        wall.push(watch.wall_seconds() / n * 1e6);
        cpu.extend(watch.cpu_seconds().map(|s| s / n * 1e6));
    }
    let (cpu_us, cpu_us_min) = median_and_minimum(&mut cpu);
    let wall_us = quantile(&mut wall, 0.5);
    Ok(Batch { threads: args.threads, cpu_us, cpu_us_min, wall_us, queries_per_second: 1e6 / wall_us })
}

fn median_and_minimum(values: &mut [f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() { (None, None) } else { (Some(quantile(values, 0.5)), Some(quantile(values, 0.0))) }
}

fn table(m: &Measurement) -> String {
    let us = |value: Option<f64>| value.map_or_else(|| "unknown".into(), |v| format!("{v:.1} µs"));
    let mut out = format!("{} over {} items × {}, {} queries, k = {}\n", m.method, m.n_items, m.dim, m.n_queries, m.k);
    for (name, value) in [
        (
            "recall",
            format!(
                "{:.4}{} ({} queries checked)",
                m.recall,
                if m.same_ids { ", same ids" } else { "" },
                m.checked_queries
            ),
        ),
        ("size", format!("{} bytes", m.size_bytes)),
        ("build", format!("{:.3} s", m.build.wall_seconds)),
        ("single CPU", format!("{} (min {})", us(m.single.cpu_us), us(m.single.cpu_us_min))),
        (
            "single wall",
            format!(
                "p50 {:.1}, p90 {:.1}, p99 {:.1} µs; {:.0} queries/s",
                m.single.latency_us_p50, m.single.latency_us_p90, m.single.latency_us_p99, m.single.queries_per_second
            ),
        ),
        ("batch CPU", format!("{} a query (min {})", us(m.batch.cpu_us), us(m.batch.cpu_us_min))),
        (
            "batch wall",
            format!(
                "{:.1} µs a query; {:.0} queries/s, {} threads",
                m.batch.wall_us, m.batch.queries_per_second, m.batch.threads
            ),
        ),
    ] {
        out.push_str(&format!("  {name:<12} {value}\n"));
    }
    out
}
