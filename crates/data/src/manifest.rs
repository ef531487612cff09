//! Known data sets: where they come from, what is in them, and what must come out.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use crate::read::{Files, ItemFormat, PartFile, Source};
use crate::recipe::{PrepareError, Prepared};
use crate::{Cleaning, Dataset, Duplicates, Format, Protocol, ReadError, ReadOptions, Recipe};

mod builtin;

/// What is known about a public data set; `datasets/<name>.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name, also that of its folder unless [`folder`](Self::folder) says otherwise.
    pub name: String,
    /// Full name.
    pub title: String,
    /// Where people read about it.
    pub homepage: String,
    /// Terms of use, in a sentence or two.
    pub licence: String,
    /// What a user should know: how these bytes differ from others in circulation, what the counts mean.
    #[serde(default)]
    pub note: Option<String>,
    /// Folder under the data directory.
    #[serde(default)]
    pub folder: Option<String>,
    /// Format of the interactions.
    pub format: Format,
    /// How to read them.
    #[serde(default)]
    pub options: ReadOptions,
    /// What becomes of pairs that come again.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// Archives that some of the files are members of.
    #[serde(default)]
    pub archives: Vec<ArchiveEntry>,
    /// What must come out.
    #[serde(default)]
    pub expected: Expected,
    /// Cleaning that is usual for it.
    #[serde(default)]
    pub cleaning: Cleaning,
    /// Split that is usual for it.
    pub protocol: Protocol,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Role {
    /// All interactions.
    Interactions,
    /// The training part.
    Train,
    /// The validation part.
    Validation,
    /// The test part.
    Test,
    /// Times of the training part.
    TrainTimes,
    /// Times of the test part.
    TestTimes,
    /// Categories of items.
    Categories,
    /// Names of numbered categories.
    CategoryNames,
    /// Bags of words of items.
    Words,
}

/// One file of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// What it holds.
    pub role: Role,
    /// Its name in the folder; `name.gz` is taken too.
    pub path: String,
    /// SHA-256 of its unpacked content.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Where it can be downloaded.
    #[serde(default)]
    pub url: Option<String>,
    /// Whether the address serves the bytes of `sha256`. If not (another order of the same rows, a release that was repacked),
    /// counts alone are checked.
    #[serde(default = "yes")]
    pub url_serves_these_bytes: bool,
    /// The archive it is a member of.
    #[serde(default)]
    pub archive: Option<String>,
    /// Its name inside the archive.
    #[serde(default)]
    pub member: Option<String>,
    /// Format, for categories.
    #[serde(default)]
    pub format: Option<ItemFormat>,
}

const fn yes() -> bool {
    true
}

/// A zip archive with files of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveEntry {
    /// Its name in the folder.
    pub path: String,
    /// Where it can be downloaded.
    pub url: String,
    /// SHA-256 of its bytes, where known; else members are checked by their own checksums and by counts.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// Counts that must come out; those not given are not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// Users read, those without interactions included.
    pub users: Option<usize>,
    /// Items read.
    pub items: Option<usize>,
    /// Pairs read, merged.
    pub interactions: Option<usize>,
    /// Rows read.
    pub rows: Option<u64>,
    /// Pairs of the training part, after the usual cleaning.
    pub train: Option<usize>,
    /// Pairs of the validation part, after the usual cleaning.
    pub validation: Option<usize>,
    /// Pairs of the test part that no earlier part has, after the usual cleaning.
    pub test: Option<usize>,
    /// Users, items and pairs after the usual cleaning.
    pub cleaned: Option<(usize, usize, usize)>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No such data set.
    #[error("unknown data set {got:?}{}; known are {known}", .close.as_ref().map_or_else(String::new, |close| format!(" (did you mean {close}?)")))]
    Unknown {
        /// The name given.
        got: String,
        /// The known name nearest to it.
        close: Option<String>,
        /// All known names.
        known: String,
    },
    /// A manifest that does not parse.
    #[error("manifest {name}: {problem}")]
    Parse {
        /// Name or path.
        name: String,
        /// Line and reason.
        problem: String,
    },
    /// A file that is nowhere.
    #[error(
        "data set {name}: {file} is in none of {searched}; `data fetch {name}` downloads what has a public address"
    )]
    NotFound {
        /// Data set.
        name: String,
        /// File.
        file: String,
        /// Folders looked in.
        searched: String,
    },
    /// Content other than expected.
    #[error(
        "data set {name}: {what} is {got}, expected {expected}; the files are not those of the manifest: fetch them again, \
             or read them with a format instead of a manifest"
    )]
    Counts {
        /// Data set.
        name: String,
        /// What was counted.
        what: &'static str,
        /// By the manifest.
        expected: u64,
        /// In the files.
        got: u64,
    },
    /// Files that cannot be prepared.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A file that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// How a file compares with its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCheck {
    /// File name in the manifest.
    pub path: String,
    /// `Some(true)`: the very bytes. `Some(false)`: other bytes, so that only the counts speak for them. `None`: no checksum is
    /// known.
    pub same_bytes: Option<bool>,
}

impl Manifest {
    /// All manifests that come with the library, by name.
    ///
    /// # Errors
    /// A manifest that does not parse (a bug, held by a test).
    pub fn builtin() -> Result<Vec<Self>, ManifestError> {
        builtin::ALL.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// The manifest of a known data set.
    ///
    /// # Errors
    /// An unknown name, answered with the nearest known one.
    pub fn named(name: &str) -> Result<Self, ManifestError> {
        if let Some((name, text)) = builtin::ALL.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, text);
        }
        let names = || builtin::ALL.iter().map(|(known, _)| *known);
        Err(ManifestError::Unknown {
            got: name.to_owned(),
            close: rectify_core::closest_name(name, names()).map(str::to_owned),
            known: names().collect::<Vec<_>>().join(", "),
        })
    }

    /// Parses a manifest; `name` is for errors.
    ///
    /// # Errors
    /// Text that is no manifest, with the line; a folder or file name that leads out of the data directory.
    pub fn parse(name: &str, text: &str) -> Result<Self, ManifestError> {
        let wrong = |problem| ManifestError::Parse { name: name.to_owned(), problem };
        let manifest: Self = toml::from_str(text).map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        // Downloads go where the manifest says, and it may be somebody else's.
        let files = manifest.files.iter().map(|file| &file.path);
        let archives = manifest.archives.iter().map(|archive| &archive.path);
        for path in files.chain(archives).chain([manifest.folder.as_ref().unwrap_or(&manifest.name)]) {
            let inside = |part| matches!(part, Component::Normal(_));
            if path.is_empty() || !Path::new(path).components().all(inside) {
                return Err(wrong(format!("found place {path:?}, expected a relative path without `..`")));
            }
        }
        Ok(manifest)
    }

    /// Reads a manifest of one's own.
    ///
    /// # Errors
    /// A file that cannot be read, and as [`parse`](Self::parse).
    pub fn open(path: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Finds the files in the first of `dirs` that has each, in its folder `dirs[i]/<folder>`.
    ///
    /// A file is taken plain, as `.gz`, or out of its archive.
    ///
    /// # Errors
    /// A file that is nowhere.
    pub fn recipe(&self, dirs: &[PathBuf]) -> Result<Recipe, ManifestError> {
        let find = |role| self.entry(role).map(|entry| self.locate(entry, dirs)).transpose();
        let need = |role, name: &str| {
            find(role)?.ok_or_else(|| ManifestError::Parse {
                name: self.name.clone(),
                problem: format!("it has no file of role {name}, but needs one"),
            })
        };
        let files = if self.entry(Role::Interactions).is_some() {
            Files::Whole(need(Role::Interactions, "interactions")?.into())
        } else {
            Files::Parts {
                train: PartFile { rows: need(Role::Train, "train")?, times: find(Role::TrainTimes)? },
                validation: find(Role::Validation)?.map(PartFile::from),
                test: PartFile { rows: need(Role::Test, "test")?, times: find(Role::TestTimes)? },
            }
        };
        let categories = match self.entry(Role::Categories).and_then(|entry| entry.format) {
            Some(format) => Some((need(Role::Categories, "categories")?, format, find(Role::CategoryNames)?)),
            None => None,
        };
        Ok(Recipe {
            name: self.name.clone(),
            files,
            format: self.format,
            options: self.options.clone(),
            duplicates: self.duplicates,
            categories,
            words: find(Role::Words)?,
            cleaning: self.cleaning.clone(),
        })
    }

    fn entry(&self, role: Role) -> Option<&FileEntry> {
        self.files.iter().find(|entry| entry.role == role)
    }

    /// Folder of this data set under `dir`.
    #[must_use]
    pub fn folder_in(&self, dir: &Path) -> PathBuf {
        dir.join(self.folder.as_ref().unwrap_or(&self.name))
    }

    fn locate(&self, entry: &FileEntry, dirs: &[PathBuf]) -> Result<Source, ManifestError> {
        for dir in dirs {
            let folder = self.folder_in(dir);
            let plain = folder.join(&entry.path);
            let packed = folder.join(format!("{}.gz", entry.path));
            if let Some(path) = [plain, packed].into_iter().find(|path| path.is_file()) {
                return Ok(path.as_path().into());
            }
            if let Some(archive) = &entry.archive
                && folder.join(archive).is_file()
            {
                let member = entry.member.as_deref().unwrap_or(&entry.path);
                return Ok(Source::member(&folder.join(archive), member));
            }
        }
        let searched: Vec<String> = dirs.iter().map(|dir| self.folder_in(dir).display().to_string()).collect();
        let searched = if searched.is_empty() { "no data directory at all".to_owned() } else { searched.join(", ") };
        Err(ManifestError::NotFound { name: self.name.clone(), file: entry.path.clone(), searched })
    }

    /// The same files, cleaned in another way; what came out of the usual cleaning is no longer expected.
    #[must_use]
    pub fn cleaned_by(self, cleaning: Cleaning) -> Self {
        let expected = Expected { train: None, validation: None, test: None, cleaned: None, ..self.expected };
        Self { cleaning, expected, ..self }
    }

    /// Opens the data set from the cache, after making it if it is not there; counts are checked either way.
    ///
    /// # Errors
    /// Missing files, files that do not read, or counts other than expected.
    pub fn prepare(&self, dirs: &[PathBuf], cache: &Path) -> Result<Prepared, ManifestError> {
        let prepared = self.recipe(dirs)?.prepare(cache)?;
        self.check_counts(&prepared.dataset)?;
        Ok(prepared)
    }

    /// Compares the files' unpacked bytes with the checksums.
    ///
    /// # Errors
    /// Missing files, or files that do not read.
    pub fn check_files(&self, dirs: &[PathBuf]) -> Result<Vec<FileCheck>, ManifestError> {
        let check = |entry: &FileEntry| {
            let source = self.locate(entry, dirs)?;
            let same_bytes = match &entry.sha256 {
                None => None,
                Some(sha256) => Some(source.sha256()? == *sha256),
            };
            Ok(FileCheck { path: entry.path.clone(), same_bytes })
        };
        self.files.iter().map(check).collect()
    }

    /// Compares counts with the expected ones. `data` must have been cleaned as the manifest says.
    ///
    /// # Errors
    /// The first count that differs.
    pub fn check_counts(&self, data: &Dataset) -> Result<(), ManifestError> {
        let check = |what, expected: Option<u64>, got: u64| match expected {
            Some(expected) if expected != got => {
                Err(ManifestError::Counts { name: self.name.clone(), what, expected, got })
            }
            _ => Ok(()),
        };
        let count = |n: Option<usize>| n.map(|n| n as u64);
        let expected = &self.expected;
        check("number of rows", expected.rows, data.provenance.n_rows)?;
        if let Some(read) = data.provenance.steps.first() {
            check("number of users", count(expected.users), read.n_users as u64)?;
            check("number of items", count(expected.items), read.n_items as u64)?;
            check("number of interactions", count(expected.interactions), read.n_interactions as u64)?;
        }
        if let Some(fixed) = &data.fixed {
            let validation = fixed.validation.as_ref().map_or(0, crate::Interactions::n_interactions);
            check("number of training pairs", count(expected.train), fixed.train.n_interactions() as u64)?;
            check("number of validation pairs", count(expected.validation), validation as u64)?;
            check("number of test pairs", count(expected.test), fixed.test.n_interactions() as u64)?;
        }
        if let Some((users, items, pairs)) = expected.cleaned {
            let all = &data.interactions;
            check("number of users after cleaning", Some(users as u64), all.n_users() as u64)?;
            check("number of items after cleaning", Some(items as u64), all.n_items() as u64)?;
            check("number of interactions after cleaning", Some(pairs as u64), all.n_interactions() as u64)?;
        }
        Ok(())
    }
}

/// Where data is looked for: the directory asked for, or else the one of the environment (`RECTIFY_DATA`), and last the user's
/// cache. The environment is read by the caller.
#[must_use]
pub fn search_dirs(asked: Option<PathBuf>, environment: Option<OsString>, cache: Option<PathBuf>) -> Vec<PathBuf> {
    asked.into_iter().chain(environment.filter(|dir| !dir.is_empty()).map(PathBuf::from)).chain(cache).collect()
}

/// The user's cache directory of rectify's data: `$XDG_CACHE_HOME/rectify`, else `$HOME/.cache/rectify`, on Windows
/// `%LOCALAPPDATA%\rectify`; nothing for a user without a home.
#[must_use]
pub fn user_cache_dir() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.cache_dir().join("rectify"))
}
