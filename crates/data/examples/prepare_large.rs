//! How much memory does a large data set need?
//!
//!     cargo build --release -p rectify-data --example prepare_large
//!     /usr/bin/time -v target/release/examples/prepare_large 1000000 100000 100
//!
//! Generates users × items with so many interactions a user, saves them as an artifact in a temporary folder, maps it again,
//! and draws a million negatives. The peak resident size is what `time` prints; the file counts as resident while mapped.

use std::error::Error;
use std::time::Instant;

use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId};
use rectify_data::samplers::UniformNegatives;
use rectify_data::{Dataset, SyntheticConfig};

#[expect(clippy::print_stdout, reason = "an example speaks")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let (n_users, n_items, mean) = (next(10_000)?, next(5_000)?, next(100)?);
    let config = SyntheticConfig {
        n_users,
        n_items,
        mean_interactions: mean as f64,
        n_clusters: n_items.div_ceil(250),
        ..SyntheticConfig::small()
    };

    let start = Instant::now();
    let data = config.generate("large", Seed(1))?;
    println!("generated {} interactions in {:.1} s", data.interactions.n_interactions(), start.elapsed().as_secs_f64());

    let folder = std::env::temp_dir().join(format!("rectify-large-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("large.safetensors");
    let start = Instant::now();
    data.save(&path, Overwrite::Replace)?;
    drop(data);
    println!("saved in {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let data = Dataset::open(&path)?;
    println!("mapped and checked in {:.1} s", start.elapsed().as_secs_f64());

    let seen = &data.interactions;
    let sampler = UniformNegatives::new(seen, Seed(1).stream("negatives"))?;
    let users: Vec<UserId> =
        (0..1_000_000u32).map(|at| UserId(at.wrapping_mul(2_654_435_761) % seen.n_users() as u32)).collect();
    let mut negatives = vec![ItemId(0); users.len()];
    let start = Instant::now();
    sampler.fill(0, 0, &users, &mut negatives);
    println!("a negative of a random user takes {:.0} ns", start.elapsed().as_secs_f64() * 1e9 / users.len() as f64);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
