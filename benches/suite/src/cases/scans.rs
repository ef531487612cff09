//! Cases of scans over codes: Hamming distances of packed bits, sums of looked-up codewords.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, Retriever, TopK};
use rectify_hashing::{BinaryCodes, HammingIndex};
use rectify_lab::measure::Stopwatch;
use rectify_quantize::{CodeIndex, CodeShape, Composition};

use crate::case::{Case, Costs, Once};
use crate::npy;

const N_ITEMS: usize = 1_000_000;
const N_QUERIES: usize = 256;
const DIM: usize = 64;
const K: usize = 100;

/// A case of `hamming.py`.
macro_rules! hamming_case {
    ($bits:literal bits, $batch:literal $queries:literal, promised $promised:literal) => {
        Case {
            name: concat!("hamming/", $bits, " bits/", $batch, " ", $queries),
            unit: "ms",
            prepare: |folder| hamming(folder, $bits, $batch),
            script: "hamming.py",
            arguments: |folder| arguments(folder, &["items", "queries", "distances"], $batch),
            read: costs,
            own: &[],
            promises: &[("faiss heap", $promised), ("faiss counting", $promised)],
        }
    };
}

/// A case of `codes.py`.
macro_rules! codes_case {
    ($bytes:literal bytes, $batch:literal $queries:literal, promised $bytewise:literal and $fast_scan:literal) => {
        Case {
            name: concat!("codes/", $bytes, " bytes/", $batch, " ", $queries),
            unit: "ms",
            prepare: |folder| codes(folder, $bytes, $batch),
            script: "codes.py",
            arguments: |folder| arguments(folder, &["codebooks", "codes", "queries", "scores"], $batch),
            read: costs,
            own: &[],
            promises: &[("faiss PQ8", $bytewise), ("faiss PQ4 fast-scan", $fast_scan)],
        }
    };
}

/// The cases; a million items each.
pub(super) fn cases() -> Vec<Case> {
    vec![
        hamming_case!(64 bits, 1 "query", promised 3.0),
        hamming_case!(128 bits, 1 "query", promised 2.0),
        hamming_case!(256 bits, 1 "query", promised 1.7),
        hamming_case!(64 bits, 256 "queries", promised 8.0),
        hamming_case!(128 bits, 256 "queries", promised 6.0),
        hamming_case!(256 bits, 256 "queries", promised 5.0),
        // The second peer has codes of as many bytes but 16 codewords instead of 256: quicker, and of lower recall.
        codes_case!(4 bytes, 1 "query", promised 10.0 and 2.0),
        codes_case!(8 bytes, 1 "query", promised 10.0 and 1.5),
        codes_case!(16 bytes, 1 "query", promised 6.0 and 1.25),
        codes_case!(4 bytes, 256 "queries", promised 10.0 and 2.0),
        codes_case!(8 bytes, 256 "queries", promised 10.0 and 1.3),
        codes_case!(16 bytes, 256 "queries", promised 6.0 and 1.0),
    ]
}

/// Top 100 of random codes for a batch of queries.
fn hamming(folder: &Path, code_bits: usize, batch: usize) -> Result<Once> {
    let words = code_bits / 64;
    let draw = |name: &str, n: usize| -> Vec<u64> {
        let mut rng = Seed(1).stream(name).rng();
        (0..n * words).map(|_| rng.next_u64()).collect()
    };
    let (items, queries) = (draw("items", N_ITEMS), draw("queries", N_QUERIES));
    write(folder, "items", &[N_ITEMS, words], &items)?;
    write(folder, "queries", &[N_QUERIES, words], &queries)?;
    let index = HammingIndex::new(&BinaryCodes::from_words(items, code_bits)?)?;
    let asked: Vec<Vec<u64>> = queries.chunks_exact(words).take(batch).map(<[u64]>::to_vec).collect();
    let scores = answer(&index, &asked, &mut vec![TopK::new(); batch])?;
    let distances: Vec<i32> = scores.iter().map(|score| ((code_bits as f32 - score) / 2.0) as i32).collect();
    write(folder, "distances", &[batch, K], &distances)?;
    Ok(measured(index, asked))
}

/// Top 100 of random codes of 8 bits for a batch of queries.
fn codes(folder: &Path, n_codebooks: usize, batch: usize) -> Result<Once> {
    let part = DIM / n_codebooks;
    let shape = CodeShape { embedding_dim: DIM, n_codebooks, n_codewords: 256, composition: Composition::Product };
    let normals = |name: &str, n: usize| -> Vec<f32> {
        let mut rng = Seed(1).stream(name).rng();
        (0..n).map(|_| rng.normal() as f32).collect()
    };
    let (codebooks, queries) = (normals("codebooks", n_codebooks * 256 * part), normals("queries", N_QUERIES * DIM));
    let mut rng = Seed(1).stream("codes").rng();
    let codes: Vec<u8> = (0..N_ITEMS * n_codebooks).map(|_| rng.next_u64() as u8).collect();
    write(folder, "codebooks", &[n_codebooks, 256, part], &codebooks)?;
    write(folder, "codes", &[N_ITEMS, n_codebooks], &codes)?;
    write(folder, "queries", &[N_QUERIES, DIM], &queries)?;
    let index = CodeIndex::from_codes(shape, &codebooks, &codes)?;
    let asked: Vec<Vec<f32>> = queries.chunks_exact(DIM).take(batch).map(<[f32]>::to_vec).collect();
    write(folder, "scores", &[batch, K], &answer(&index, &asked, &mut vec![TopK::new(); batch])?)?;
    Ok(measured(index, asked))
}

/// Scores of the answers, one list after the other.
fn answer<I, Q>(index: &I, asked: &[Vec<Q>], out: &mut [TopK]) -> Result<Vec<f32>>
where
    I: Retriever<Query = [Q]>,
    Q: Sync,
{
    let queries: Vec<&[Q]> = asked.iter().map(Vec::as_slice).collect();
    index.top_k_batch(&queries, K, &[ItemFilter::all()], out)?;
    Ok(out.iter().flat_map(|top| top.hits().iter().map(|hit| hit.score)).collect())
}

/// CPU milliseconds of a call after one that warms up; the mean of ten calls for a single query.
fn measured<I, Q>(index: I, asked: Vec<Vec<Q>>) -> Once
where
    I: Retriever<Query = [Q]> + Send + 'static,
    Q: Send + Sync + 'static,
{
    let mut out = vec![TopK::new(); asked.len()];
    let repeats = if asked.len() == 1 { 10 } else { 1 };
    Box::new(move || {
        answer(&index, &asked, &mut out)?;
        let watch = Stopwatch::of_process();
        for _ in 0..repeats {
            answer(&index, &asked, &mut out)?;
        }
        let seconds = watch.cpu_seconds().context("this system counts no CPU time")?;
        Ok(seconds * 1e3 / f64::from(repeats))
    })
}

fn write<T: npyz::AutoSerialize + Copy>(folder: &Path, name: &str, shape: &[usize], values: &[T]) -> Result<()> {
    npy::write(&folder.join(name).with_extension("npy"), &shape.iter().map(|&n| n as u64).collect::<Vec<_>>(), values)
}

fn arguments(folder: &Path, names: &[&str], batch: usize) -> Vec<String> {
    let file = |name: &str| folder.join(name).with_extension("npy").display().to_string();
    let mut arguments: Vec<String> = names.iter().flat_map(|name| [format!("--{name}"), file(name)]).collect();
    arguments.extend(["--k".into(), K.to_string(), "--batch".into(), batch.to_string()]);
    arguments
}

fn costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        peer: String,
        cpu_ms: f64,
    }
    let row = |line| serde_json::from_str::<Row>(line).map(|row| (row.peer, row.cpu_ms));
    Ok(printed.lines().map(row).collect::<Result<_, _>>()?)
}
