//! Cases of full evaluation: the lists of all users against what was held out.

use std::path::Path;

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_core::{Factors, Provenance};
use rectify_data::{DataSource, Holdout, Interactions, Places};
use rectify_eval::{Candidates, Metric, System, evaluate};
use rectify_lab::measure::Stopwatch;

use crate::case::{Case, Costs, ML_1M_SHAPE, Once};
use crate::npy;

const DIM: usize = 64;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    vec![
        // Four numbers a user, as the peer computes them.
        Case {
            name: "evaluation/k 20",
            unit: "ms",
            prepare: |folder| evaluation(folder, &["precision", "recall", "map_min", "ndcg"], &[20]),
            script: "full_evaluation.py",
            arguments: |folder| arguments(folder, 20),
            read: costs,
            own: &[],
            promises: &[("implicit", 2.0), ("numpy", 1.5)],
        },
        // Thirty numbers a user; implicit computes four.
        Case {
            name: "evaluation/k 100",
            unit: "ms",
            prepare: |folder| {
                let measures = ["recall", "precision", "hr", "mrr", "map_min", "ndcg"];
                evaluation(folder, &measures, &[5, 10, 20, 50, 100])
            },
            script: "full_evaluation.py",
            arguments: |folder| arguments(folder, 100),
            read: costs,
            own: &[],
            promises: &[("implicit", 1.3), ("numpy", 1.2)],
        },
    ]
}

/// MovieLens-1M where RECTIFY_DATA has it, else pairs of its shape; which one is said.
fn pairs() -> Result<Interactions> {
    let name = "ml-1m";
    if std::env::var_os("RECTIFY_DATA").is_some_and(|folder| !folder.is_empty()) {
        let places = Places::usual(None);
        let data =
            DataSource::named(name, &places)?.load().context("RECTIFY_DATA is set, so the case runs on ml-1m")?;
        return Ok(data.interactions);
    }
    eprintln!("  RECTIFY_DATA is not set: synthetic pairs of the shape of {name}");
    Ok(ML_1M_SHAPE.generate("bench", Seed(0))?.interactions)
}

/// A random fifth of each user's items, held out of the rest.
fn held_out(all: &Interactions) -> Result<(Interactions, Interactions)> {
    let (mut train, mut held) = (Vec::new(), Vec::new());
    for user in all.users() {
        let mut items = all.items_of(user).to_vec();
        Seed(1).stream("held out").at(0, u64::from(user.0)).shuffle(&mut items);
        let n = (items.len() as f64 * 0.2).round() as usize;
        held.extend(items[..n].iter().map(|item| (user.0, item.0)));
        train.extend(items[n..].iter().map(|item| (user.0, item.0)));
    }
    let made = |pairs: &[(u32, u32)]| Interactions::from_pairs(all.n_users(), all.n_items(), pairs);
    Ok((made(&train)?, made(&held)?))
}

/// Lists of every user with some measures at some cut-offs. Tastes are random on top of popularity, so that lists hit as often
/// as a real model's.
fn evaluation(folder: &Path, measures: &[&str], cuts: &[usize]) -> Result<Once> {
    let (train, held) = held_out(&pairs()?)?;
    let popularity: Vec<f32> = train.item_counts().iter().map(|&count| (1.0 + count as f32).ln()).collect();
    let rows = |name: &str, n: usize, first: &dyn Fn(usize) -> f32| -> Vec<f32> {
        let mut rng = Seed(1).stream(name).rng();
        (0..n * DIM).map(|i| if i % DIM == 0 { first(i / DIM) } else { 0.1 * rng.normal() as f32 }).collect()
    };
    let users = rows("users", train.n_users(), &|_| 1.0);
    let items = rows("items", train.n_items(), &|item| popularity[item]);
    let matrix = |name: &str, shape: [usize; 2], values: &[f32]| {
        npy::write(&folder.join(name), &shape.map(|n| n as u64), values)
    };
    matrix("users.npy", [train.n_users(), DIM], &users)?;
    matrix("items.npy", [train.n_items(), DIM], &items)?;
    for (name, part) in [("train.npy", &train), ("test.npy", &held)] {
        let pairs: Vec<u32> = part.pairs().flat_map(|(user, item)| [user.0, item.0]).collect();
        npy::write(&folder.join(name), &[part.n_interactions() as u64, 2], &pairs)?;
    }
    let names = measures.iter().flat_map(|measure| cuts.iter().map(move |cut| format!("{measure}@{cut}")));
    let metrics: Vec<Metric> = names.map(|name| name.parse()).collect::<Result<_, _>>()?;
    let model = Factors::from_vectors(users, items, DIM, Provenance::default())?;
    let held = Holdout::of(&held);
    let run = move || evaluate(System::Retriever(&model), &train, &held, &metrics, Candidates::Unseen);
    // The last metric is the ndcg at the deepest cut-off, which the peer must find too.
    let evaluated = run()?;
    let ndcg = evaluated.metrics().last().and_then(|metric| evaluated.value(*metric)).context("no ndcg")?;
    std::fs::write(folder.join("ndcg.txt"), ndcg.to_string())?;
    Ok(Box::new(move || {
        let watch = Stopwatch::of_process();
        run()?;
        Ok(watch.cpu_seconds().context("this system counts no CPU time")? * 1e3)
    }))
}

fn arguments(folder: &Path, k: usize) -> Vec<String> {
    vec!["--folder".into(), folder.display().to_string(), "--k".into(), k.to_string(), "--rounds".into(), "1".into()]
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
