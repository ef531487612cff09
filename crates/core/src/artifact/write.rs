//! Writing files so that a crash at any moment leaves the old one or the new one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{
    ALIGNMENT, ArtifactError, CHECKSUMS, Element, HEADER, KIND, MAX_HEADER_BYTES, VERSION, config_key, header_digest,
};

/// Where safetensors keeps what is no array.
const METADATA: &str = "__metadata__";

/// What to do when the output exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it alone and fail.
    Refuse,
    /// Replace it in one step.
    Replace,
}

/// Writes a file whole or not at all; every file of the workspace goes through here.
///
/// The content goes to a temporary file in the same directory, which is synced, renamed over `path` (or linked, so that
/// `Refuse` holds even against a concurrent writer), and the directory is synced. After any failure the temporary file
/// is gone and what was at `path` is untouched. A process killed while it writes leaves its temporary file, named
/// `.rectify-*.tmp`, which nobody reads. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// [`ArtifactError::Exists`], or [`ArtifactError::Io`] with the operating system's reason (disk full, no permission).
pub fn write_atomically(
    path: &Path,
    overwrite: Overwrite,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), ArtifactError> {
    if overwrite == Overwrite::Refuse && path.exists() {
        return Err(ArtifactError::Exists { path: path.into() });
    }
    let io = |action| move |source| ArtifactError::Io { action, path: path.into(), source };
    if path.file_name().is_none() {
        return Err(io("write")(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = Temporary::create(folder).map_err(io("create a temporary file for"))?;
    let mut buffer = BufWriter::with_capacity(1 << 20, &temporary.file);
    content(&mut buffer).map_err(io("write"))?;
    buffer.flush().map_err(io("write"))?;
    drop(buffer);
    temporary.file.sync_all().map_err(io("sync"))?;
    match overwrite {
        Overwrite::Replace => temporary.rename(path).map_err(io("rename into"))?,
        Overwrite::Refuse => match fs::hard_link(&temporary.path, path) {
            Ok(()) => {}
            // Some file systems have no hard links; there a second check must do.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                temporary.rename(path).map_err(io("rename into"))?;
            }
            Err(_) => return Err(ArtifactError::Exists { path: path.into() }),
        },
    }
    drop(temporary);
    #[cfg(unix)]
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(io("sync the directory of"))?;
    Ok(())
}

/// A file that is removed when dropped, unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
    renamed: bool,
}

impl Temporary {
    fn create(folder: &Path) -> io::Result<Self> {
        // The counter keeps two threads of one process apart, the process id two processes. The name of the output is not part
        // of it: a name may be as long as the file system allows.
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        loop {
            let n = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = folder.join(format!(".rectify-{}-{n}.tmp", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file, renamed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Under its old name there may by now be somebody else's file (process ids repeat across containers).
        if !self.renamed {
            // Nothing useful can be done about a failure here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

/// Collects what goes into an artifact, then saves it.
///
/// ```
/// use rectify_core::artifact::{Artifact, ArtifactWriter, Overwrite};
///
/// let path = std::env::temp_dir().join(format!("rectify-doc-{}.safetensors", std::process::id()));
/// let mut writer = ArtifactWriter::new("example", 1);
/// writer.config(&serde_json::json!({"embedding_dim": 2}));
/// writer.array("items", &[2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
/// writer.save(&path, Overwrite::Replace)?;
///
/// let artifact = Artifact::open(&path, "example", 1)?;
/// let (items, shape) = artifact.array::<f32>("items")?;
/// assert_eq!((&items[..], shape), (&[1.0, 2.0, 3.0, 4.0][..], &[2, 2][..]));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), rectify_core::artifact::ArtifactError>(())
/// ```
pub struct ArtifactWriter<'a> {
    metadata: BTreeMap<String, String>,
    arrays: BTreeMap<String, Stored<'a>>,
}

impl<'a> ArtifactWriter<'a> {
    /// Starts an artifact of a kind and format version.
    #[must_use]
    pub fn new(kind: &str, version: u32) -> Self {
        let metadata = [(KIND.to_owned(), kind.to_owned()), (VERSION.to_owned(), version.to_string())].into();
        Self { metadata, arrays: BTreeMap::new() }
    }

    /// Stores the configuration as JSON. For equal bytes a type must serialise equally, which hash maps do not.
    ///
    /// # Panics
    /// If `config` has no JSON form (a map whose keys are no strings): a bug of its type.
    pub fn config(&mut self, config: &impl Serialize) -> &mut Self {
        self.config_of("", config)
    }

    /// Stores the configuration of the part of the artifact whose names begin with `prefix`.
    ///
    /// # Panics
    /// As [`config`](Self::config).
    pub fn config_of(&mut self, prefix: &str, config: &impl Serialize) -> &mut Self {
        let json = serde_json::to_string(config).expect("a configuration has a JSON form");
        self.text(&config_key(prefix), &json)
    }

    /// Stores a metadata value.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Stores an array, row-major.
    ///
    /// # Panics
    /// If `data.len()` is not the product of `shape`, or the name was used before or is `__metadata__`.
    pub fn array<T: Element>(&mut self, name: &str, shape: &[usize], data: &'a [T]) -> &mut Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} of array {name}");
        self.store::<T>(name, shape, Cow::Borrowed(bytemuck::cast_slice(data)))
    }

    /// As [`array`](Self::array), of values that nobody else keeps.
    ///
    /// # Panics
    /// As [`array`](Self::array).
    pub fn array_owned<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) -> &mut Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} of array {name}");
        self.store::<T>(name, shape, Cow::Owned(bytemuck::cast_slice(data).to_vec()))
    }

    fn store<T: Element>(&mut self, name: &str, shape: &[usize], bytes: Cow<'a, [u8]>) -> &mut Self {
        assert_ne!(name, METADATA, "the name of an array");
        let array = Stored { dtype: T::DTYPE, shape: shape.to_vec(), bytes };
        assert!(self.arrays.insert(name.to_owned(), array).is_none(), "array {name} was given twice");
        self
    }

    /// Writes the file; equal content gives equal bytes.
    ///
    /// # Errors
    /// As [`write_atomically`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut metadata = self.metadata.clone();
        let checksums: BTreeMap<&str, String> = self
            .arrays
            .iter()
            .map(|(name, array)| (name.as_str(), blake3::hash(&array.bytes).to_hex().to_string()))
            .collect();
        metadata
            .insert(CHECKSUMS.to_owned(), serde_json::to_string(&checksums).expect("a map of strings has a JSON form"));
        let arrays = self.arrays.iter().map(|(name, a)| (name.as_str(), a.dtype, a.shape.as_slice()));
        metadata.insert(HEADER.to_owned(), header_digest(metadata.iter(), arrays));
        let header = self.header(&metadata);
        if header.len() > MAX_HEADER_BYTES {
            let problem = format!("the header has {} bytes, safetensors allows {MAX_HEADER_BYTES}", header.len());
            return Err(ArtifactError::Container { path: path.into(), problem });
        }
        write_atomically(path, overwrite, |out| {
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            for name in self.order() {
                out.write_all(&self.arrays[name].bytes)?;
            }
            Ok(())
        })
    }

    /// Arrays by falling element width, then name: each starts aligned, as safetensors itself orders them.
    fn order(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
        names.sort_by_key(|name| std::cmp::Reverse(self.arrays[*name].dtype.bitsize()));
        names
    }

    /// The JSON header. The library's own writer keeps metadata in a hash map, whose order is random a run, and the order
    /// of `serde_json`'s map depends on what else is in the build; files must be equal when their content is, so the
    /// entries are written one by one.
    fn header(&self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut bytes);
        let written = serializer.serialize_map(None).and_then(|mut map| {
            map.serialize_entry(METADATA, metadata)?;
            let mut start = 0;
            for name in self.order() {
                let array = &self.arrays[name];
                let data_offsets = (start, start + array.bytes.len());
                start = data_offsets.1;
                map.serialize_entry(
                    name,
                    &TensorInfo { dtype: array.dtype, shape: array.shape.clone(), data_offsets },
                )?;
            }
            map.end()
        });
        written.expect("a header has a JSON form");
        let end = (8 + bytes.len()).next_multiple_of(ALIGNMENT);
        bytes.resize(end - 8, b' ');
        bytes
    }
}
