//! Cases of LightRec: its training step, and the paper's Table 7.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_core::{ExactConfig, ExactIndex, ItemFilter, ItemId, Rerank, Retriever, TopK};
use rectify_data::Interactions;
use rectify_lab::measure::Stopwatch;
use rectify_quantize::light_rec::{self, Distillation, LightRecConfig};
use rectify_quantize::{CodeIndex, CodeShape, Composition, InvertedIndex, TeacherVectors};

use crate::case::{Case, Costs, Once, Rival, epoch_cost, exact_costs};
use crate::npy;

const DIM: usize = 32;
/// Gowalla.
const N_USERS: u32 = 29_858;
const N_ITEMS: u32 = 40_981;
/// Steps of 1,024 interactions.
const STEPS: usize = 24;
/// The paper's Amazon.
const CATALOGUE: usize = 128_939;
const MILLION: usize = 1_000_000;
const K: usize = 100;
/// Queries whose mean is a measurement.
const REPEATS: usize = 50;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "light-rec/no distillation",
            unit: "µs",
            prepare: |_| training(Distillation::None),
            script: "lightrec.py",
            arguments: |_| vec!["none".into()],
            read: step_costs,
            own: &[],
            promises: &[("torch fused Adam", 3.0)],
        },
        Case {
            name: "light-rec/inner-product hint",
            unit: "µs",
            prepare: |_| training(Distillation::InnerProduct { weight: 0.1 }),
            script: "lightrec.py",
            arguments: |_| vec!["inner-product".into()],
            read: step_costs,
            own: &[],
            promises: &[("torch fused Adam", 3.0)],
        },
        // Table 7 of the paper: the best 100 of Amazon's items, by all inner products, against a scan of codes whose best are ranked
        // again by the exact vectors. The first case is our own exact index, for the ratio to it.
        Case {
            name: "light-rec/table 7, exact index",
            unit: "ms",
            prepare: |folder| table_7(folder, How::Exact),
            script: "exact_ip.py",
            arguments: exact_arguments,
            read: exact_costs,
            own: &[],
            promises: &[],
        },
        Case {
            name: "light-rec/table 7, codes, 100 reranked",
            unit: "ms",
            prepare: |folder| table_7(folder, How::Codes(100)),
            script: "exact_ip.py",
            arguments: exact_arguments,
            read: exact_costs,
            own: &[],
            promises: &[("numpy", 27.0), ("torch", 27.0)],
        },
        Case {
            name: "light-rec/table 7, codes, 500 reranked",
            unit: "ms",
            prepare: |folder| table_7(folder, How::Codes(500)),
            script: "exact_ip.py",
            arguments: exact_arguments,
            read: exact_costs,
            own: &[],
            promises: &[("numpy", 25.0), ("torch", 25.0)],
        },
        // The same with codebooks as LightRec learns them, of which lists by the first code leave most items out, with the scan's answer.
        Case {
            name: "light-rec/table 7, learned codes in inverted lists, 100 reranked",
            unit: "ms",
            prepare: |folder| learned(Some(folder), CATALOGUE, How::Lists(100)),
            script: "exact_ip.py",
            arguments: exact_arguments,
            read: exact_costs,
            own: &[
                Rival { name: "rectify scan of codes", prepare: || learned(None, CATALOGUE, How::Codes(100)) },
                Rival { name: "rectify exact index", prepare: || learned(None, CATALOGUE, How::Exact) },
            ],
            promises: &[("numpy", 27.0), ("torch", 27.0), ("rectify exact index", 8.0)],
        },
        Case {
            name: "light-rec/table 7, learned codes in inverted lists, 500 reranked",
            unit: "ms",
            prepare: |folder| learned(Some(folder), CATALOGUE, How::Lists(500)),
            script: "exact_ip.py",
            arguments: exact_arguments,
            read: exact_costs,
            own: &[Rival { name: "rectify scan of codes", prepare: || learned(None, CATALOGUE, How::Codes(500)) }],
            promises: &[("numpy", 25.0), ("torch", 25.0)],
        },
        Case {
            name: "light-rec/1M items, learned codes in inverted lists, 100 reranked",
            unit: "ms",
            prepare: |folder| learned(Some(folder), MILLION, How::Lists(100)),
            script: "exact_ip.py",
            arguments: exact_arguments,
            read: exact_costs,
            own: &[
                Rival { name: "rectify scan of codes", prepare: || learned(None, MILLION, How::Codes(100)) },
                Rival { name: "rectify exact index", prepare: || learned(None, MILLION, How::Exact) },
            ],
            promises: &[("rectify exact index", 8.0)],
        },
    ]
}

/// Interactions of Gowalla's shape, and a teacher of 32 dimensions.
pub(crate) fn inputs() -> Result<(Interactions, TeacherVectors)> {
    let mut rng = Seed(1).stream("pairs").rng();
    let pairs: Vec<(u32, u32)> = (0..STEPS * 1024).map(|_| (rng.below(N_USERS), rng.below(N_ITEMS))).collect();
    let data = Interactions::from_pairs(N_USERS as usize, N_ITEMS as usize, &pairs)?;
    let mut normals = |n: u32| -> Vec<f32> { (0..n as usize * DIM).map(|_| 0.5 * rng.normal() as f32).collect() };
    Ok((data, TeacherVectors::new(normals(N_USERS), normals(N_ITEMS), DIM)?))
}

/// Some steps with four codebooks of 256, five negatives.
fn training(distillation: Distillation) -> Result<Once> {
    let (data, teacher) = inputs()?;
    let config = LightRecConfig { distillation, ..LightRecConfig::paper() };
    Ok(Box::new(move || {
        epoch_cost(|epoch| {
            light_rec::fit(&data, &teacher, &config, epoch.of())?;
            Ok(())
        })
    }))
}

fn step_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        peer: String,
        cpu_us_per_sample: f64,
    }
    let row: Row = serde_json::from_str(printed)?;
    Ok(vec![(row.peer, row.cpu_us_per_sample)])
}

/// How the best are found.
#[derive(Clone, Copy)]
enum How {
    /// By all inner products.
    Exact,
    /// By a scan of codes, of which so many of the best are reranked by the exact vectors.
    Codes(usize),
    /// The same with codes in inverted lists, all of which a query may visit.
    Lists(usize),
}

/// The best 100 of the paper's largest catalogue, with codebooks of one size.
fn table_7(folder: &Path, how: How) -> Result<Once> {
    search(Some(folder), CATALOGUE, [0.5; 4], how)
}

/// The best 100 with codebooks whose sizes fall as those that LightRec learns on Gowalla: mean norms of 1.71, .84, .66 and .53. Lists live on that.
fn learned(folder: Option<&Path>, n_items: usize, how: How) -> Result<Once> {
    search(folder, n_items, [1.71, 0.84, 0.66, 0.53].map(|norm| norm / (DIM as f64).sqrt()), how)
}

/// Searches among items that are what their codes say and some noise; codewords have normal entries with a deviation for each codebook. With a folder,
/// the peers find items and query there.
fn search(folder: Option<&Path>, n_items: usize, deviations: [f64; 4], how: How) -> Result<Once> {
    let shape = CodeShape { embedding_dim: DIM, n_codebooks: 4, n_codewords: 256, composition: Composition::Sum };
    let mut rng = Seed(1).stream("table 7").rng();
    let mut normals = |n: usize, std: f64| -> Vec<f32> { (0..n).map(|_| (std * rng.normal()) as f32).collect() };
    let codebooks: Vec<f32> = deviations.iter().flat_map(|std| normals(256 * DIM, *std)).collect();
    let queries = normals(REPEATS * DIM, 1.0);
    let mut items = normals(n_items * DIM, 0.3 * deviations[3] / 0.5);
    let codes: Vec<u8> = (0..n_items * 4).map(|_| rng.next_u64() as u8).collect();
    let index = CodeIndex::from_codes(shape, &codebooks, &codes)?;
    let mut decoded = [0.0; DIM];
    for (i, item) in items.chunks_exact_mut(DIM).enumerate() {
        index.decode_into(ItemId(i as u32), &mut decoded)?;
        item.iter_mut().zip(decoded).for_each(|(x, y)| *x += y);
    }
    if let Some(folder) = folder {
        npy::write(&folder.join("items.npy"), &[n_items as u64, DIM as u64], &items)?;
        npy::write(&folder.join("queries.npy"), &[1, DIM as u64], &queries[..DIM])?;
    }
    let exact = ExactIndex::build(items, DIM, &ExactConfig::default())?;
    Ok(match how {
        How::Exact => measured(exact, queries),
        How::Codes(depth) => measured(Rerank::new(index, exact, depth)?, queries),
        How::Lists(depth) => measured(Rerank::new(InvertedIndex::new(&index, 256)?, exact, depth)?, queries),
    })
}

/// Mean CPU milliseconds of a query, once all have been asked: a server has its index at hand, as the peers have when they ask one query again.
fn measured(lists: impl Retriever<Query = [f32]> + 'static, queries: Vec<f32>) -> Once {
    let mut top = TopK::new();
    Box::new(move || {
        let mut ask = || queries.chunks_exact(DIM).try_for_each(|q| lists.top_k(q, K, &ItemFilter::all(), &mut top));
        ask()?;
        let watch = Stopwatch::of_process();
        ask()?;
        let seconds = watch.cpu_seconds().context("this system counts no CPU time")?;
        Ok(seconds * 1e3 / REPEATS as f64)
    })
}

fn exact_arguments(folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec!["--items".into(), file("items.npy"), "--queries".into(), file("queries.npy")];
    arguments.extend(["--rounds", "5", "--k", "100", "--batch", "1"].map(str::to_owned));
    arguments
}
