//! The cases of cascades: every item for a user, by teachers and by a cascade; and ConvNCF's training.

use anyhow::{Context, Result};
use rectify_cascade::{CascadeIndex, CascadeParts, ModuleParts, Rejection, RejectionRatios};
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, ItemFilter, Retriever, TopK, UserId};
use rectify_data::{Interactions, SyntheticConfig};
use rectify_lab::measure::Stopwatch;
use rectify_teachers::conv_ncf::{self, ConvNcfConfig};
use rectify_teachers::neumf::{self, NeuMfConfig};
use rectify_tensor::train::TrainRun;

use crate::case::{Case, Costs, ML_1M_SHAPE, Once, Rival, epoch_cost};

/// Items of a list.
const K: usize = 20;
/// Users that one measurement lists for, of the data's 6,040; of ConvNCF fewer.
const N_USERS: usize = 256;
/// Pairs of ConvNCF's measured epoch: four batches.
const PAIRS: u32 = 2048;

/// The cases; costs are a user's, for all 3,706 items, and multiply-adds are a pair's.
pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "hdn/NeuMF, all pairs",
            unit: "µs",
            prepare: |_| neu_mf(),
            script: "all_pairs.py",
            arguments: |_| all_pairs(&["plain", "factored"]),
            read: costs,
            own: &[],
            promises: &[("torch plain", 3.0), ("torch factored", 2.5)],
        },
        Case {
            name: "hdn/.75 .875 .9375",
            unit: "µs",
            prepare: |_| cascade(),
            script: "all_pairs.py",
            arguments: |_| all_pairs(&["plain", "factored"]),
            read: costs,
            own: &[Rival { name: "rectify NeuMF", prepare: neu_mf }],
            promises: &[("torch plain", 20.0), ("rectify NeuMF", 3.0)],
        },
        Case {
            name: "hdn/beside ConvNCF",
            unit: "µs",
            prepare: |_| cascade(),
            script: "all_pairs.py",
            arguments: |_| all_pairs(&["conv-ncf"]),
            read: costs,
            own: &[Rival { name: "rectify ConvNCF", prepare: conv_ncf }],
            promises: &[("torch conv-ncf", 300.0), ("rectify ConvNCF", 200.0)],
        },
        Case {
            name: "conv-ncf/training",
            unit: "µs",
            prepare: |_| conv_ncf_training(),
            script: "conv_ncf.py",
            arguments: |_| vec!["--steps".into(), "2".into()],
            read: training_costs,
            own: &[],
            promises: &[("torch", 1.0)],
        },
    ]
}

fn all_pairs(methods: &[&str]) -> Vec<String> {
    let sizes = [("--users", ML_1M_SHAPE.n_users), ("--items", ML_1M_SHAPE.n_items), ("--k", K)];
    let mut all: Vec<String> = sizes.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]).collect();
    all.push("--methods".into());
    all.extend(methods.iter().map(|method| (*method).to_owned()));
    all
}

/// As many users and items as MovieLens-1M, few pairs.
fn few_pairs(n: u32) -> Result<Interactions> {
    let (n_users, n_items) = (ML_1M_SHAPE.n_users as u32, ML_1M_SHAPE.n_items as u32);
    let pairs: Vec<(u32, u32)> = (0..n).map(|at| (at % n_users, at * 97 % n_items)).collect();
    Ok(Interactions::from_pairs(ML_1M_SHAPE.n_users, ML_1M_SHAPE.n_items, &pairs)?)
}

/// Lists for some users, one after the other.
fn listing(lists: impl Retriever<Query = UserId> + 'static, n_users: usize) -> Once {
    let mut top = TopK::new();
    Box::new(move || {
        let watch = Stopwatch::of_process();
        for user in 0..n_users {
            lists.top_k(&UserId(user as u32), K, &ItemFilter::all(), &mut top)?;
        }
        let seconds = watch.cpu_seconds().context("this system counts no CPU time")?;
        Ok(seconds / n_users as f64 * 1e6)
    })
}

/// A trained network: of one that knows nothing, whose scores are all alike, the first pass could rule out no item.
fn neu_mf() -> Result<Once> {
    let config = NeuMfConfig::default();
    let data = SyntheticConfig { mean_interactions: 20.0, ..ML_1M_SHAPE }.generate("bench", Seed(0))?.interactions;
    let pair: usize = config.layers()[1..].iter().map(|(inputs, outputs)| inputs * outputs).sum();
    eprintln!("NeuMF: {} multiply-adds a pair, its first layer factored", pair + config.joint_dim());
    let (model, _) = neumf::fit(&data, &config, TrainRun::new(Seed(1)).epochs(5))?;
    let mut left = 0;
    for user in first_users() {
        left += model.candidates(user, K, &ItemFilter::all())?.map_or(ML_1M_SHAPE.n_items, |items| items.len());
    }
    eprintln!("NeuMF: {} of {} items are scored in f32", left / N_USERS, ML_1M_SHAPE.n_items);
    Ok(listing(model, N_USERS))
}

fn conv_ncf() -> Result<Once> {
    let config = ConvNcfConfig::default();
    let mut positions = config.embedding_dim * config.embedding_dim;
    let mut pair = config.channels;
    for (inputs, outputs) in config.layers() {
        positions /= 4;
        pair += positions * inputs * outputs;
    }
    eprintln!("ConvNCF: {pair} multiply-adds a pair");
    let (model, _) = conv_ncf::fit(&few_pairs(64)?, None, &config, TrainRun::new(Seed(1)).epochs(1))?;
    Ok(listing(Exhaustive::new(model), 4))
}

/// Random weights, and thresholds that reject what they should of the first users.
pub(crate) fn random_cascade(n_users: usize, n_items: usize) -> Result<CascadeIndex> {
    const DIM: usize = 32;
    let mut rng = Seed(1).stream("cascade").rng();
    let mut draw = |n: usize, std: f64| (0..n).map(|_| (std * rng.normal()) as f32).collect::<Vec<f32>>();
    let mut module = |n: usize| {
        let input = if n == 0 { DIM } else { 2 * DIM };
        ModuleParts { decision: draw(input, 0.2), bias: 0.0, weight: draw(input * DIM, 0.2) }
    };
    let parts = CascadeParts {
        modules: (0..3).map(&mut module).collect(),
        embedding_dim: DIM,
        users: draw(n_users * DIM, 1.0).into(),
        items: draw(n_items * DIM, 1.0).into(),
        score: draw(2 * DIM, 0.2),
        score_bias: 0.0,
    };
    let ratios = RejectionRatios::new(&[0.75, 0.875, 0.9375])?;
    Ok(CascadeIndex::new(parts, Rejection::learned(3))?.calibrated(&ratios, &first_users())?)
}

fn first_users() -> Vec<UserId> {
    (0..N_USERS as u32).map(UserId).collect()
}

fn cascade() -> Result<Once> {
    let (index, users) = (random_cascade(ML_1M_SHAPE.n_users, ML_1M_SHAPE.n_items)?, first_users());
    let pairs = (users.len() * ML_1M_SHAPE.n_items) as f64;
    eprintln!("cascade: {:.0} multiply-adds a pair", index.cost(&users, K)?.multiply_adds as f64 / pairs);
    Ok(listing(index, N_USERS))
}

/// An epoch of ConvNCF.
fn conv_ncf_training() -> Result<Once> {
    let (data, config) = (few_pairs(PAIRS)?, ConvNcfConfig::default());
    Ok(Box::new(move || {
        epoch_cost(|epoch| {
            conv_ncf::fit(&data, None, &config, epoch.of())?;
            Ok(())
        })
    }))
}

fn costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        peer: String,
        cpu_us_a_user: f64,
    }
    let row = |line| serde_json::from_str::<Row>(line).map(|row| (row.peer, row.cpu_us_a_user));
    Ok(printed.lines().map(row).collect::<Result<_, _>>()?)
}

fn training_costs(printed: &str) -> Result<Costs> {
    #[derive(serde::Deserialize)]
    struct Row {
        peer: String,
        cpu_us_per_sample: f64,
    }
    let row: Row = serde_json::from_str(printed)?;
    Ok(vec![(row.peer, row.cpu_us_per_sample)])
}
