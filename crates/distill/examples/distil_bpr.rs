//! Distils a BPR model of 200 dimensions into one of 20, and prints teacher, student, and what distillation adds.
//!
//! ```sh
//! cargo run --release -p rectify-distill --example distil_bpr
//! RECTIFY_DATA=DIR cargo run --release -p rectify-distill --example distil_bpr -- citeulike-de-rrd
//! ```
//!
//! Without a name of a data set it uses built-in synthetic data, some seconds. (CiteULike takes about twenty.)

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to people")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use rectify_core::rng::Seed;
use rectify_core::{Factors, Index, Teacher, UserId};
use rectify_data::{Manifest, Protocol, Split, SyntheticConfig, split};
use rectify_distill::sampling::ListSamplerConfig;
use rectify_distill::{Distillation, ExpertsTerm, ListLoss, ListTerm};
use rectify_eval::{Candidates, Metric, System, evaluate, evaluate_test};
use rectify_teachers::Reduction;
use rectify_teachers::mf::{self, MfConfig};
use rectify_tensor::Optimizer;
use rectify_tensor::train::{Event, FitConfig, Guides, TrainRun};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let seed = Seed(0);
    let name = std::env::args().nth(1);
    let (interactions, learning_rate) = match &name {
        Some(name) => {
            let folder = std::env::var_os("RECTIFY_DATA").ok_or("set RECTIFY_DATA to the folder of the data sets")?;
            (Manifest::named(name)?.recipe(&[PathBuf::from(folder)])?.build()?.interactions, 0.001)
        }
        // Fewer pairs, so fewer steps an epoch: larger ones.
        None => {
            let few = SyntheticConfig { n_users: 600, ..SyntheticConfig::small() };
            (few.generate("synthetic", seed)?.interactions, 0.005)
        }
    };
    // One item of each user is the test, one validates, each among 499 others (DE-RRD, section 5.1).
    let split = split(&interactions, None, &Protocol::de_rrd(), seed, 0)?;
    println!(
        "{}: {} users, {} items, {} pairs to learn from",
        name.as_deref().unwrap_or("synthetic data"),
        split.train.n_users(),
        split.train.n_items(),
        split.train.n_interactions()
    );

    let config = |embedding_dim| MfConfig {
        embedding_dim,
        reduction: Reduction::Sum,
        optimizer: Optimizer::adam(learning_rate).with_weight_decay(0.001),
        ..MfConfig::default()
    };
    let teacher = train("teacher, 200 wide", &split, &config(200), Guides::new(), seed)?;
    train("student, 20 wide", &split, &config(20), Guides::new(), seed)?;

    // What the teacher adds: its vectors through ten experts, its ranking through relaxed lists.
    let distillation = Distillation {
        experts: Some(ExpertsTerm { weight: 0.01, n_experts: 10, ..ExpertsTerm::default() }),
        lists: Some(ListTerm { weight: 0.001, loss: ListLoss::RelaxedRanking(ListSamplerConfig::default()) }),
    };
    let (train_data, teacher): (_, &dyn Teacher<Query = UserId>) = (&split.train, &teacher);
    let seen = |user| train_data.items_of(user);
    let guides =
        distillation.guides(teacher, train_data.n_users(), train_data.n_items(), seen, seed.stream("distillation"))?;
    train("distilled, 20 wide", &split, &config(20), guides, seed)?;
    Ok(())
}

/// Trains with early stopping, tests, and prints a line.
fn train(name: &str, split: &Split, config: &MfConfig, guides: Guides<'_>, seed: Seed) -> Outcome<Factors> {
    let (start, metric) = (Instant::now(), "hr@5".parse::<Metric>()?);
    let holdout = split.validation.as_ref().ok_or("the protocol has a validation part")?;
    let how = FitConfig { max_epochs: 1000, patience: Some(30), ..FitConfig::default() };
    let mut validate = |model: &Factors| {
        let evaluation = evaluate(System::Scorer(model), &split.train, holdout, &[metric], Candidates::Sampled)?;
        evaluation.value(metric).ok_or_else(|| "no users to validate".into())
    };
    let mut observer = |event: &Event| {
        if let Event::Validated { epoch, metric, .. } = event
            && epoch % 20 == 0
        {
            eprintln!("  {name}: epoch {epoch}, validation {metric:.4}");
        }
        ControlFlow::Continue(())
    };
    let run = TrainRun::new(seed).fit(&how).validate(&mut validate).observer(&mut observer);
    let (model, report) = mf::fit_guided(&split.train, config, guides, run)?;
    let test = evaluate_test(System::Scorer(&model), split, &[metric], Candidates::Sampled)?;
    println!(
        "{name:<20} H@5 {:.4}  {:>9} parameters  {:>9} bytes  best of {} epochs: {}  {:.0} s",
        test.value(metric).unwrap_or(f64::NAN),
        model.users().len() + model.items().len(),
        model.size_bytes(),
        report.history.len(),
        report.best_epoch,
        start.elapsed().as_secs_f64()
    );
    Ok(model)
}
