//! Negatives, splits, and reading of a MovieLens-1M-sized file made in memory.
#![expect(clippy::unwrap_used, reason = "a bench may stop at its first error")]

use std::fmt::Write;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rectify_core::rng::Seed;
use rectify_core::{ItemId, UserId};
use rectify_data::samplers::UniformNegatives;
use rectify_data::{Dataset, Format, Protocol, ReadOptions, SyntheticConfig, load_path, split};

/// As many users, items and interactions as MovieLens-1M.
fn million() -> Dataset {
    let config =
        SyntheticConfig { n_users: 6_040, n_items: 3_706, mean_interactions: 165.0, ..SyntheticConfig::small() };
    config.generate("million", Seed(1)).unwrap()
}

fn benches(c: &mut Criterion) {
    let data = million();
    let seen = &data.interactions;
    let users: Vec<UserId> = seen.pairs().map(|(user, _)| user).collect();
    let mut shuffled = users.clone();
    Seed(2).rng().shuffle(&mut shuffled);
    let mut negatives = vec![ItemId(0); users.len()];
    let sampler = UniformNegatives::new(seen, Seed(3)).unwrap();

    let mut group = c.benchmark_group("negatives");
    group.throughput(Throughput::Elements(users.len() as u64)).sample_size(20);
    group.bench_function("uniform/users_in_order", |b| b.iter(|| sampler.fill(1, 0, &users, &mut negatives)));
    group.bench_function("uniform/users_shuffled", |b| b.iter(|| sampler.fill(1, 0, &shuffled, &mut negatives)));
    // The naive twin: draw, ask the sorted row.
    group.bench_function("binary_search/users_shuffled", |b| {
        b.iter(|| {
            for (at, (user, out)) in shuffled.iter().zip(&mut negatives).enumerate() {
                let mut rng = Seed(3).at(1, at as u64);
                *out = loop {
                    let item = ItemId(rng.below(seen.n_items() as u32));
                    if !seen.contains(*user, item) {
                        break item;
                    }
                };
            }
        });
    });
    group.finish();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ratings.dat");
    let mut text = String::new();
    for (at, (user, item)) in seen.pairs().enumerate() {
        writeln!(text, "{}::{}::{}::{}", user.0 + 1, item.0 + 1, at % 5 + 1, 978_300_760 + at).unwrap();
    }
    std::fs::write(&path, &text).unwrap();
    let mut group = c.benchmark_group("million");
    group.sample_size(10);
    group.bench_function("read_movielens", |b| {
        b.iter(|| load_path(&path, Format::Movielens, &ReadOptions::default()).unwrap());
    });
    group.bench_function("split_80_20", |b| b.iter(|| split(seen, None, &Protocol::hdn(), Seed(1), 0).unwrap()));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
