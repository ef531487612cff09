//! How long do reading, splitting and drawing negatives take on a file of yours?
//!
//!     cargo run --release -p rectify-data --example speed -- ratings.dat.gz movielens
//!
//! Without arguments on a file of made-up data. Prints CPU milliseconds of this thread (Linux; wall time elsewhere), the best of five, since machines are shared.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId};
use rectify_data::samplers::UniformNegatives;
use rectify_data::{Cleaning, Format, KCore, Protocol, Recipe, SyntheticConfig, clean, split};

/// Milliseconds this thread has run.
fn cpu_ms(start: Instant) -> f64 {
    let nanoseconds = std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64() * 1e3, |ns| ns / 1e6)
}

#[expect(clippy::print_stdout, reason = "an example speaks")]
fn best_of_five<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let clock = Instant::now();
    let mut run = || {
        let start = cpu_ms(clock);
        let result = work();
        (cpu_ms(clock) - start, result)
    };
    let (mut best, mut result) = run();
    for _ in 1..5 {
        let (ms, again) = run();
        best = best.min(ms);
        result = again;
    }
    println!("{what}: {best:.1} ms");
    result
}

/// A file of synthetic interactions among the temporary ones.
fn made_up() -> Result<PathBuf, Box<dyn Error>> {
    let data = SyntheticConfig::small().generate("synthetic", Seed(0))?;
    let lines: String =
        data.interactions.pairs().map(|(user, item)| format!("{}\t{}\t1\t0\n", user.0, item.0)).collect();
    let path = std::env::temp_dir().join("rectify-speed.tsv");
    std::fs::write(&path, lines)?;
    Ok(path)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (path, format): (PathBuf, Format) = match (arguments.next(), arguments.next()) {
        (Some(path), Some(format)) => (path.into(), format.parse()?),
        (None, _) => (made_up()?, "tab".parse()?),
        (Some(_), None) => return Err("usage: speed [FILE FORMAT]".into()),
    };
    let recipe = Recipe::of_path(&path, format)?;

    let data = best_of_five("read", || recipe.build())?;
    let core = Cleaning { k_core: Some(KCore { users: 20, items: 20 }), ..Cleaning::default() };
    best_of_five("20-core (with a copy of the data)", || clean(data.clone(), &core))?;
    let seen = best_of_five("split 80/20", || split(&data.interactions, None, &Protocol::hdn(), Seed(1), 0))?.train;
    let sampler = UniformNegatives::new(&seen, Seed(2))?;
    let mut users: Vec<UserId> = seen.pairs().map(|(user, _)| user).collect();
    Seed(3).rng().shuffle(&mut users);
    let mut negatives = vec![ItemId(0); users.len()];
    let what = format!("{} negatives of shuffled positives", users.len());
    best_of_five(&what, || sampler.fill(1, 0, &users, &mut negatives));
    // The naive twin: draw, and ask the sorted row.
    let seed = Seed(2);
    best_of_five("the same by binary search alone", || {
        for (at, (user, out)) in users.iter().zip(&mut negatives).enumerate() {
            let mut rng = seed.at(1, at as u64);
            *out = loop {
                let item = ItemId(rng.below(seen.n_items() as u32));
                if !seen.contains(*user, item) {
                    break item;
                }
            };
        }
    });
    Ok(())
}
