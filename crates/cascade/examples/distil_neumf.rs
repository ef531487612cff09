//! From a slow teacher to a cascade: NeuMF, distilled into modules that reject early.
//!
//!     cargo run --release -p rectify-cascade --example distil_neumf
//!
//! With `RECTIFY_DATA` naming a folder that holds `ml-1m`, on MovieLens-1M; else on synthetic data. A number after `--` sets the epochs of
//! the cascade (default 10; the paper trains 50).

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use rectify_cascade::hdn::{self, HdnConfig};
use rectify_cascade::{CascadeIndex, FitConfig, ItemFilter, RejectionRatios, Retriever, Seed, TopK, TrainRun, UserId};
use rectify_core::{Exhaustive, Index};
use rectify_data::{Dataset, Manifest, Protocol, SyntheticConfig, split};
use rectify_eval::{Candidates, Metric, System, evaluate, evaluate_test};
use rectify_teachers::neumf::{self, NeuMf, NeuMfConfig, Pretraining};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const K: usize = 20;

fn data() -> Result<Dataset, Box<dyn Error>> {
    if let Some(folder) = std::env::var_os("RECTIFY_DATA") {
        println!("MovieLens-1M, every rating an interaction");
        return Ok(Manifest::named("ml-1m")?.recipe(&[PathBuf::from(folder)])?.build()?);
    }
    println!("SYNTHETIC data, since RECTIFY_DATA names no folder with ml-1m: its numbers say nothing about MovieLens");
    Ok(SyntheticConfig { n_users: 1000, n_items: 600, ..SyntheticConfig::small() }.generate("synthetic", Seed(1))?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let epochs: u32 = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let data = data()?;
    let split = split(&data.interactions, None, &Protocol::hdn(), Seed(1), 0)?;
    let train = &split.train;
    println!("{} users, {} items, {} pairs to learn from", train.n_users(), train.n_items(), train.n_interactions());

    // What is kept is chosen on validation items; the test items are looked at once, below.
    let held = split.validation.as_ref().ok_or("the protocol has a validation part")?;
    let (ndcg, hits): (Metric, Metric) = ("ndcg@20".parse()?, "ndcg_hits@20".parse()?);
    let quality = |system: System<'_>| -> Result<f64, Box<dyn Error + Send + Sync>> {
        Ok(evaluate(system, train, held, &[ndcg], Candidates::Unseen)?.value(ndcg).unwrap_or_default())
    };

    // The teacher, by NCF's recipe: both branches alone, then together by plain gradient descent.
    let length = |max_epochs| FitConfig { max_epochs, patience: None, eval_every: max_epochs, checkpoint: None };
    let (config, start) = (NeuMfConfig { batch_size: 1024, ..NeuMfConfig::default() }, Instant::now());
    let pretraining = Pretraining { gmf: length(5), mlp: length(5), ..Pretraining::default() };
    let mut validate = |model: &NeuMf| quality(System::Scorer(model));
    let run = TrainRun::new(Seed(1)).fit(&length(2)).validate(&mut validate);
    let (teacher, report) = neumf::fit_pretrained(train, &config, &pretraining, run)?;
    let best = report.best_metric.unwrap_or_default();
    println!("NeuMF: ndcg@20 {best:.4} on validation, {:.0} s of training", start.elapsed().as_secs_f64());

    let distil = |config: &HdnConfig| -> Result<CascadeIndex, Box<dyn Error>> {
        Ok(hdn::fit(train, Some(&teacher), config, TrainRun::new(Seed(1)).epochs(epochs))?.0)
    };
    let start = Instant::now();
    let (config, student) = (HdnConfig::default(), distil(&HdnConfig::mf_student())?);
    let cascade = distil(&config)?;
    println!("cascade and MF student: {epochs} epochs each, {:.0} s together", start.elapsed().as_secs_f64());

    // A measured answer to "how much may it cost?": half of what the cascade costs now.
    let users: Vec<UserId> = train.users().collect();
    let now = cascade.cost(&users, K)?;
    println!("\nafter module   asked to reject   rejects");
    for (n, (asked, got)) in config.rejection_ratios.iter().zip(now.rejected()).enumerate() {
        println!("{:12} {asked:>17.4} {got:>9.4}", n + 1);
    }
    let candidates = [[0.5, 0.75, 0.875], [0.75, 0.875, 0.9375], [0.875, 0.9375, 0.96875], [0.9375, 0.96875, 0.984375]];
    let candidates = candidates.iter().map(|ratios| RejectionRatios::new(ratios)).collect::<Result<Vec<_>, _>>()?;
    let sample: Vec<UserId> = users.iter().copied().step_by(users.len().div_ceil(500)).collect();
    let pairs = (sample.len() * train.n_items()) as f64;
    let plan = cascade.within_budget(
        &candidates,
        &sample,
        400.0,
        &mut |index| Ok(index.cost(&sample, K)?.multiply_adds as f64 / pairs),
        &mut |index| quality(System::Retriever(index)),
    )?;
    println!("\nratios moved after training    multiply-adds a pair   ndcg@20 on validation");
    for (at, trial) in plan.trials.iter().enumerate() {
        let ratios = format!("{:?}", trial.ratios.as_slice());
        let mark = if plan.chosen == Some(at) { "  <- best within 400" } else { "" };
        println!("{ratios:30} {:>20.0} {:>23.4}{mark}", trial.cost, trial.quality);
    }

    println!(
        "\n{:24} {:>9} {:>13} {:>21} {:>9} {:>10}",
        "on test", "ndcg@20", "ndcg_hits@20", "multiply-adds a pair", "us/user", "bytes"
    );
    let exhaustive = Exhaustive::new(&teacher);
    let layers: usize = neumf_layers().iter().map(|(inputs, outputs)| inputs * outputs).sum();
    let per_pair = |index: &CascadeIndex| -> Result<f64, Box<dyn Error>> {
        Ok(index.cost(&users, K)?.multiply_adds as f64 / (users.len() * train.n_items()) as f64)
    };
    for (name, retriever, bytes, multiply_adds) in [
        ("NeuMF, all pairs", &exhaustive as &dyn Retriever<Query = UserId>, teacher.size_bytes(), layers as f64),
        ("MF student", &student, student.size_bytes(), per_pair(&student)?),
        ("cascade", &cascade, cascade.size_bytes(), per_pair(&cascade)?),
    ] {
        let test = evaluate_test(System::Retriever(retriever), &split, &[ndcg, hits], Candidates::Unseen)?;
        let (start, mut top) = (Instant::now(), TopK::new());
        for user in &users {
            retriever.top_k(user, K, &ItemFilter::seen(train.items_of(*user))?, &mut top)?;
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / users.len() as f64;
        let [ndcg, hits] = [ndcg, hits].map(|metric| test.value(metric).unwrap_or_default());
        println!("{name:24} {ndcg:>9.4} {hits:>13.4} {multiply_adds:>21.0} {micros:>9.1} {bytes:>10}");
    }
    Ok(())
}

/// Layers of the teacher's tower that are left for each pair (the first one is a sum of two parts known beforehand), and its output.
fn neumf_layers() -> Vec<(usize, usize)> {
    let config = NeuMfConfig::default();
    let mut layers = config.layers().split_off(1);
    layers.push((config.joint_dim(), 1));
    layers
}
