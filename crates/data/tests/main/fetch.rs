//! Downloads, against a server of our own that misbehaves on demand.

#![expect(clippy::unwrap_used, reason = "tests: a failure there is the message")]

use std::net::TcpListener;
use std::path::Path;

use crate::server::{Manner, Server, digest};
use rectify_data::Manifest;
use rectify_data::fetch::{FetchError, Outcome, Progress, fetch};

fn content() -> Vec<u8> {
    (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn manifest(address: &str, sha256: Option<String>) -> Manifest {
    let sha256 = sha256.map_or(String::new(), |sha256| format!("sha256 = \"{sha256}\""));
    let text = format!(
        "name = \"toy\"\ntitle = \"Toy\"\nhomepage = \"http://toy\"\nlicence = \"for tests\"\nformat = \"tab\"\n\
         [[files]]\nrole = \"interactions\"\npath = \"toy.dat\"\nurl = \"{address}/toy.dat\"\n{sha256}\n\
         [[files]]\nrole = \"words\"\npath = \"private.dat\"\n[protocol.files]\n"
    );
    Manifest::parse("toy", &text).unwrap()
}

fn no_progress(_: &Progress) {}

fn leftovers(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir.join("toy"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_download_is_verified_reported_and_not_repeated() {
    let (bytes, dir) = (content(), tempfile::tempdir().unwrap());
    let server = Server::new(bytes.clone(), vec![Manner::Proper]);
    let manifest = manifest(&server.address, Some(digest(&bytes)));
    let mut last = None;
    let report = fetch(&manifest, dir.path(), &mut |progress| last = Some(progress.clone())).unwrap();
    assert_eq!(std::fs::read(dir.path().join("toy/toy.dat")).unwrap(), bytes);
    assert_eq!(last, Some(Progress { file: "toy.dat".into(), received: 300_000, total: Some(300_000) }));
    assert_eq!((report.licence.as_str(), report.files[0].outcome), ("for tests", Outcome::Verified));
    assert_eq!(report.not_public, ["private.dat"]);
    let again = fetch(&manifest, dir.path(), &mut no_progress).unwrap();
    assert_eq!(again.files[0].outcome, Outcome::Present);
    assert_eq!(server.ranges.lock().unwrap().len(), 1, "one request in all");
    assert_eq!(leftovers(dir.path()), ["toy.dat"]);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let (bytes, dir) = (content(), tempfile::tempdir().unwrap());
    let server = Server::new(bytes.clone(), vec![Manner::BreaksOff(100_000), Manner::Proper]);
    let manifest = manifest(&server.address, Some(digest(&bytes)));
    let error = fetch(&manifest, dir.path(), &mut no_progress).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { expected: 300_000, got: 100_000, .. }), "{error}");
    assert_eq!(leftovers(dir.path()), ["toy.dat.part"]);
    let mut first = None;
    fetch(&manifest, dir.path(), &mut |progress| {
        first.get_or_insert(progress.received);
    })
    .unwrap();
    assert_eq!(first, Some(100_000));
    assert_eq!(*server.ranges.lock().unwrap(), ["", "bytes=100000-"]);
    assert_eq!(std::fs::read(dir.path().join("toy/toy.dat")).unwrap(), bytes);
}

#[test]
fn a_server_that_ignores_ranges_starts_the_file_anew() {
    let (bytes, dir) = (content(), tempfile::tempdir().unwrap());
    let server = Server::new(bytes.clone(), vec![Manner::BreaksOff(5), Manner::IgnoresRanges]);
    let manifest = manifest(&server.address, Some(digest(&bytes)));
    fetch(&manifest, dir.path(), &mut no_progress).unwrap_err();
    fetch(&manifest, dir.path(), &mut no_progress).unwrap();
    assert_eq!(std::fs::read(dir.path().join("toy/toy.dat")).unwrap(), bytes);
}

#[test]
fn a_whole_part_file_is_taken_without_another_byte() {
    let (bytes, dir) = (content(), tempfile::tempdir().unwrap());
    let server = Server::new(bytes.clone(), vec![Manner::Proper]);
    let manifest = manifest(&server.address, Some(digest(&bytes)));
    std::fs::create_dir(dir.path().join("toy")).unwrap();
    std::fs::write(dir.path().join("toy/toy.dat.part"), &bytes).unwrap();
    fetch(&manifest, dir.path(), &mut no_progress).unwrap();
    assert_eq!(leftovers(dir.path()), ["toy.dat"]);
}

#[test]
fn halves_of_two_versions_are_dropped_and_fetched_once_more() {
    let (bytes, dir) = (content(), tempfile::tempdir().unwrap());
    let server = Server::new(bytes.clone(), vec![Manner::Proper]);
    let manifest = manifest(&server.address, Some(digest(&bytes)));
    std::fs::create_dir(dir.path().join("toy")).unwrap();
    for other in [&[9; 1000][..], &[9; 400_000]] {
        std::fs::write(dir.path().join("toy/toy.dat.part"), other).unwrap();
        fetch(&manifest, dir.path(), &mut no_progress).unwrap();
        assert_eq!(std::fs::read(dir.path().join("toy/toy.dat")).unwrap(), bytes);
        std::fs::remove_file(dir.path().join("toy/toy.dat")).unwrap();
    }
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(content(), vec![Manner::Proper]);
    let manifest = manifest(&server.address, Some("0".repeat(64)));
    let error = fetch(&manifest, dir.path(), &mut no_progress).unwrap_err();
    assert!(matches!(&error, FetchError::Checksum { got, .. } if *got == digest(&content())), "{error}");
    assert!(leftovers(dir.path()).is_empty());
}

#[test]
fn a_missing_file_and_an_absent_server_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(content(), vec![Manner::NotFound]);
    let error = fetch(&manifest(&server.address, None), dir.path(), &mut no_progress).unwrap_err();
    assert!(error.to_string().contains("status 404, expected 200 or 206; the address may have moved, see http://toy"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fetch(&manifest(&format!("http://{closed}"), None), dir.path(), &mut no_progress).unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
}

#[test]
fn bytes_without_known_checksum_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new(content(), vec![Manner::Proper]);
    let report = fetch(&manifest(&server.address, None), dir.path(), &mut no_progress).unwrap();
    assert_eq!(report.files[0].outcome, Outcome::Unverified);
}
