//! Opening an artifact: checks before trust.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::array::Pages;
use super::{
    Array, ArtifactError, CHECKSUMS, CONFIG, Element, HEADER, KIND, MAX_HEADER_BYTES, MappedArray, VERSION, config_key,
    header_digest,
};
use crate::Violation;

#[derive(Clone, Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    start: usize,
    bytes: usize,
}

/// An artifact that was mapped and checked.
///
/// The file must not be changed while it is mapped: whoever truncates it in place takes the process down with a bus
/// error, as with any mapped file. [`write_atomically`](super::write_atomically) replaces files by renaming, which is safe.
#[derive(Clone)]
pub struct Artifact {
    path: PathBuf,
    pages: Arc<Pages>,
    kind: String,
    version: u32,
    metadata: BTreeMap<String, String>,
    entries: BTreeMap<String, Entry>,
    /// Of a [`part`](Self::part): what stands before its names in the file.
    prefix: String,
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("version", &self.version)
            .field("arrays", &self.entries)
            .finish_non_exhaustive()
    }
}

impl Artifact {
    /// Maps `path` and checks container, kind, version and every checksum.
    ///
    /// # Errors
    /// Whatever is wrong with the file, see [`ArtifactError`].
    pub fn open(path: &Path, kind: &str, newest_version: u32) -> Result<Self, ArtifactError> {
        let artifact = Self::open_deferred(path, kind, newest_version)?;
        artifact.verify_arrays()?;
        Ok(artifact)
    }

    fn of_kind(self, kind: &str, newest_version: u32) -> Result<Self, ArtifactError> {
        if self.kind != kind {
            return Err(ArtifactError::Kind { path: self.path, expected: kind.into(), got: self.kind });
        }
        if self.version > newest_version {
            return Err(ArtifactError::Version {
                path: self.path,
                kind: kind.into(),
                supported: newest_version,
                got: self.version,
            });
        }
        Ok(self)
    }

    /// Maps `path` and checks all but the content of the arrays: their sums stay open until [`verify`](Self::verify).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_deferred(path: &Path, kind: &str, newest_version: u32) -> Result<Self, ArtifactError> {
        Self::map(path)?.of_kind(kind, newest_version)
    }

    /// Checks every checksum.
    ///
    /// # Errors
    /// [`ArtifactError::Checksum`] naming the array.
    pub fn verify(&self) -> Result<(), ArtifactError> {
        self.verify_arrays()
    }

    /// Maps and checks an artifact of any kind.
    ///
    /// # Errors
    /// As [`open`](Self::open), without the tests of kind and version.
    pub fn open_any(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Self::map(path)?;
        artifact.verify_arrays()?;
        Ok(artifact)
    }

    /// Maps a file and checks all of it but the content of the arrays.
    fn map(path: &Path) -> Result<Self, ArtifactError> {
        let io = |action| move |source| ArtifactError::Io { action, path: path.into(), source };
        let container = |problem: String| ArtifactError::Container { path: path.into(), problem };
        // Asked before opening, which would wait for the other end of a pipe.
        if !std::fs::metadata(path).map_err(io("open"))?.is_file() {
            return Err(container("it is no regular file".into()));
        }
        let file = File::open(path).map_err(io("open"))?;
        if file.metadata().map_err(io("stat"))?.len() == 0 {
            return Err(container("the file is empty".into()));
        }
        #[expect(unsafe_code, reason = "mapping a file")]
        // SAFETY: the map is read-only and lives as long as every slice of it; that nobody truncates the file meanwhile is
        // the documented duty of the caller.
        let map = unsafe { Mmap::map(&file) }.map_err(io("map"))?;

        let (data_start, header) = parse(&map).map_err(container)?;
        let metadata: BTreeMap<String, String> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let entries: BTreeMap<String, Entry> = header
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (start, end) = info.data_offsets;
                let entry = Entry {
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    start: data_start + start,
                    bytes: end - start,
                };
                (name, entry)
            })
            .collect();

        let mut artifact = Self {
            path: path.into(),
            pages: Arc::new(Pages::File(map)),
            kind: String::new(),
            version: 0,
            metadata,
            entries,
            prefix: String::new(),
        };
        artifact.verify_header()?;
        artifact.kind = artifact.text(KIND)?.to_owned();
        artifact.version =
            artifact.text(VERSION)?.parse().map_err(|_| artifact.field_error(VERSION, "is not a number".into()))?;
        Ok(artifact)
    }

    fn damaged(&self, what: &str, expected: &str, got: String) -> ArtifactError {
        ArtifactError::Checksum { path: self.path.clone(), what: what.into(), expected: expected.into(), got }
    }

    fn verify_header(&self) -> Result<(), ArtifactError> {
        let arrays = self.entries.iter().map(|(name, e)| (name.as_str(), e.dtype, e.shape.as_slice()));
        let digest = header_digest(self.metadata.iter(), arrays);
        let written = self.text(HEADER)?;
        if digest == written { Ok(()) } else { Err(self.damaged("header", written, digest)) }
    }

    fn verify_arrays(&self) -> Result<(), ArtifactError> {
        let checksums: BTreeMap<String, String> = serde_json::from_str(self.text(CHECKSUMS)?)
            .map_err(|error| self.field_error(CHECKSUMS, error.to_string()))?;
        if let Some(name) = checksums.keys().find(|name| !self.entries.contains_key(*name)) {
            return Err(self.field_error(name, "array is missing".into()));
        }
        for (name, entry) in &self.entries {
            let written =
                checksums.get(name).ok_or_else(|| self.field_error(CHECKSUMS, format!("lacks array {name}")))?;
            let digest = blake3::hash(&self.pages[entry.start..entry.start + entry.bytes]).to_hex().to_string();
            if &digest != written {
                return Err(self.damaged(name, written, digest));
            }
        }
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds, for instance `exact-index`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Version of that kind's format.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The configuration saved with it.
    ///
    /// # Errors
    /// [`ArtifactError::Field`] if it is missing or of another form.
    pub fn config<C: DeserializeOwned>(&self) -> Result<C, ArtifactError> {
        self.config_of("")
    }

    /// The configuration of the part whose names begin with `prefix`.
    ///
    /// # Errors
    /// As [`config`](Self::config).
    pub fn config_of<C: DeserializeOwned>(&self, prefix: &str) -> Result<C, ArtifactError> {
        let key = config_key(prefix);
        serde_json::from_str(self.text(&key)?).map_err(|error| self.field_error(&key, error.to_string()))
    }

    /// The same file with another metadata value: how an older layout is shown as the newest.
    #[must_use]
    pub fn with_text(&self, key: &str, value: &str) -> Self {
        let mut artifact = self.clone();
        artifact.metadata.insert(key.to_owned(), value.to_owned());
        artifact
    }

    /// The same file with another configuration, likewise.
    ///
    /// # Panics
    /// If `config` has no JSON form: a bug of its type.
    #[must_use]
    pub fn with_config(&self, config: &impl Serialize) -> Self {
        self.with_text(CONFIG, &serde_json::to_string(config).expect("a configuration has a JSON form"))
    }

    /// The same file with an array under another name, likewise.
    #[must_use]
    pub fn with_renamed(&self, from: &str, to: &str) -> Self {
        let mut artifact = self.clone();
        if let Some(entry) = artifact.entries.remove(from) {
            artifact.entries.insert(to.to_owned(), entry);
        }
        artifact
    }

    /// What was written under `prefix`, as if it were a file of its own of that kind and version.
    ///
    /// Errors name fields as they stand in the file.
    #[must_use]
    pub fn part(&self, prefix: &str, kind: &str, version: u32) -> Self {
        let mut part = self.clone();
        part.entries.retain(|name, _| name.starts_with(prefix));
        part.entries = part.entries.into_iter().map(|(name, entry)| (name[prefix.len()..].to_owned(), entry)).collect();
        // The whole file's configuration is not the part's; what is the whole's alone stays.
        part.metadata.remove(CONFIG);
        let own_config = config_key(prefix);
        part.metadata = part
            .metadata
            .into_iter()
            .map(|(key, value)| match (key.strip_prefix(&own_config), key.strip_prefix(prefix)) {
                (Some(inner), _) => (config_key(inner), value),
                (None, Some(inner)) => (inner.to_owned(), value),
                (None, None) => (key, value),
            })
            .collect();
        kind.clone_into(&mut part.kind);
        part.version = version;
        part.prefix.push_str(prefix);
        part
    }

    /// A metadata value.
    ///
    /// # Errors
    /// [`ArtifactError::Field`] if it is missing.
    pub fn text(&self, key: &str) -> Result<&str, ArtifactError> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| self.field_error(key, "is missing".into()))
    }

    /// Names and shapes of all arrays, by name.
    pub fn arrays(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Whether an array of that name exists.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Whether an array of that name exists, with elements of this type.
    #[must_use]
    pub fn holds<T: Element>(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.dtype == T::DTYPE)
    }

    /// An array and its shape, in place.
    ///
    /// # Errors
    /// [`ArtifactError::Field`] if it is missing or of another element type.
    pub fn array<T: Element>(&self, name: &str) -> Result<(Array<T>, &[usize]), ArtifactError> {
        let entry = self.entries.get(name).ok_or_else(|| self.field_error(name, "array is missing".into()))?;
        if entry.dtype != T::DTYPE {
            let problem = format!("array has element type {:?}, expected {:?}", entry.dtype, T::DTYPE);
            return Err(self.field_error(name, problem));
        }
        let mapped = MappedArray::new(Arc::clone(&self.pages), entry.start, entry.bytes)
            .ok_or_else(|| self.field_error(name, "array is misaligned".into()))?;
        Ok((Array::Mapped(mapped), &entry.shape))
    }

    /// [`array`](Self::array) that must have exactly this shape.
    ///
    /// # Errors
    /// As [`array`](Self::array), or another shape.
    pub fn array_shaped<T: Element>(&self, name: &str, shape: &[usize]) -> Result<Array<T>, ArtifactError> {
        let (array, got) = self.array(name)?;
        if got != shape {
            return Err(self.field_error(name, format!("array has shape {got:?}, expected {shape:?}")));
        }
        Ok(array)
    }

    /// Turns the result of a kind's own check into an error.
    ///
    /// # Errors
    /// [`ArtifactError::Invalid`] if there is any violation.
    pub fn reject(&self, violations: Vec<Violation>) -> Result<(), ArtifactError> {
        if violations.is_empty() {
            return Ok(());
        }
        let in_file = |Violation { field, problem }| Violation { field: format!("{}{field}", self.prefix), problem };
        let violations = violations.into_iter().map(in_file).collect();
        Err(ArtifactError::Invalid { path: self.path.clone(), kind: self.kind.clone(), violations })
    }

    /// An error that names a field of this file.
    #[must_use]
    pub fn field_error(&self, field: &str, problem: String) -> ArtifactError {
        let field = if field.starts_with("rectify.") { field.to_owned() } else { format!("{}{field}", self.prefix) };
        ArtifactError::Field { path: self.path.clone(), field, problem }
    }
}

/// Parses the header of a safetensors file; returns where the arrays start. What comes back is sound: arrays lie within the
/// file, without gaps, each as long as its shape says.
///
/// The library's own entry point adds up sizes from the file without a check for overflow, which panics in a debug build.
fn parse(file: &[u8]) -> Result<(usize, Metadata), String> {
    let (length, rest) = file
        .split_first_chunk()
        .ok_or_else(|| format!("the file has {} bytes, expected at least 8 (truncated?)", file.len()))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_HEADER_BYTES {
        return Err(format!("the header claims {length} bytes, expected at most {MAX_HEADER_BYTES}"));
    }
    if length > rest.len() {
        return Err(format!("the header claims {length} bytes, the file has {} more (truncated?)", rest.len()));
    }
    let (json, data) = rest.split_at(length);
    // Checks that arrays follow each other from 0 on and fit their shapes.
    let header: Metadata = serde_json::from_slice(json).map_err(|error| format!("the header is wrong: {error}"))?;
    if header.data_len() != data.len() {
        let (expected, got) = (header.data_len(), data.len());
        return Err(format!("arrays take {got} bytes, the header says {expected} (truncated?)"));
    }
    Ok((8 + length, header))
}
