//! `data fetch` as a user runs it, against a server of our own: what is said, what lies on disk afterwards.

use std::collections::BTreeMap;

use crate::common::{Place, failure};
use crate::server::{Manner, Server, digest};

const LICENCE: &str = "Toy terms: for tests alone";

/// Ten thousand rows of 100 users and 1,000 items.
fn rows() -> Vec<u8> {
    (0..10_000u32).map(|i| format!("{}\t{}\t5\t{i}\n", i % 100, i * 7 % 1000)).collect::<String>().into_bytes()
}

/// A place with `toy.toml`, whose one file is at `address`, and a data folder that already holds something.
fn place(address: &str, sha256: &str) -> Place {
    let place = Place::new("");
    let manifest = format!(
        "name = \"toy\"\ntitle = \"Toy set\"\nhomepage = \"http://toy\"\nlicence = \"{LICENCE}\"\nformat = \"tab\"\n\
         [[files]]\nrole = \"interactions\"\npath = \"toy.dat\"\nurl = \"{address}/toy.dat\"\nsha256 = \"{sha256}\"\n\
         [protocol.files]\n"
    );
    std::fs::write(place.path("toy.toml"), manifest).unwrap();
    std::fs::create_dir_all(place.path("data/toy")).unwrap();
    std::fs::write(place.path("data/toy/notes.txt"), "mine").unwrap();
    place
}

const FETCH: [&str; 5] = ["data", "--data", "data", "fetch", "toy.toml"];

/// Name and bytes of each file in the data set's folder.
fn files(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(place.path("data/toy")).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

fn expected(more: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    let notes = ("notes.txt", &b"mine"[..]);
    more.iter().chain([&notes]).map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

fn said(place: &Place, arguments: &[&str]) -> String {
    let output = place.rectify(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_data_set_is_fetched_once_with_its_licence_and_can_be_read() {
    let server = Server::new(rows(), vec![Manner::Proper]);
    let place = place(&server.address, &digest(&rows()));
    let text = said(&place, &FETCH);
    assert!(text.starts_with(&format!("Toy set: {LICENCE}\n")), "the licence comes first: {text}");
    assert!(text.contains("toy.dat: downloaded, checksum agrees"), "{text}");
    assert_eq!(files(&place), expected(&[("toy.dat", &rows())]));

    let text = said(&place, &FETCH);
    assert!(text.contains(LICENCE) && text.contains("toy.dat: was there"), "{text}");
    assert_eq!(server.ranges.lock().unwrap().len(), 1, "one request in all");

    let text = said(&place, &["data", "--data", "data", "describe", "toy.toml"]);
    assert!(text.contains("users         100\n") && text.contains(LICENCE), "{text}");
}

#[test]
fn a_broken_download_says_so_and_goes_on_where_it_stopped() {
    let server = Server::new(rows(), vec![Manner::BreaksOff(40_000), Manner::BreaksOff(20_000), Manner::Proper]);
    let place = place(&server.address, &digest(&rows()));
    for there in [40_000, 60_000] {
        let (code, text) = failure(place.rectify(&FETCH));
        assert_eq!(code, 1, "{text}");
        assert!(text.contains(&format!("broke off after {there} of {} bytes", rows().len())), "{text}");
        assert_eq!(files(&place), expected(&[("toy.dat.part", &rows()[..there])]));
    }
    assert!(said(&place, &FETCH).contains("checksum agrees"));
    assert_eq!(*server.ranges.lock().unwrap(), ["", "bytes=40000-", "bytes=60000-"]);
    assert_eq!(files(&place), expected(&[("toy.dat", &rows())]));
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let server = Server::new(rows(), vec![Manner::Proper]);
    let wrong = "0".repeat(64);
    let place = place(&server.address, &wrong);
    let (code, text) = failure(place.rectify(&FETCH));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&digest(&rows())) && text.contains(&wrong) && text.contains("was removed"), "{text}");
    assert_eq!(files(&place), expected(&[]));
}

#[test]
fn a_file_that_moved_names_the_homepage_and_harms_nothing() {
    let server = Server::new(rows(), vec![Manner::BreaksOff(40_000), Manner::NotFound]);
    let place = place(&server.address, &digest(&rows()));
    failure(place.rectify(&FETCH));
    let before = files(&place);
    let output = place.rectify(&FETCH).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (told, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(LICENCE), "{told}");
    assert!(complaint.contains("status 404") && complaint.contains("see http://toy"), "{complaint}");
    assert_eq!(files(&place), before, "what had arrived stays for the next try");
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let server = Server::new(rows(), vec![Manner::Proper]);
    let place = place(&server.address, &digest(&rows()));
    std::fs::write(place.path("data/toy/toy.dat"), "my own rows").unwrap();
    assert!(said(&place, &FETCH).contains("was there"));
    assert_eq!(files(&place), expected(&[("toy.dat", b"my own rows")]));
    assert!(server.ranges.lock().unwrap().is_empty(), "nothing was asked for");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_an_output_error() {
    let server = Server::new(rows(), vec![Manner::Proper]);
    let place = place(&server.address, &digest(&rows()));
    std::fs::write(place.path("taken"), "mine").unwrap();
    let (code, text) = failure(place.rectify(&["data", "--data", "taken", "fetch", "toy.toml"]));
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("cannot create taken"), "{text}");
    assert_eq!(std::fs::read(place.path("taken")).unwrap(), b"mine");
}

#[test]
fn what_is_no_data_set_is_refused_before_anything_is_asked_for() {
    let server = Server::new(rows(), vec![Manner::Proper]);
    let place = place(&server.address, &digest(&rows()));
    let (code, text) = failure(place.rectify(&["data", "fetch", "nowhere.toml"]));
    assert!(code == 3 && text.contains("nowhere.toml"), "{text}");
    let manifest = std::fs::read_to_string(place.path("toy.toml")).unwrap();
    std::fs::write(place.path("toy.toml"), manifest.replace("\"toy.dat\"", "\"../../toy.dat\"")).unwrap();
    let (code, text) = failure(place.rectify(&FETCH));
    assert!(code == 3 && text.contains("../../toy.dat") && text.contains("without `..`"), "{text}");
    let (code, text) = failure(place.rectify(&["data", "fetch", "gowala"]));
    assert!(code == 2 && text.contains("did you mean 'gowalla'"), "{text}");
    assert!(said(&place, &["data", "fetch", "synthetic"]).contains("built in; there is nothing to download"));
    assert_eq!(files(&place), expected(&[]));
    assert!(server.ranges.lock().unwrap().is_empty(), "nothing was asked for");
}
