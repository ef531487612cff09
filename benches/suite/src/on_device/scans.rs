//! Searches on both.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, Index, ItemFilter, ItemId, Retriever, TopK, UserId};
use rectify_forest::{ForestIndex, Histories, Learners, PreferenceConfig, SearchConfig, Tree, preference};
use rectify_gpu_search::{DeviceExactIndex, DeviceScores, DeviceSearch};
use rectify_hashing::{BinaryCodes, HammingIndex};
use rectify_lab::measure::{Stopwatch, quantile};
use rectify_quantize::{CodeIndex, CodeShape, Composition};
use rectify_tensor::train::TrainRun;

use super::{Bench, Row};
use crate::cases::hdn;

const N_ITEMS: usize = 1_000_000;
/// Where each item costs more than a product.
const FEWER_ITEMS: usize = 100_000;
const N_QUERIES: usize = 256;
const DIM: usize = 64;
const K: usize = 100;

/// A batch of queries on both, lists compared.
fn lists<Q: ?Sized + Sync>(
    bench: &Bench,
    case: &'static str,
    here: &impl Retriever<Query = Q>,
    there: &impl Retriever<Query = Q>,
    asked: &[&Q],
    k: usize,
) -> Result<Row> {
    let (mut on_cpu, mut on_gpu) = (vec![TopK::new(); asked.len()], vec![TopK::new(); asked.len()]);
    let per_query = 1e3 / asked.len() as f64;
    let (mut cpu, mut gpu) = (Vec::new(), Vec::new());
    there.top_k_batch(asked, k, &[ItemFilter::all()], &mut on_gpu)?;
    for _ in 0..bench.rounds {
        let watch = Stopwatch::of_process();
        here.top_k_batch(asked, k, &[ItemFilter::all()], &mut on_cpu)?;
        cpu.push(watch.cpu_seconds().context("this system counts no CPU time")? * per_query);
        let start = Instant::now();
        there.top_k_batch(asked, k, &[ItemFilter::all()], &mut on_gpu)?;
        gpu.push(start.elapsed().as_secs_f64() * per_query);
    }
    ensure!(on_cpu == on_gpu, "the lists of the GPU are not those of the CPU");
    Ok(Row {
        case,
        unit: "ms",
        cpu: quantile(&mut cpu, 0.5),
        gpu: quantile(&mut gpu, 0.5),
        bandwidth_share: None,
        agreement: "same lists".into(),
    })
}

/// As [`lists`], of an index that scores every item; `bytes` is what its kernels read of it.
pub(super) fn scan<Q: ?Sized + Sync, S: DeviceScores<Query = Q>>(
    bench: &Bench,
    case: &'static str,
    index: &impl Index<Query = Q>,
    device: &DeviceSearch<S>,
    asked: &[&Q],
    k: usize,
    bytes: usize,
) -> Result<Row> {
    let row = lists(bench, case, index, device, asked, k)?;
    // As many as the device keeps scores of at a time.
    let scored = &asked[..asked.len().min(N_QUERIES)];
    let mut scores = bench.gpu.zeros(scored.len() * index.len())?;
    let mut scoring = Vec::new();
    for _ in 0..bench.rounds {
        let start = Instant::now();
        device.scores().score_all(scored, &mut scores)?;
        bench.gpu.synchronize()?;
        scoring.push(start.elapsed().as_secs_f64());
    }
    let moved = (bytes + 4 * scores.len()) as f64;
    Ok(Row { bandwidth_share: Some(moved / quantile(&mut scoring, 0.5) / bench.read), ..row })
}

fn normals(name: &str, n: usize) -> Vec<f32> {
    let mut rng = Seed(1).stream(name).rng();
    (0..n).map(|_| rng.normal() as f32).collect()
}

pub(super) fn exact(bench: &Bench, case: &'static str) -> Result<Row> {
    let queries = normals("queries", N_QUERIES * DIM);
    let config = ExactConfig { first_pass: false };
    let plain = ExactIndex::build(normals("items", N_ITEMS * DIM), DIM, &config)?;
    let device = DeviceExactIndex::upload(&bench.gpu, &plain)?;
    let asked: Vec<&[f32]> = queries.chunks_exact(DIM).collect();
    scan(bench, case, &plain, &device, &asked, K, size_of_val(plain.rows()))
}

pub(super) fn codes(bench: &Bench, case: &'static str) -> Result<Row> {
    let (n_codebooks, part) = (8, DIM / 8);
    let shape = CodeShape { embedding_dim: DIM, n_codebooks, n_codewords: 256, composition: Composition::Product };
    let mut rng = Seed(1).stream("codes").rng();
    let codes: Vec<u8> = (0..N_ITEMS * n_codebooks).map(|_| rng.next_u64() as u8).collect();
    let index = CodeIndex::from_codes(shape, &normals("codebooks", n_codebooks * 256 * part), &codes)?;
    let queries = normals("queries", N_QUERIES * DIM);
    let asked: Vec<&[f32]> = queries.chunks_exact(DIM).collect();
    scan(bench, case, &index, &index.on_device(&bench.gpu)?, &asked, K, index.size_bytes())
}

pub(super) fn hamming(bench: &Bench, case: &'static str) -> Result<Row> {
    let mut rng = Seed(1).stream("bits").rng();
    let mut draw = |n: usize| (0..2 * n).map(|_| rng.next_u64()).collect::<Vec<u64>>();
    let (items, queries) = (draw(N_ITEMS), draw(N_QUERIES));
    let index = HammingIndex::new(&BinaryCodes::from_words(items, 128)?)?;
    let asked: Vec<&[u64]> = queries.chunks_exact(2).collect();
    scan(bench, case, &index, &index.on_device(&bench.gpu)?, &asked, K, index.size_bytes())
}

/// Stages with compaction, .75, .875 and .9375 rejected; survivors come and go beside what is counted as moved.
pub(super) fn cascade(bench: &Bench, case: &'static str) -> Result<Row> {
    let index = hdn::random_cascade(N_QUERIES, FEWER_ITEMS)?;
    let users: Vec<UserId> = (0..N_QUERIES as u32).map(UserId).collect();
    let asked: Vec<&UserId> = users.iter().collect();
    let bytes = size_of_val(&index.parts().items[..]);
    scan(bench, case, &index, &index.on_device(&bench.gpu)?, &asked, K, bytes)
}

/// Beams of 150 through one tree, whose levels are scored on the device.
pub(super) fn forest(bench: &Bench, case: &'static str) -> Result<Row> {
    let mut rng = Seed(1).stream("histories").rng();
    let mut draw = |n: usize| (0..n).map(|_| ItemId(rng.below(FEWER_ITEMS as u32))).collect::<Vec<_>>();
    let rows: Vec<Vec<ItemId>> = (0..N_QUERIES).map(|_| draw(75)).collect();
    let histories = Histories::from_rows(rows.clone());
    let learners = Learners { histories: &histories, users: None };
    let tree = Tree::random(FEWER_ITEMS, Seed(1))?;
    let config = PreferenceConfig { samples_per_epoch: Some(8), ..PreferenceConfig::default() };
    let (model, _) = preference::fit(learners, &tree, &config, TrainRun::new(Seed(1)).epochs(1))?;
    let index = ForestIndex::new(vec![model], SearchConfig::default())?;
    let asked: Vec<&[ItemId]> = rows.iter().map(Vec::as_slice).collect();
    lists(bench, case, &index, &index.on_device(&bench.gpu)?, &asked, K)
}
