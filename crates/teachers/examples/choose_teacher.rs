//! Which teacher for these data? Five of them on held-out items: quality with intervals, seconds of training, bytes.
//!
//! ```sh
//! cargo run --release -p rectify-teachers --example choose_teacher                      # built-in data, seconds
//! RECTIFY_DATA=DIR cargo run --release -p rectify-teachers --example choose_teacher     # MovieLens-1M, a minute
//! ```
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use rectify_core::artifact::Overwrite;
use rectify_core::{Index, Scorer, UserId};
use rectify_data::{Manifest, Protocol, SyntheticConfig, split};
use rectify_eval::stats::Bootstrap;
use rectify_eval::{Candidates, Metric, System, evaluate_test};
use rectify_teachers::ease::{self, EaseConfig};
use rectify_teachers::ials::{self, IalsConfig};
use rectify_teachers::item_cf::{self, ItemCfConfig};
use rectify_teachers::mf::{self, MfConfig};
use rectify_teachers::{Seed, TrainRun, pop_rank};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let seed = Seed(0);
    let (name, interactions) = match std::env::var_os("RECTIFY_DATA") {
        Some(folder) => ("ml-1m", Manifest::named("ml-1m")?.recipe(&[PathBuf::from(folder)])?.build()?.interactions),
        None => {
            let config = SyntheticConfig { n_users: 500, n_items: 400, ..SyntheticConfig::small() };
            ("built-in data", config.generate("built-in", seed)?.interactions)
        }
    };
    let split = split(&interactions, None, &Protocol::lightrec(), seed, 0)?;
    let train = &split.train;
    println!("{name}: {} users, {} items, {} pairs", train.n_users(), train.n_items(), train.n_interactions());

    let metrics: Vec<Metric> = ["recall@20", "ndcg@20"].iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let path = std::env::temp_dir().join(format!("choose-teacher-{}.rectify", std::process::id()));
    // What is told of each: test values with intervals, time, and the bytes of its file.
    let tell = |name: &str, model: &dyn Model, seconds: f64| -> Outcome<()> {
        let evaluation = evaluate_test(System::Scorer(model.scorer()), &split, &metrics, Candidates::Unseen)?;
        let mut line = format!("{name:<9}");
        for value in evaluation.summaries(&Bootstrap::default())? {
            let interval = value.interval.map_or(String::new(), |i| format!(" [{:.4}, {:.4}]", i.low, i.high));
            line += &format!("  {} {:.4}{interval}", value.metric, value.value);
        }
        model.store(&path)?;
        let bytes = std::fs::metadata(&path)?.len();
        std::fs::remove_file(&path)?;
        println!("{line}  {seconds:.2} s  {bytes} bytes");
        Ok(())
    };

    let begun = Instant::now();
    let model = pop_rank::fit(train)?;
    tell("PopRank", &model, begun.elapsed().as_secs_f64())?;
    let begun = Instant::now();
    let model = item_cf::fit(train, &ItemCfConfig::default())?;
    tell("Item-CF", &model, begun.elapsed().as_secs_f64())?;
    let begun = Instant::now();
    let model = ease::fit(train, &EaseConfig::default())?;
    tell("EASE", &model, begun.elapsed().as_secs_f64())?;
    let begun = Instant::now();
    let (model, _) = ials::fit(train, &IalsConfig::default(), TrainRun::new(seed).epochs(10))?;
    tell("iALS", &model, begun.elapsed().as_secs_f64())?;
    let begun = Instant::now();
    let (model, _) = mf::fit(train, &MfConfig::default(), TrainRun::new(seed).epochs(20))?;
    tell("BPR-MF", &model, begun.elapsed().as_secs_f64())
}

/// A teacher that scores users' items and is saved to a file.
trait Model {
    fn scorer(&self) -> &dyn Scorer<Query = UserId>;
    fn store(&self, path: &std::path::Path) -> Outcome<()>;
}

impl<M: Scorer<Query = UserId> + Index> Model for M {
    fn scorer(&self) -> &dyn Scorer<Query = UserId> {
        self
    }

    fn store(&self, path: &std::path::Path) -> Outcome<()> {
        Ok(self.save(path, Overwrite::Replace)?)
    }
}
