//! Counts of the public data sets, where they are at hand: set `RECTIFY_DATA` to their directory.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::explicit_write,
    reason = "tests: a failure there is the message, a skip must be seen"
)]

use std::io::Write;
use std::path::PathBuf;

use rectify_core::rng::Seed;
use rectify_data::{Cleaning, KCore, Manifest, ManifestError, Protocol, describe, split};

/// Sets that the directory need not hold: their files cannot be redistributed.
const MAY_BE_MISSING: &[&str] = &["ml-10m", "ml-20m", "mind-small", "pinterest", "yelp2018", "amazon-book"];

fn data_dirs() -> Option<Vec<PathBuf>> {
    let dir = std::env::var_os("RECTIFY_DATA");
    if dir.is_none() {
        // Past the harness's capture, which hides what passing tests print.
        writeln!(std::io::stderr(), "SKIPPED: RECTIFY_DATA is not set, so counts of real data are not checked")
            .unwrap();
    }
    dir.map(|dir| vec![PathBuf::from(dir)])
}

fn build(name: &str, dirs: &[PathBuf], cleaning: Option<Cleaning>) -> rectify_data::Dataset {
    let manifest = Manifest::named(name).unwrap();
    let mut recipe = manifest.recipe(dirs).unwrap();
    if let Some(cleaning) = cleaning {
        recipe.cleaning = cleaning;
    }
    recipe.build().unwrap()
}

#[test]
fn every_data_set_has_the_counts_of_its_manifest() {
    let Some(dirs) = data_dirs() else { return };
    let mut n_checked = 0;
    for manifest in Manifest::builtin().unwrap() {
        let recipe = match manifest.recipe(&dirs) {
            Ok(recipe) => recipe,
            Err(ManifestError::NotFound { .. }) if MAY_BE_MISSING.contains(&manifest.name.as_str()) => continue,
            Err(error) => panic!("{error}"),
        };
        let data = recipe.build().unwrap_or_else(|error| panic!("{}: {error}", manifest.name));
        manifest.check_counts(&data).unwrap();
        assert!(data.interactions.validate().is_empty(), "{}", manifest.name);
        for file in manifest.check_files(&dirs).unwrap() {
            assert_eq!(file.same_bytes, Some(true), "{}/{}", manifest.name, file.path);
        }
        eprintln!("{}", serde_json::to_string(&describe(&data)).unwrap());
        split(&data.interactions, data.fixed.as_ref(), &manifest.protocol, Seed(1), 0).unwrap();
        n_checked += 1;
    }
    assert!(n_checked >= 16, "only {n_checked} sets were there");
}

#[test]
fn twenty_core_of_movielens_is_that_of_dgcn_bincf() {
    let Some(dirs) = data_dirs() else { return };
    let cleaning = Cleaning { k_core: Some(KCore { users: 20, items: 20 }), ..Cleaning::default() };
    let data = build("ml-1m", &dirs, Some(cleaning));
    let all = &data.interactions;
    assert_eq!((all.n_users(), all.n_items(), all.n_interactions()), (6_022, 3_043, 995_154));
    let left: Vec<(usize, usize)> = data.provenance.steps.iter().map(|step| (step.n_users, step.n_items)).collect();
    assert_eq!(left[..3], [(6_040, 3_706), (6_040, 3_043), (6_022, 3_043)], "663 items go first, then 18 users");
}

#[test]
fn citeulike_of_de_rrd_comes_out_of_the_larger_collection() {
    let Some(dirs) = data_dirs() else { return };
    let cleaning = Cleaning { min_user_items: Some(5), ..Cleaning::default() };
    let data = build("citeulike-t", &dirs, Some(cleaning));
    let all = &data.interactions;
    assert_eq!((all.n_users(), all.n_items(), all.n_interactions()), (5_219, 25_181, 125_580));
    let split = split(all, None, &Protocol::de_rrd(), Seed(0), 0).unwrap();
    assert_eq!(split.train.n_interactions(), 115_142);
    let validation = split.validation.unwrap();
    assert_eq!((validation.n_interactions(), split.test.n_interactions()), (5_219, 5_219));
    assert!(all.users().all(|user| validation.candidates_of(user).is_some_and(|items| items.len() == 499)));
}

#[test]
fn lightrec_trains_on_107_154_pairs_of_citeulike() {
    let Some(dirs) = data_dirs() else { return };
    let data = build("citeulike-t", &dirs, None);
    let split = split(&data.interactions, None, &Protocol::lightrec(), Seed(0), 0).unwrap();
    let validation = split.validation.unwrap().n_interactions();
    assert_eq!(split.train.n_interactions() + validation, 107_154);
}
