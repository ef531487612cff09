//! The artifact container: what it writes, and everything it must refuse.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite, write_atomically};
use rectify_core::{ItemId, Violation};
use serde_json::json;

const KIND: &str = "test-model";

/// Writes an artifact with arrays of every width, an empty one among them.
fn sample(path: &Path) {
    let mut writer = ArtifactWriter::new(KIND, 3);
    writer.config(&json!({"embedding_dim": 2, "name": "quoted \" and \u{e9}"})).text("note", "a note");
    writer.array("weights", &[2, 3], &[1.0f32, -0.0, 3.5, f32::MIN_POSITIVE, 5.0, 6.0]);
    writer.array("items", &[3], &[ItemId(7), ItemId(0), ItemId(u32::MAX)]);
    writer.array("offsets", &[2], &[0u64, 3]);
    writer.array("bytes", &[5], &[1u8, 2, 3, 4, 255]);
    writer.array("halves", &[1], &[-3i16]);
    writer.array::<f64>("nothing", &[0, 4], &[]);
    writer.save(path, Overwrite::Replace).unwrap();
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A file of raw header and data.
fn raw(folder: &Path, length: u64, header: &str, data: &[u8]) -> PathBuf {
    let path = folder.join("raw.safetensors");
    fs::write(&path, [&length.to_le_bytes(), header.as_bytes(), data].concat()).unwrap();
    path
}

fn container_problem(path: &Path) -> String {
    match Artifact::open(path, KIND, 3) {
        Err(ArtifactError::Container { problem, .. }) => problem,
        other => panic!("expected a broken container, got {other:?}"),
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_read_back() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let artifact = Artifact::open(&path, KIND, 3).unwrap();
    assert_eq!((artifact.kind(), artifact.version()), (KIND, 3));
    assert_eq!(artifact.config::<serde_json::Value>().unwrap()["name"], "quoted \" and \u{e9}");
    assert_eq!(artifact.text("note").unwrap(), "a note");
    let (weights, shape) = artifact.array::<f32>("weights").unwrap();
    assert_eq!((&weights[..], shape), (&[1.0, -0.0, 3.5, f32::MIN_POSITIVE, 5.0, 6.0][..], &[2, 3][..]));
    assert!(weights[1].is_sign_negative());
    assert_eq!(artifact.array_shaped::<ItemId>("items", &[3]).unwrap()[2], ItemId(u32::MAX));
    assert_eq!(&artifact.array_shaped::<u8>("bytes", &[5]).unwrap()[..], [1, 2, 3, 4, 255]);
    assert!(artifact.array_shaped::<f64>("nothing", &[0, 4]).unwrap().is_empty());
    let names: Vec<&str> = artifact.arrays().map(|(name, _)| name).collect();
    assert_eq!(names, ["bytes", "halves", "items", "nothing", "offsets", "weights"]);
    // Arrays outlive the artifact that they came from.
    drop(artifact);
    assert_eq!(weights[4], 5.0);
}

#[test]
fn the_safetensors_crate_reads_the_file_and_the_arrays_are_aligned() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let bytes = fs::read(&path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights = theirs.tensor("weights").unwrap();
    assert_eq!((weights.dtype(), weights.shape()), (safetensors::Dtype::F32, &[2, 3][..]));
    assert_eq!(weights.data()[..4], 1.0f32.to_le_bytes());
    assert_eq!(theirs.len(), 6);
    let (length, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["rectify.kind"], KIND);
    assert_eq!((8 + length) % 64, 0);
    // As they lie: widest first, then by name.
    let mut names = header.offset_keys();
    names.retain(|name| name != "nothing");
    assert_eq!(names, ["offsets", "items", "weights", "halves", "bytes"]);
}

#[test]
fn the_header_lists_metadata_first_then_arrays_as_they_lie() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} is not in the header"));
    let order = [
        at("__metadata__"),
        at("\"note\""),
        at("\"rectify.checksums\""),
        at("\"rectify.config\""),
        at("\"rectify.header\""),
        at("\"rectify.kind\""),
        at("\"rectify.version\""),
        at("\"nothing\":{"),
        at("\"offsets\":{"),
        at("\"items\":{"),
        at("\"weights\":{"),
        at("\"halves\":{"),
        at("\"bytes\":{"),
    ];
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn equal_content_gives_equal_bytes_whatever_the_order_it_was_given_in() {
    let folder = folder();
    let write = |path: &Path, reversed: bool| {
        let mut writer = ArtifactWriter::new(KIND, 1);
        let order = if reversed { [2, 1, 0] } else { [0, 1, 2] };
        for step in order {
            writer.text(["x", "z", "y"][step], "text");
            match step {
                0 => writer.array("a", &[1], &[1u8]),
                1 => writer.array("b", &[1], &[1u8]),
                _ => writer.array("c", &[1], &[1.0f64]),
            };
        }
        writer.save(path, Overwrite::Refuse).unwrap();
        fs::read(path).unwrap()
    };
    assert_eq!(write(&folder.path().join("a"), false), write(&folder.path().join("b"), true));
}

#[test]
fn an_empty_file_a_folder_and_a_missing_file_are_told_apart() {
    let folder = folder();
    let empty = folder.path().join("empty");
    fs::write(&empty, []).unwrap();
    assert_eq!(container_problem(&empty), "the file is empty");
    assert_eq!(container_problem(folder.path()), "it is no regular file");
    let error = Artifact::open(&folder.path().join("absent"), KIND, 3).unwrap_err();
    assert!(matches!(&error, ArtifactError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound), "{error}");
}

#[test]
fn a_file_cut_at_any_length_or_grown_is_refused() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let bytes = fs::read(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for length in (0..bytes.len()).rev() {
        file.set_len(length as u64).unwrap();
        container_problem(&path);
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert!(container_problem(&path).starts_with("arrays take"));
}

#[test]
fn a_flip_of_any_bit_is_refused() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // In place: rewriting the file thousands of times would make the file system wait for the disk.
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut put = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    let (mut by_checksum, mut of_arrays) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        for bit in 0..8 {
            put(at, byte ^ 1 << bit);
            match Artifact::open(&path, KIND, 3) {
                Ok(_) => panic!("bit {bit} of byte {at} was flipped, and the file opened"),
                Err(ArtifactError::Checksum { what, .. }) => {
                    by_checksum += 1;
                    of_arrays += usize::from(what != "header");
                }
                Err(_) => {}
            }
        }
        put(at, *byte);
    }
    Artifact::open(&path, KIND, 3).unwrap();
    // Nothing but its checksum can tell that an array is damaged.
    assert!(of_arrays >= (bytes.len() - header) * 8 && by_checksum > of_arrays, "{by_checksum} {of_arrays}");
}

#[test]
fn a_header_that_lies_about_sizes_is_refused() {
    let folder = folder();
    let array = |shape: &str, start: u128, end: u128| {
        format!(r#"{{"a":{{"dtype":"U8","shape":{shape},"data_offsets":[{start},{end}]}}}}"#)
    };
    let open = |header: &str, data: &[u8]| container_problem(&raw(folder.path(), header.len() as u64, header, data));

    assert!(open(&array("[4]", 0, 4), &[0; 3]).contains("arrays take 3 bytes, the header says 4"));
    assert!(open(&array("[4]", 0, 3), &[0; 3]).contains("invalid shape"));
    assert!(open(&array("[4]", 1, 5), &[0; 5]).contains("invalid offset"));
    assert!(open(&array("[4]", 4, 0), &[0; 4]).contains("invalid offset"));
    assert!(open(&array("[4294967296, 4294967296]", 0, 0), &[]).contains("overflow"));
    open(&array("[-1]", 0, 1), &[0]);
    open(&array("[1]", 0, 1 << 64), &[0]);
    open(&array("[1.5]", 0, 1), &[0]);
    // Two arrays in the same place, and a hole between two.
    for second in ["[0,1]", "[2,3]"] {
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}},"b":{{"dtype":"U8","shape":[1],"data_offsets":{second}}}}}"#
        );
        assert!(open(&header, &[0; 3]).contains("invalid offset"));
    }
    // A size that overflows when the header's is added to it.
    let huge = u64::MAX - 7;
    open(&array(&format!("[{huge}]"), 0, u128::from(huge)), &[0; 3]);
}

#[test]
fn a_header_length_beyond_the_file_or_beyond_reason_is_refused() {
    let folder = folder();
    let open = |length, header: &str| container_problem(&raw(folder.path(), length, header, &[]));
    assert!(open(3, "{}").contains("claims 3 bytes, the file has 2 more"));
    assert!(open(100_000_001, "{}").contains("expected at most 100000000"));
    assert!(open(u64::MAX, "{}").contains("expected at most"));
    assert!(open(u64::MAX - 7, "{}").contains("expected at most"));
    assert!(open(0, "").contains("the header is wrong"));
    assert!(open(2, "[]").contains("the header is wrong"));
    assert!(open(2, "\u{fc}").contains("the header is wrong"));
    let deep = "[".repeat(100_000);
    assert!(open(100_000, &deep).contains("the header is wrong"));
}

#[test]
fn a_plain_safetensors_file_is_refused_by_the_field_it_lacks() {
    let folder = folder();
    let path = raw(folder.path(), 2, "{}", &[]);
    let error = Artifact::open(&path, KIND, 3).unwrap_err();
    assert!(matches!(&error, ArtifactError::Field { field, .. } if field == "rectify.header"), "{error}");
}

#[test]
fn another_kind_and_a_newer_version_are_refused_before_the_arrays_are_read() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let mut bytes = fs::read(&path).unwrap();
    // Also when an array is damaged: a newer version may have other rules for them.
    for damaged in [false, true] {
        if damaged {
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, &bytes).unwrap();
        }
        let error = Artifact::open(&path, "other", 3).unwrap_err();
        assert!(error.to_string().ends_with("holds test-model, expected other"), "{error}");
        let error = Artifact::open(&path, KIND, 2).unwrap_err();
        assert!(matches!(error, ArtifactError::Version { supported: 2, got: 3, .. }), "{error}");
    }
    assert!(matches!(Artifact::open(&path, KIND, 3), Err(ArtifactError::Checksum { what, .. }) if what == "bytes"));
    assert!(matches!(Artifact::open_any(&path), Err(ArtifactError::Checksum { .. })));
}

#[test]
fn an_array_that_is_missing_or_of_another_type_or_shape_is_named() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let artifact = Artifact::open(&path, KIND, 3).unwrap();
    let problem = |error: ArtifactError| {
        let ArtifactError::Field { field, problem, .. } = error else { panic!("expected a field, got {error:?}") };
        format!("{field}: {problem}")
    };
    assert_eq!(problem(artifact.array::<f32>("absent").unwrap_err()), "absent: array is missing");
    assert_eq!(
        problem(artifact.array::<f64>("weights").unwrap_err()),
        "weights: array has element type F32, expected F64"
    );
    assert_eq!(
        problem(artifact.array_shaped::<f32>("weights", &[3, 2]).unwrap_err()),
        "weights: array has shape [2, 3], expected [3, 2]"
    );
    assert_eq!(problem(artifact.text("absent").unwrap_err()), "absent: is missing");
    assert!(problem(artifact.config::<Vec<u8>>().unwrap_err()).starts_with("rectify.config: invalid type"));
}

#[test]
fn violations_become_one_error_that_names_the_first() {
    let folder = folder();
    let path = folder.path().join("model");
    sample(&path);
    let artifact = Artifact::open(&path, KIND, 3).unwrap();
    artifact.reject(vec![]).unwrap();
    let violation = |field: &str| Violation { field: field.into(), problem: "is wrong".into() };
    let error = artifact.reject(vec![violation("a"), violation("b")]).unwrap_err().to_string();
    assert!(error.ends_with("is not a valid test-model: a: is wrong (and 1 more)"), "{error}");
}

#[test]
fn an_existing_output_is_refused_or_replaced_as_told() {
    let folder = folder();
    let path = folder.path().join("out");
    fs::write(&path, "old").unwrap();
    let content = |out: &mut dyn Write| out.write_all(b"new");
    let error = write_atomically(&path, Overwrite::Refuse, content).unwrap_err();
    assert!(matches!(error, ArtifactError::Exists { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    write_atomically(&path, Overwrite::Replace, content).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(files(folder.path()), ["out"]);
}

#[test]
fn an_output_that_appears_while_it_is_written_is_not_overwritten() {
    let folder = folder();
    let path = folder.path().join("out");
    let refused = write_atomically(&path, Overwrite::Refuse, |out| {
        fs::write(&path, "somebody else's")?;
        out.write_all(b"ours")
    });
    assert!(matches!(refused, Err(ArtifactError::Exists { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
    assert_eq!(files(folder.path()), ["out"]);
}

#[test]
fn the_output_appears_only_when_it_is_whole() {
    let folder = folder();
    let path = folder.path().join("out");
    fs::write(&path, "old").unwrap();
    write_atomically(&path, Overwrite::Replace, |out| {
        out.write_all(&vec![1; 3 << 20])?;
        out.flush()?;
        assert_eq!(fs::read(&path)?, b"old");
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 3 << 20);
}

#[test]
fn a_failing_writer_leaves_the_old_file_and_no_temporary_one() {
    let folder = folder();
    let path = folder.path().join("out");
    fs::write(&path, "old").unwrap();
    let error = write_atomically(&path, Overwrite::Replace, |out| {
        out.write_all(&vec![0; 3 << 20])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    })
    .unwrap_err();
    assert!(
        matches!(&error, ArtifactError::Io { action: "write", source, .. } if source.kind() == io::ErrorKind::StorageFull)
    );
    assert_eq!(fs::read(&path).unwrap(), b"old");
    // A panic is a failure too.
    let panicked =
        std::panic::catch_unwind(|| write_atomically(&path, Overwrite::Replace, |_| panic!("a bug of the caller")));
    assert!(panicked.is_err());
    assert_eq!(files(folder.path()), ["out"]);
}

#[test]
fn impossible_paths_are_refused_by_name() {
    let folder = folder();
    let write = |path: &Path| write_atomically(path, Overwrite::Replace, |out| out.write_all(b"x"));
    let error = write(&folder.path().join("absent/out")).unwrap_err().to_string();
    assert!(error.starts_with("cannot create a temporary file for") && error.contains("absent/out"), "{error}");
    assert!(write(Path::new("/")).is_err());
    assert!(write(&folder.path().join("..")).is_err());
    let taken = folder.path().join("taken");
    fs::create_dir(&taken).unwrap();
    let error = write(&taken).unwrap_err().to_string();
    assert!(error.starts_with("cannot rename into"), "{error}");
    // As long as a name may be, and with a suffix that no temporary name could carry besides.
    write(&folder.path().join("n".repeat(255))).unwrap();
    assert_eq!(files(folder.path()), ["n".repeat(255).as_str(), "taken"]);
}

/// Not a test of its own: what the next two tests run in another process, told by an environment variable.
#[test]
fn helper_process() {
    let Ok(told) = std::env::var("RECTIFY_TEST_WRITER") else { return };
    let (how, path) = told.split_once(' ').unwrap();
    let result = write_atomically(Path::new(path), Overwrite::Replace, |out| {
        out.write_all(&vec![7; 2 << 20])?;
        if how == "abort" {
            std::process::abort();
        }
        Ok(())
    });
    let error = result.unwrap_err();
    assert!(matches!(error, ArtifactError::Io { action: "write", .. }), "{error}");
}

#[cfg(unix)]
fn helper(how: &str, path: &Path, shell: &str) -> std::process::Output {
    Command::new("sh")
        .args(["-c", shell])
        .arg(std::env::current_exe().unwrap())
        .env("RECTIFY_TEST_WRITER", format!("{how} {}", path.display()))
        .output()
        .unwrap()
}

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_old_file_and_no_temporary_one() {
    let folder = folder();
    let path = folder.path().join("out");
    fs::write(&path, "old").unwrap();
    // A limit on the size of files fails a write as a full disk does.
    let output = helper("fill", &path, "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact artifact::helper_process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(files(folder.path()), ["out"]);
}

#[cfg(unix)]
#[test]
fn a_killed_writer_leaves_the_old_file_and_disturbs_nobody_after_it() {
    let folder = folder();
    let path = folder.path().join("out");
    sample(&path);
    let old = fs::read(&path).unwrap();
    let output = helper("abort", &path, "exec \"$0\" --exact artifact::helper_process");
    assert!(!output.status.success());
    assert_eq!(fs::read(&path).unwrap(), old);
    let left = files(folder.path());
    assert!(left.len() == 2 && left[0].starts_with(".rectify-") && left[0].ends_with(".tmp"), "{left:?}");
    Artifact::open(&path, KIND, 3).unwrap();
    // The name that this process would choose is taken already, by a writer that died with the same process id.
    for n in 0..200 {
        fs::write(folder.path().join(format!(".rectify-{}-{n}.tmp", std::process::id())), "stale").unwrap();
    }
    write_atomically(&path, Overwrite::Replace, |out| out.write_all(b"new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(files(folder.path()).len(), 202);
}

#[test]
fn many_writers_of_one_file_leave_one_of_their_contents() {
    let folder = folder();
    let path = folder.path().join("out");
    std::thread::scope(|scope| {
        for writer in 0u8..8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..20 {
                    write_atomically(path, Overwrite::Replace, |out| out.write_all(&vec![writer; 100_000])).unwrap();
                    let seen = fs::read(path).unwrap();
                    assert!(seen.len() == 100_000 && seen.iter().all(|&x| x == seen[0]));
                }
            });
        }
    });
    assert_eq!(files(folder.path()), ["out"]);
}

#[test]
#[should_panic(expected = "shape [2, 2] of array a")]
fn a_shape_that_does_not_fit_is_a_bug_of_the_writer() {
    ArtifactWriter::new(KIND, 1).array("a", &[2, 2], &[1u8, 2, 3]);
}
