//! Data by name or by path: the built-in generator, a manifest, or any file of a known format.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rectify_core::rng::Seed;
use rectify_core::{Fault, UnknownName};

use crate::manifest::{search_dirs, user_cache_dir};
use crate::{
    Amount, CleanError, Cleaning, ColdItems, Dataset, FilesSplit, Format, Manifest, ManifestError, PerUser, Pick,
    PrepareError, Protocol, ReadError, ReadOptions, Recipe, Rounding, SyntheticConfig, SyntheticError, clean,
};

/// Folders on this machine that data come from and go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Folders that may hold data sets, in the order they are searched.
    pub folders: Vec<PathBuf>,
    /// Where prepared data sets are kept.
    pub prepared: PathBuf,
}

impl Places {
    /// The folder that was asked for, that of the environment variable RECTIFY_DATA, and the [user's cache](user_cache_dir).
    #[must_use]
    pub fn usual(asked: Option<&Path>) -> Self {
        Self::new(asked, std::env::var_os("RECTIFY_DATA"), user_cache_dir())
    }

    /// The folder that was asked for, that of the environment, and the user's cache.
    #[must_use]
    pub fn new(asked: Option<&Path>, environment: Option<OsString>, cache: Option<PathBuf>) -> Self {
        Self {
            folders: search_dirs(asked.map(Path::to_owned), environment, cache.clone()),
            prepared: cache.unwrap_or_else(std::env::temp_dir).join("prepared"),
        }
    }
}

/// Data that can be loaded: checked by name, not read yet.
#[derive(Clone, Debug)]
pub struct DataSource {
    name: String,
    from: From,
    places: Places,
}

#[derive(Clone, Debug)]
enum From {
    Synthetic { config: SyntheticConfig, cleaning: Cleaning },
    Manifest(Box<Manifest>),
    Path(Box<Recipe>),
}

/// How to read a file, and what to keep of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileOptions {
    /// Name of the format; by the file's ending when omitted.
    pub format: Option<String>,
    /// Columns and separators.
    pub read: ReadOptions,
    /// What to remove.
    pub cleaning: Cleaning,
}

/// Built-in data: name, settings, what it is for.
pub const SYNTHETIC: &[(&str, SyntheticConfig, &str)] = &[
    ("synthetic", SyntheticConfig::small(), "built in: 2,000 users, for a first run"),
    ("synthetic-tiny", SyntheticConfig::tiny(), "built in: 200 users, for tests"),
    ("synthetic-large", SyntheticConfig::large(), "built in: 100,000 users, for measurements"),
];

/// Why there are no such data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataSourceError {
    /// A data set or a format of no known name.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// A path where nothing is.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A manifest that cannot be used, or files that are not what it says.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A folder in which parts are missing or double.
    #[error(transparent)]
    Parts(ReadError),
    /// A file that cannot be read, cleaned or kept.
    #[error("reading {name}: {problem}")]
    Prepare {
        /// Name of the data.
        name: String,
        /// The reason.
        problem: PrepareError,
    },
    /// A generator's setting out of its range.
    #[error(transparent)]
    Synthetic(#[from] SyntheticError),
    /// Generated data that cannot be cleaned so.
    #[error(transparent)]
    Clean(#[from] CleanError),
}

impl DataSourceError {
    /// Where it has its cause.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Unknown(_) => Some(Fault::Usage),
            Self::Missing(_) | Self::Manifest(_) | Self::Parts(_) | Self::Prepare { .. } => Some(Fault::Input),
            Self::Synthetic(_) | Self::Clean(_) => None,
        }
    }
}

impl DataSource {
    /// A data set by name, or by the path of a manifest.
    ///
    /// # Errors
    /// An unknown name, with the nearest one that is known, or a manifest that does not parse.
    pub fn named(name: &str, places: &Places) -> Result<Self, DataSourceError> {
        let places = places.clone();
        if let Some((name, config, _)) = SYNTHETIC.iter().find(|(known, ..)| *known == name) {
            let from = From::Synthetic { config: config.clone(), cleaning: Cleaning::default() };
            return Ok(Self { name: (*name).to_owned(), from, places });
        }
        let manifest = if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            Manifest::open(Path::new(name))?
        } else {
            let manifests = Manifest::builtin()?;
            let known = SYNTHETIC.iter().map(|(name, ..)| *name).chain(manifests.iter().map(|m| m.name.as_str()));
            let unknown = || UnknownName::new("data set", name, known);
            manifests.iter().find(|manifest| manifest.name == name).cloned().ok_or_else(unknown)?
        };
        Ok(Self { name: manifest.name.clone(), from: From::Manifest(Box::new(manifest)), places })
    }

    /// Any file of a known format, or a folder with train and test files.
    ///
    /// # Errors
    /// An unknown format, a path where nothing is, or a folder in which parts are missing or double.
    pub fn path(path: &Path, format: &str, places: &Places) -> Result<Self, DataSourceError> {
        let options = FileOptions { format: Some(format.to_owned()), ..FileOptions::default() };
        Self::file(path, &options, places)
    }

    /// As [`path`](Self::path), of the format that the file's ending names unless the options say another.
    ///
    /// # Errors
    /// As [`path`](Self::path), or an ending that names no format.
    pub fn file(path: &Path, options: &FileOptions, places: &Places) -> Result<Self, DataSourceError> {
        let format = match &options.format {
            Some(name) => {
                let known = Format::ALL.iter().map(|format| format.name());
                let found = Format::ALL.iter().copied().find(|known| known.name() == name);
                Some(found.ok_or_else(|| UnknownName::new("format", name, known))?)
            }
            None => None,
        };
        if !path.exists() {
            return Err(DataSourceError::Missing(path.to_owned()));
        }
        let format = format.map_or_else(|| Format::of_path(path), Ok).map_err(DataSourceError::Parts)?;
        let recipe = Recipe::of_path(path, format).map_err(DataSourceError::Parts)?;
        let recipe = Recipe { options: options.read.clone(), cleaning: options.cleaning.clone(), ..recipe };
        let name =
            path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
        Ok(Self { name, from: From::Path(Box::new(recipe)), places: places.clone() })
    }

    /// Name in reports.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The manifest, if it has one.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.from {
            From::Manifest(manifest) => Some(manifest),
            From::Synthetic { .. } | From::Path(_) => None,
        }
    }

    /// The same data, cleaned in another way than is usual for it.
    #[must_use]
    pub fn cleaned_by(&self, cleaning: &Cleaning) -> Self {
        let from = match self.from.clone() {
            From::Synthetic { config, .. } => From::Synthetic { config, cleaning: cleaning.clone() },
            From::Manifest(manifest) => From::Manifest(Box::new(manifest.cleaned_by(cleaning.clone()))),
            From::Path(recipe) => From::Path(Box::new(Recipe { cleaning: cleaning.clone(), ..*recipe })),
        };
        Self { name: self.name.clone(), from, places: self.places.clone() }
    }

    /// Reads it, or maps what was prepared before.
    ///
    /// # Errors
    /// Files that are nowhere, cannot be read, or are not what the manifest says.
    pub fn load(&self) -> Result<Dataset, DataSourceError> {
        let prepared = &self.places.prepared;
        Ok(match &self.from {
            // One seed for everybody: a built-in data set is always the same.
            From::Synthetic { config, cleaning } => clean(config.generate(&self.name, Seed(0))?, cleaning)?,
            From::Manifest(manifest) => manifest.prepare(&self.places.folders, prepared)?.dataset,
            From::Path(recipe) => {
                let wrong = |problem| DataSourceError::Prepare { name: self.name.clone(), problem };
                recipe.prepare(prepared).map_err(wrong)?.dataset
            }
        })
    }

    /// The split that is usual for it, with a validation part whatever the files say.
    #[must_use]
    pub fn usual_protocol(&self, data: &Dataset) -> Protocol {
        let tenth = Some(Amount::Share(0.1, Rounding::Nearest));
        let mut protocol = match (self.manifest(), &data.fixed) {
            (Some(manifest), _) => manifest.protocol.clone(),
            (None, Some(_)) => Protocol::Files(FilesSplit::default()),
            (None, None) => Protocol::PerUser(PerUser {
                test: Amount::Share(0.2, Rounding::Nearest),
                validation: tenth,
                pick: Pick::Random,
                cold_items: ColdItems::Keep,
                candidates: None,
            }),
        };
        let has_file = data.fixed.as_ref().is_some_and(|fixed| fixed.validation.is_some());
        match &mut protocol {
            Protocol::PerUser(split) => split.validation = split.validation.or(tenth),
            Protocol::Files(split) if !has_file => split.validation = split.validation.or(tenth),
            Protocol::Files(_) | Protocol::UserDisjoint(_) => {}
        }
        protocol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new(Some(Path::new("/data")), None, Some("/home/me/.cache/rectify".into()))
    }

    #[test]
    fn the_folder_asked_for_comes_before_the_users_cache() {
        let places = places();
        assert_eq!(places.folders, [PathBuf::from("/data"), "/home/me/.cache/rectify".into()]);
        assert_eq!(places.prepared, PathBuf::from("/home/me/.cache/rectify/prepared"));
    }

    #[test]
    fn built_in_data_load_and_unknown_names_are_refused_with_a_suggestion() {
        let tiny = DataSource::named("synthetic-tiny", &places()).unwrap();
        let data = tiny.load().unwrap();
        assert_eq!(data.interactions.n_users(), 200);
        assert!(matches!(tiny.usual_protocol(&data), Protocol::PerUser(PerUser { validation: Some(_), .. })));
        let refused = |result: Result<DataSource, DataSourceError>| {
            let error = result.unwrap_err();
            (error.fault(), error.to_string())
        };
        let (fault, text) = refused(DataSource::named("gowala", &places()));
        assert!(fault == Some(Fault::Usage) && text.contains("did you mean 'gowalla'"), "{text}");
        let (fault, text) = refused(DataSource::path(Path::new("x"), "movilens", &places()));
        assert!(fault == Some(Fault::Usage) && text.contains("did you mean 'movielens'"), "{text}");
        let (fault, text) = refused(DataSource::path(Path::new("/no/where.csv"), "csv", &places()));
        assert!(fault == Some(Fault::Input) && text.contains("/no/where.csv does not exist"), "{text}");
    }
}
