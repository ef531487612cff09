//! Manifests, recipes and the cache.

#![expect(clippy::unwrap_used, reason = "tests: a failure there is the message")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use rectify_data::{Format, Manifest, ManifestError, Recipe, search_dirs};

const TOY: &str = r#"
name = "toy"
title = "Toy"
homepage = "http://toy"
licence = "for tests"
format = "lightgcn"

[[files]]
role = "train"
path = "train.txt"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"

[[files]]
role = "test"
path = "test.txt"

[expected]
users = 2
items = 3
interactions = 4
train = 1
test = 1
cleaned = [2, 1, 2]

[cleaning]
k_core = { users = 1, items = 2 }

[protocol.files]
"#;

fn gzip(path: &Path, content: &str) {
    let mut encoder = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap();
}

/// A data directory with the toy set: one file plain, one gzipped.
fn data_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("toy")).unwrap();
    std::fs::write(dir.path().join("toy/train.txt"), "0 1 2\n1 3\n").unwrap();
    gzip(&dir.path().join("toy/test.txt.gz"), "1 1\n");
    dir
}

#[test]
fn every_manifest_of_the_folder_is_built_in_and_parses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().strip_suffix(".toml").map(str::to_owned))
        .collect();
    let manifests = Manifest::builtin().unwrap();
    assert_eq!(manifests.iter().map(|manifest| manifest.name.clone()).collect::<BTreeSet<_>>(), on_disk);
    for manifest in &manifests {
        assert!(!manifest.licence.is_empty() && manifest.homepage.starts_with("https://"), "{}", manifest.name);
        for file in &manifest.files {
            let hex = |digest: &String| digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(file.sha256.as_ref().is_none_or(hex), "{}/{}", manifest.name, file.path);
            let archive_is_listed =
                file.archive.as_ref().is_none_or(|name| manifest.archives.iter().any(|archive| archive.path == *name));
            assert!(archive_is_listed, "{}/{}", manifest.name, file.path);
        }
    }
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let error = Manifest::named("ml1m").unwrap_err().to_string();
    assert!(error.starts_with("unknown data set \"ml1m\" (did you mean ml-1m?); known are amazon-beauty, "), "{error}");
    let error = Manifest::named("netflix").unwrap_err().to_string();
    assert!(error.starts_with("unknown data set \"netflix\"; known are "), "{error}");
}

#[test]
fn a_manifest_with_an_unknown_key_is_refused_with_its_line() {
    let error = Manifest::parse("toy", &TOY.replace("licence =", "license =")).unwrap_err().to_string();
    assert!(error.contains("manifest toy: ") && error.contains("unknown field `license`"), "{error}");
    let error = Manifest::parse("toy", &TOY.replace("lightgcn", "lightgnc")).unwrap_err().to_string();
    assert!(error.contains("unknown variant `lightgnc`"), "{error}");
}

#[test]
fn a_set_is_found_prepared_once_and_mapped_ever_after() {
    let (dir, cache) = (data_dir(), tempfile::tempdir().unwrap());
    let manifest = Manifest::parse("toy", TOY).unwrap();
    let dirs = [PathBuf::from("/nowhere"), dir.path().to_owned()];
    let first = manifest.prepare(&dirs, cache.path()).unwrap();
    let all = &first.dataset.interactions;
    assert_eq!((all.n_users(), all.n_items(), all.n_interactions()), (2, 1, 2), "items 2 and 3 have one user and go");
    assert_eq!(first.dataset.ids.items.name(0), Some("1".into()));
    let second = manifest.prepare(&dirs, cache.path()).unwrap();
    assert_eq!((first.fresh, second.fresh), (true, false));
    assert_eq!(second.dataset, first.dataset);
}

#[test]
fn changed_files_and_changed_settings_are_prepared_anew_and_damage_is_mended() {
    let (dir, cache) = (data_dir(), tempfile::tempdir().unwrap());
    let recipe = |cleaning: &str| {
        let text = TOY.replace("k_core = { users = 1, items = 2 }", cleaning).replace("cleaned = [2, 1, 2]", "");
        Manifest::parse("toy", &text).unwrap().recipe(&[dir.path().to_owned()]).unwrap()
    };
    let plain = recipe("");
    let first = plain.prepare(cache.path()).unwrap();
    let again = plain.prepare(cache.path()).unwrap();
    assert_eq!((first.fresh, again.fresh, &first.path), (true, false, &again.path));
    assert_eq!(first.dataset, again.dataset);
    assert_ne!(recipe("min_user_items = 2").prepare(cache.path()).unwrap().path, first.path);

    let bytes = std::fs::read(&first.path).unwrap();
    drop((first, again));
    std::fs::write(plain.prepare(cache.path()).unwrap().path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(plain.prepare(cache.path()).unwrap().fresh, "a damaged cache is made again");

    std::fs::write(dir.path().join("toy/train.txt"), "0 1 2\n1 3 2\n").unwrap();
    let changed = plain.prepare(cache.path()).unwrap();
    assert!(changed.fresh);
    assert_eq!(changed.dataset.interactions.n_interactions(), 5);
}

#[test]
fn missing_files_and_wrong_counts_are_named() {
    let (dir, cache) = (data_dir(), tempfile::tempdir().unwrap());
    let manifest = Manifest::parse("toy", TOY).unwrap();
    let error = manifest.prepare(&[PathBuf::from("/nowhere")], cache.path()).unwrap_err().to_string();
    assert!(error.contains("train.txt is in none of /nowhere/toy; `data fetch toy` downloads"), "{error}");
    std::fs::write(dir.path().join("toy/train.txt"), "0 1 2\n").unwrap();
    let error = manifest.prepare(&[dir.path().to_owned()], cache.path()).unwrap_err();
    assert!(matches!(error, ManifestError::Counts { what: "number of items", expected: 3, got: 2, .. }), "{error}");
}

#[test]
fn checks_of_files_tell_same_other_and_unknown_bytes() {
    let dir = data_dir();
    let check = |text: &str| {
        let checks = Manifest::parse("toy", text).unwrap().check_files(&[dir.path().to_owned()]).unwrap();
        checks.into_iter().map(|check| check.same_bytes).collect::<Vec<_>>()
    };
    assert_eq!(check(TOY), [Some(false), None]);
    // printf '0 1 2\n1 3\n' | sha256sum
    let right = "55a3dd3ab2fcbd400f34f0be2c963a3a7f99a9f0f7242c403a7b53d21f83e757";
    assert_eq!(check(&TOY.replace(&"0".repeat(64), right)), [Some(true), None]);
}

#[test]
fn any_file_or_folder_has_a_recipe() {
    let (dir, cache) = (data_dir(), tempfile::tempdir().unwrap());
    let folder = Recipe::of_path(&dir.path().join("toy"), Format::Lightgcn).unwrap();
    assert!(folder.prepare(cache.path()).unwrap().dataset.fixed.is_some());
    let file = Recipe::of_path(&dir.path().join("toy/train.txt"), Format::Lightgcn).unwrap();
    let prepared = file.prepare(cache.path()).unwrap();
    assert_eq!((prepared.dataset.name.as_str(), prepared.dataset.interactions.n_interactions()), ("train.txt", 3));
    assert_ne!(file.key().unwrap(), folder.key().unwrap());
}

#[test]
fn directories_are_searched_in_the_promised_order() {
    let path = |text: &str| Some(PathBuf::from(text));
    let dirs = search_dirs(path("/asked"), Some("/env".into()), path("/cache"));
    assert_eq!(dirs, ["/asked", "/env", "/cache"].map(PathBuf::from));
    assert_eq!(search_dirs(None, Some("".into()), None), Vec::<PathBuf>::new());
}

#[test]
fn a_manifest_cannot_lead_out_of_the_data_directory() {
    for (from, to) in [("\"train.txt\"", "\"../train.txt\""), ("\"test.txt\"", "\"/test.txt\""), ("\"toy\"", "\"..\"")]
    {
        let text = Manifest::parse("toy", &TOY.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(text.contains(to) && text.contains("expected a relative path"), "{text}");
    }
}

#[test]
fn a_manifest_of_ones_own_is_read_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    assert!(Manifest::open(&path).unwrap_err().to_string().contains("mine.toml"));
    std::fs::write(&path, TOY).unwrap();
    assert_eq!(Manifest::open(&path).unwrap(), Manifest::parse("toy", TOY).unwrap());
}
