//! Conformance kit of trainers (feature `testing`): what every iterative model promises of its training.

use std::fmt::Display;
use std::ops::ControlFlow;
use std::path::Path;

use rectify_core::Index;
use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;

use crate::train::{Checkpoint, Event, FitConfig, FitReport, TrainRun};

/// Epochs of each training of the kit.
const EPOCHS: u32 = 4;

/// Checks a trainer: the same file with 1 and 2 threads; the same file after being stopped behind each epoch and taken up again; the best
/// validated epoch kept; a checkpoint of another run, no epochs, no patience, and epochs to validate without a validation refused.
///
/// `fit` trains a small model by the run it is given, the same each time.
///
/// # Panics
/// If a promise is broken.
pub fn trainer<M, E>(fit: impl Fn(TrainRun<'_, M>) -> Result<(M, FitReport), E> + Sync)
where
    M: Index,
    E: Display,
{
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let bytes = |model: &M| {
        let path = folder.path().join("model");
        model.save(&path, Overwrite::Replace).unwrap_or_else(|e| panic!("saving failed: {e}"));
        std::fs::read(path).expect("the file was just written")
    };
    let plain = FitConfig { max_epochs: EPOCHS, patience: None, eval_every: 0, checkpoint: None };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        // A model need not be Send; its bytes are.
        pool.install(|| bytes(&trained(fit(start(&plain))).0))
    };

    let whole = on(1);
    assert!(on(2) == whole, "2 threads gave other bytes than 1");

    let checkpoint = |name: &str, run: &str| Some(Checkpoint { path: folder.path().join(name), run: run.to_owned() });
    let kept = FitConfig { checkpoint: checkpoint("checkpoint", "the kit"), ..plain.clone() };
    for stop in 1..=EPOCHS {
        let mut stopper = |event: &Event| {
            let last = matches!(event, Event::Trained { epoch, .. } if *epoch == stop);
            if last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (_, report) = trained(fit(start(&kept).observer(&mut stopper)));
        assert_eq!(report.history.len() as u32, stop, "stopped behind epoch {stop}");
    }
    let (resumed, report) = trained(fit(start(&kept)));
    assert_eq!(report.history.len() as u32, EPOCHS, "a resumed run forgot epochs");
    assert!(bytes(&resumed) == whole, "a run that was stopped {EPOCHS} times and taken up again has other bytes");
    let other = FitConfig { checkpoint: checkpoint("checkpoint", "another run"), ..plain.clone() };
    refused(fit(start(&other)), "the checkpoint belongs to another run");

    // A metric that falls keeps the first epoch.
    let mut metric = 0.0;
    let mut falling = |_: &M| {
        metric -= 1.0;
        Ok(metric)
    };
    let early = FitConfig { patience: Some(2), eval_every: 1, ..plain.clone() };
    let (best, report) = trained(fit(start(&early).validate(&mut falling)));
    assert_eq!((report.best_epoch, report.history.len(), report.best_metric), (1, 3, Some(-1.0)), "{report:?}");
    let one = FitConfig { max_epochs: 1, ..plain.clone() };
    assert!(bytes(&best) == bytes(&trained(fit(start(&one))).0), "the best epoch's parameters were not kept");

    refused(fit(start(&FitConfig { max_epochs: 0, ..plain.clone() })), "max_epochs is 0, expected at least 1");
    refused(fit(start(&FitConfig { patience: Some(0), ..plain.clone() })), "patience is 0, expected at least 1");
    let blind = FitConfig { eval_every: 1, ..plain };
    refused(fit(start(&blind)), "eval_every is 1, expected 0 without a validation");
    let mut failing = |_: &M| Err("no metric today".into());
    refused(fit(start(&blind).validate(&mut failing)), "epoch 1: no metric today");
    check_clean(folder.path());
}

fn start<'a, M>(config: &FitConfig) -> TrainRun<'a, M> {
    TrainRun::new(Seed(11)).fit(config)
}

fn trained<M, E: Display>(result: Result<(M, FitReport), E>) -> (M, FitReport) {
    result.unwrap_or_else(|e| panic!("training failed: {e}"))
}

fn refused<M, E: Display>(result: Result<(M, FitReport), E>, expected: &str) {
    match result {
        Ok(_) => panic!("a run was taken that should be refused: {expected}"),
        Err(error) => assert!(error.to_string().contains(expected), "refused with {error}, expected {expected}"),
    }
}

fn check_clean(folder: &Path) {
    let mut left: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["checkpoint", "model"], "files were left behind");
}
