//! `bench retrieval` as a user runs it.

#![allow(clippy::unwrap_used, reason = "a failure there is the message")]

use std::path::Path;

use assert_cmd::Command;

/// Standard error and exit code of a command that must fail.
fn failure(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it succeeded: {text}");
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap_or(-1), text)
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rectify-bench"));
    command.args(arguments).current_dir(folder);
    command
}

#[test]
fn bench_retrieval_refuses_what_cannot_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // 3 items and 2 queries of 2 numbers, as numpy writes them.
    let npy = |rows: usize, columns: usize| {
        let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(118u16.to_le_bytes());
        bytes.extend(format!("{dict:<117}\n").bytes());
        bytes.extend((0..rows * columns).flat_map(|i| (i as f32).to_le_bytes()));
        bytes
    };
    std::fs::write(folder.join("items.npy"), npy(3, 2)).unwrap();
    std::fs::write(folder.join("queries.npy"), npy(2, 2)).unwrap();
    std::fs::write(folder.join("wide.npy"), npy(2, 3)).unwrap();
    let bench = |queries: &str, more: &[&str]| {
        program(folder, &[&["bench", "retrieval", "--items", "items.npy", "--queries", queries][..], more].concat())
    };
    let output = bench("queries.npy", &["--k", "2", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let measured: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&measured["recall"], &measured["same_ids"]), (&1.0.into(), &true.into()));

    let (code, text) = failure(bench("queries.npy", &["--k", "4"]));
    assert!(code == 2 && text.contains("--k is 4, expected 1 to 3"), "{text}");
    let (code, text) = failure(bench("queries.npy", &["--k", "2", "--method", "exat"]));
    assert!(code == 2 && text.contains("did you mean 'exact'"), "{text}");
    let (code, text) = failure(bench("wide.npy", &["--k", "2"]));
    assert!(code == 3 && text.contains("the same number"), "{text}");
    let (code, text) = failure(bench("nowhere.npy", &["--k", "2"]));
    assert!(code == 3 && text.contains("nowhere.npy"), "{text}");
}
