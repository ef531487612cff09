//! How a data set is made from files, and the cache of what was made.

use std::io::Read;
use std::path::{Path, PathBuf};

use rectify_core::artifact::{ArtifactError, Overwrite};
use sha2::{Digest, Sha256};

use crate::read::{Files, ItemFormat, Source, find_files, hex, load, read_categories, read_words};
use crate::{CleanError, Cleaning, Dataset, Duplicates, Format, ReadError, ReadOptions, clean};

/// Changes whenever the same files would be prepared differently: old caches are then not found any more.
const CACHE_VERSION: &str = "1";

/// Files, how to read them, and how to clean what they hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Name of the data set.
    pub name: String,
    /// Interactions.
    pub files: Files,
    /// Their format.
    pub format: Format,
    /// How to read them.
    pub options: ReadOptions,
    /// What becomes of pairs that come again.
    pub duplicates: Duplicates,
    /// Categories of items: file, format, and names of numbered categories.
    pub categories: Option<(Source, ItemFormat, Option<Source>)>,
    /// Bags of words of items.
    pub words: Option<Source>,
    /// What to remove.
    pub cleaning: Cleaning,
}

/// Why a data set could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// A file that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Cleaning that cannot be done.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// A cache file that cannot be written or read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A cache folder that cannot be made.
    #[error("cannot create {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

/// A data set out of the cache.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The data, mapped.
    pub dataset: Dataset,
    /// The file it is mapped from.
    pub path: PathBuf,
    /// Whether it was made just now.
    pub fresh: bool,
}

impl Recipe {
    /// The recipe of a file, or of a folder with train and test files; see [`load_path`](crate::load_path).
    ///
    /// # Errors
    /// A folder in which parts are missing or double.
    pub fn of_path(path: &Path, format: Format) -> Result<Self, ReadError> {
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Self {
            name,
            files: find_files(path)?,
            format,
            options: ReadOptions::default(),
            duplicates: Duplicates::default(),
            categories: None,
            words: None,
            cleaning: Cleaning::default(),
        })
    }

    /// Reads and cleans.
    ///
    /// # Errors
    /// A file that cannot be read, or cleaning that cannot be done.
    pub fn build(&self) -> Result<Dataset, PrepareError> {
        let mut data = load(&self.name, &self.files, self.format, &self.options, self.duplicates)?;
        if let Some((source, format, names)) = &self.categories {
            data.categories = Some(read_categories(source, *format, names.as_ref(), &data.ids.items)?);
        }
        if let Some(source) = &self.words {
            data.text = Some(read_words(source, &data.ids.items)?);
        }
        Ok(clean(data, &self.cleaning)?)
    }

    /// Opens the data set from the cache, after making it if it is not there.
    ///
    /// The cache file is found by the hash of the files' bytes and of everything in the recipe; a damaged one is made again.
    ///
    /// # Errors
    /// As [`build`](Self::build), or a cache that cannot be written.
    pub fn prepare(&self, cache: &Path) -> Result<Prepared, PrepareError> {
        let path = cache.join(format!("{}-{}.safetensors", file_name(&self.name), &self.key()?[..16]));
        if path.exists()
            && let Ok(dataset) = Dataset::open(&path)
        {
            return Ok(Prepared { dataset, path, fresh: false });
        }
        std::fs::create_dir_all(cache).map_err(|source| PrepareError::Folder { path: cache.to_owned(), source })?;
        self.build()?.save(&path, Overwrite::Replace)?;
        Ok(Prepared { dataset: Dataset::open(&path)?, path, fresh: true })
    }

    /// Hash of all that the result depends on.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn key(&self) -> Result<String, ReadError> {
        let settings = (
            (CACHE_VERSION, env!("CARGO_PKG_VERSION"), &self.name, self.format, &self.options, self.duplicates),
            (&self.cleaning, self.categories.as_ref().map(|(_, format, _)| format)),
        );
        let mut hasher = Sha256::new();
        // Numbers, strings and lists always have a JSON form.
        hasher.update(serde_json::json!(settings).to_string());
        for (role, source) in self.sources() {
            hasher.update(role);
            hasher.update(source.label().file_name().unwrap_or_default().as_encoded_bytes());
            hash_file(source.path(), &mut hasher)?;
        }
        Ok(hex(&hasher.finalize()))
    }

    /// All files, each with its role.
    fn sources(&self) -> Vec<(&'static str, &Source)> {
        let parts = match &self.files {
            Files::Whole(file) => vec![("whole", file)],
            Files::Parts { train, validation, test } => {
                [("train", Some(train)), ("validation", validation.as_ref()), ("test", Some(test))]
                    .into_iter()
                    .filter_map(|(role, file)| file.map(|file| (role, file)))
                    .collect()
            }
        };
        let mut all = Vec::new();
        for (role, file) in parts {
            all.push((role, &file.rows));
            all.extend(file.times.iter().map(|times| ("times", times)));
        }
        if let Some((source, _, names)) = &self.categories {
            all.push(("categories", source));
            all.extend(names.iter().map(|names| ("category names", names)));
        }
        all.extend(self.words.iter().map(|words| ("words", words)));
        all
    }
}

/// A name that is safe as part of a file name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> Result<(), ReadError> {
    let fail = |source| ReadError::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok(()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
