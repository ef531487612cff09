//! What the facade costs: bytes of a file, milliseconds to open it, microseconds that own ids and lists of what people have add to a query.
//!
//! `cargo run --release -p rectify --example serve -- [ITEMS]`: codes of four bytes, ids of twelve, 1,000 users.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::error::Error;
use std::time::Instant;

use rectify::{Catalogue, IdMap, Kinds, Overwrite, People, Provenance, Recommender};
use rectify_core::rng::Seed;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK, UserId, UserVectors};
use rectify_quantize::{CodeIndex, CodeShape, CodedFactors, Composition};

const USERS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let n_items: usize = std::env::args().nth(1).map_or(Ok(20_000), |n| n.parse())?;
    let mut rng = Seed(1).rng();
    let shape = CodeShape { embedding_dim: 32, n_codebooks: 4, n_codewords: 256, composition: Composition::Sum };
    let codebooks: Vec<f32> = (0..4 * 256 * 32).map(|_| rng.normal() as f32).collect();
    let codes: Vec<u8> = (0..4 * n_items).map(|_| rng.below(256) as u8).collect();
    let users: Vec<f32> = (0..USERS * 32).map(|_| rng.normal() as f32).collect();
    let index = CodeIndex::from_codes(shape, &codebooks, &codes)?;
    let model = CodedFactors::new(UserVectors::new(users, 32)?, index, Provenance::default())?;
    let seen: Vec<Vec<ItemId>> =
        (0..USERS).map(|_| (0..50).map(|_| ItemId(rng.below(n_items as u32))).collect()).collect();
    let people = People::new(IdMap::from_names((0..USERS).map(|user| format!("user-{user:04}")))?, &seen)?;
    let items = Catalogue::new((0..n_items).map(|item| format!("item-{item:07}")))?;
    let kind = *Kinds::builtin().get("rvq")?;
    let whole = Recommender::new(kind, Box::new(model), items, people, Provenance::default())?;

    let path = std::env::temp_dir().join(format!("serve-{}.rectify", std::process::id()));
    whole.save(&path, Overwrite::Replace)?;
    let size = std::fs::metadata(&path)?.len();
    println!("{n_items} items, {USERS} users: {size} bytes, {:.1} an item", size as f64 / n_items as f64);
    println!("open: {:.1} ms", best(5, || Recommender::open(&path).map(drop))?);
    println!("open deferred: {:.2} ms", best(5, || Recommender::open_deferred(&path).map(drop))?);

    let served = Recommender::open(&path)?;
    std::fs::remove_file(&path)?;
    let names: Vec<String> = (0..USERS).map(|user| format!("user-{user:04}")).collect();
    let rows: Vec<Vec<ItemId>> = seen.into_iter().map(sorted).collect();
    // The same mapped index, asked by dense ids.
    let answers = served.model().answers();
    let mut top = TopK::new();
    // Interleaved, so that a busy moment of the machine hits both.
    let (mut index_us, mut own_us) = (f64::MAX, f64::MAX);
    for _ in 0..7 {
        let begun = Instant::now();
        for (user, row) in rows.iter().enumerate() {
            Retriever::top_k(&answers, &UserId(user as u32), 10, &ItemFilter::seen(row)?, &mut top)?;
        }
        index_us = index_us.min(begun.elapsed().as_secs_f64() * 1e6 / USERS as f64);
        let begun = Instant::now();
        for name in &names {
            assert_eq!(served.recommend(name, 10)?.len(), 10);
        }
        own_us = own_us.min(begun.elapsed().as_secs_f64() * 1e6 / USERS as f64);
    }
    println!(
        "a list of ten: {index_us:.2} µs by the index, {own_us:.2} µs in own ids: {:.2} µs more",
        own_us - index_us
    );
    Ok(())
}

fn sorted(mut row: Vec<ItemId>) -> Vec<ItemId> {
    row.sort_unstable();
    row.dedup();
    row
}

/// The least milliseconds of some calls.
fn best<E>(n: usize, mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut least = f64::MAX;
    for _ in 0..n {
        let begun = Instant::now();
        call()?;
        least = least.min(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(least)
}
