//! `bench all`: every ratio we promise, against the peers themselves, in the same minutes.
//!
//! A round is one measurement of ours and one run of the peer's script (`benches/peers/*.py`), so that a busy moment of the
//! machine hits both. Costs are CPU time on one thread. A promise is kept if it holds on the medians and on the minima.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rectify_args::BenchAllArgs;
use rectify_core::UnknownName;
use rectify_lab::measure::quantile;
use rectify_lab::refusal;
use serde::Serialize;

use crate::case::{Case, Costs, Once};
use crate::cases;

/// One case, measured.
#[derive(Debug, Serialize)]
struct Outcome {
    case: &'static str,
    unit: &'static str,
    ours: Cost,
    peers: Vec<PeerOutcome>,
}

/// Costs over the rounds; lower is better.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    median: f64,
    minimum: f64,
}

/// A peer in a case.
#[derive(Debug, Serialize)]
struct PeerOutcome {
    peer: String,
    /// Smallest ratio `peer / ours` that is promised.
    promised: Option<f64>,
    #[serde(flatten)]
    result: PeerResult,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum PeerResult {
    Measured { cost: Cost, ratio_of_medians: f64, ratio_of_minima: f64, kept: Option<bool> },
    Missing { reason: String },
}

/// Measures every chosen case and prints.
pub(crate) fn run(args: &BenchAllArgs) -> Result<()> {
    let all = cases::all();
    let chosen: Vec<&Case> =
        all.iter().filter(|case| args.only.as_ref().is_none_or(|text| case.name.contains(text.as_str()))).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|case| case.name).collect();
        return Err(refusal::usage(UnknownName::new("case", args.only.as_deref().unwrap_or_default(), names)));
    }
    let python = args
        .python
        .clone()
        .or_else(|| std::env::var_os("RECTIFY_PYTHON").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("python3"));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("cannot start the thread pool")?;
    let folder = std::env::temp_dir().join(format!("rectify-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let outcomes: Result<Vec<Outcome>> = chosen
        .iter()
        .map(|case| {
            eprintln!("{}: {} rounds", case.name, args.rounds);
            pool.install(|| measure(case, &python, args.rounds, &folder)).with_context(|| format!("case {}", case.name))
        })
        .collect();
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    let outcomes = outcomes?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcomes)?);
    } else {
        print!("{}", table(&outcomes));
    }
    let broken = outcomes
        .iter()
        .flat_map(|o| &o.peers)
        .filter(|p| matches!(p.result, PeerResult::Measured { kept: Some(false), .. }));
    match broken.count() {
        0 => Ok(()),
        n => bail!("{n} promised ratios were not reached"),
    }
}

fn measure(case: &Case, python: &Path, rounds: u16, folder: &Path) -> Result<Outcome> {
    let mut ours_once = (case.prepare)(folder)?;
    let mut ours = Vec::new();
    let mut own: Vec<(&str, Once)> =
        case.own.iter().map(|rival| Ok((rival.name, (rival.prepare)()?))).collect::<Result<_>>()?;
    let mut peers: Vec<(String, Vec<f64>)> = Vec::new();
    let mut add = |name: &str, cost| match peers.iter_mut().find(|(known, _)| known == name) {
        Some((_, all)) => all.push(cost),
        None => peers.push((name.to_owned(), vec![cost])),
    };
    let mut missing: Option<String> = None;
    for _ in 0..rounds {
        ours.push(ours_once()?);
        for (name, once) in &mut own {
            add(name, once()?);
        }
        if missing.is_none() {
            match peer_once(case, python, folder) {
                Ok(costs) => costs.iter().for_each(|(name, cost)| add(name, *cost)),
                Err(error) => missing = Some(format!("{error:#}")),
            }
        }
    }
    let ours = cost_of(&mut ours);
    let mut outcomes: Vec<PeerOutcome> = peers
        .iter_mut()
        .map(|(name, costs)| {
            let promised = case.promises.iter().find(|(peer, _)| peer == name).map(|(_, ratio)| *ratio);
            let cost = cost_of(costs);
            let (medians, minima) = (cost.median / ours.median, cost.minimum / ours.minimum);
            let kept = promised.map(|ratio| medians >= ratio && minima >= ratio);
            let result = PeerResult::Measured { cost, ratio_of_medians: medians, ratio_of_minima: minima, kept };
            PeerOutcome { peer: name.clone(), promised, result }
        })
        .collect();
    // A peer that we promised to beat and did not meet is named, never skipped.
    for (name, ratio) in case.promises {
        if !outcomes.iter().any(|o| o.peer == *name) {
            let reason = missing.clone().unwrap_or_else(|| "not installed in this Python".into());
            let promised = Some(*ratio);
            outcomes.push(PeerOutcome { peer: (*name).into(), promised, result: PeerResult::Missing { reason } });
        }
    }
    Ok(Outcome { case: case.name, unit: case.unit, ours, peers: outcomes })
}

fn cost_of(costs: &mut [f64]) -> Cost {
    Cost { median: quantile(costs, 0.5), minimum: quantile(costs, 0.0) }
}

/// Runs the peer's script once; name and cost of every library that answered.
fn peer_once(case: &Case, python: &Path, folder: &Path) -> Result<Costs> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
    let output = Command::new(python)
        .arg(scripts.join(case.script))
        .args((case.arguments)(folder))
        .env("OMP_NUM_THREADS", "1")
        .output()
        .with_context(|| format!("{} does not run", python.display()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}", case.script, errors.lines().last().unwrap_or("it says nothing").trim());
    }
    (case.read)(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("reading what {} printed", case.script))
}

fn table(outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "{:<20} {:<24} {:>12} {:>12} {:>8} {:>8} {:>9}\n",
        "case (CPU, 1 thread)", "peer", "peer median", "ours median", "ratio", "of minima", "promised"
    );
    for outcome in outcomes {
        for peer in &outcome.peers {
            let promised = peer.promised.map_or_else(String::new, |ratio| format!("{ratio:.1}x"));
            out.push_str(&match &peer.result {
                PeerResult::Measured { cost, ratio_of_medians, ratio_of_minima, kept } => format!(
                    "{:<20} {:<24} {:>9.3} {} {:>9.3} {} {ratio_of_medians:>7.2}x {ratio_of_minima:>7.2}x {promised:>9} {}\n",
                    outcome.case,
                    peer.peer,
                    cost.median,
                    outcome.unit,
                    outcome.ours.median,
                    outcome.unit,
                    match kept {
                        Some(true) => "kept",
                        Some(false) => "NOT REACHED",
                        None => "",
                    }
                ),
                PeerResult::Missing { reason } => format!(
                    "{:<20} {:<24} {:>12} {:>9.3} {} {:>8} {:>8} {promised:>9} missing: {reason}\n",
                    outcome.case, peer.peer, "–", outcome.ours.median, outcome.unit, "–", "–"
                ),
            });
        }
    }
    out
}
