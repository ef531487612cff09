//! Where data come from: the built-in generator, a manifest, or any path.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rectify_core::rng::Seed;
use rectify_data::{Cleaning, Dataset, Format, Manifest, Recipe, SyntheticConfig, search_dirs, user_cache_dir};

use crate::args::{Size, SourceArgs};
use crate::{refusal, suggest};

/// Data that can be loaded: checked by name, not read yet.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    Synthetic { config: SyntheticConfig, cleaning: Cleaning },
    Manifest { manifest: Box<Manifest>, folders: Vec<PathBuf> },
    Path(Box<Recipe>),
}

/// Built-in data: name, size, what it is for.
pub(crate) const SYNTHETIC: &[(&str, Size, &str)] = &[
    ("synthetic", Size::Small, "built in: 2,000 users, for a first run"),
    ("synthetic-tiny", Size::Tiny, "built in: 200 users, for tests"),
    ("synthetic-large", Size::Large, "built in: 100,000 users, for measurements"),
];

/// The generator's settings for a size.
pub(crate) const fn synthetic(size: Size) -> SyntheticConfig {
    match size {
        Size::Tiny => SyntheticConfig::tiny(),
        Size::Small => SyntheticConfig::small(),
        Size::Large => SyntheticConfig::large(),
    }
}

/// Folders that may hold data sets: `--data`, RECTIFY_DATA, the user's cache.
pub(crate) fn folders(asked: Option<&Path>) -> Vec<PathBuf> {
    search_dirs(asked.map(Path::to_owned), std::env::var_os("RECTIFY_DATA"), cache_folder())
}

/// The user's cache of data, if there is a home.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    user_cache_dir(|name| std::env::var_os(name))
}

/// Where prepared data sets are kept.
fn prepared_folder() -> PathBuf {
    cache_folder().unwrap_or_else(std::env::temp_dir).join("prepared")
}

/// A format by name.
fn format(name: &str) -> Result<Format> {
    let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    Format::ALL
        .iter()
        .copied()
        .find(|format| format.name() == name)
        .ok_or_else(|| refusal::usage(suggest::unknown("format", name, &known)))
}

impl Source {
    /// A data set by name, or by the path of a manifest; `folder` is searched before RECTIFY_DATA and the user's cache.
    pub(crate) fn named(name: &str, folder: Option<&Path>) -> Result<Self> {
        if let Some((name, size, _)) = SYNTHETIC.iter().find(|(known, ..)| *known == name) {
            let from = From::Synthetic { config: synthetic(*size), cleaning: Cleaning::default() };
            return Ok(Self { name: (*name).to_owned(), from });
        }
        if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            return Ok(Self::manifested(Manifest::open(Path::new(name)).map_err(refusal::input)?, folder));
        }
        let manifests = Manifest::builtin()?;
        let known: Vec<&str> =
            SYNTHETIC.iter().map(|(name, ..)| *name).chain(manifests.iter().map(|m| m.name.as_str())).collect();
        let Some(manifest) = manifests.iter().find(|manifest| manifest.name == name) else {
            return Err(refusal::usage(suggest::unknown("data set", name, &known)));
        };
        Ok(Self::manifested(manifest.clone(), folder))
    }

    fn manifested(manifest: Manifest, folder: Option<&Path>) -> Self {
        let name = manifest.name.clone();
        Self { name, from: From::Manifest { manifest: Box::new(manifest), folders: folders(folder) } }
    }

    /// Any file of a known format, or a folder with train and test files.
    pub(crate) fn path(path: &Path, format_name: &str) -> Result<Self> {
        let format = format(format_name)?;
        if !path.exists() {
            return Err(refusal::input(format!("--input {} does not exist", path.display())));
        }
        let recipe = Recipe::of_path(path, format).map_err(refusal::input)?;
        let name =
            path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
        Ok(Self { name, from: From::Path(Box::new(recipe)) })
    }

    /// What the arguments of a `data` verb name.
    pub(crate) fn of(args: &SourceArgs, folder: Option<&Path>) -> Result<Self> {
        match (&args.name, &args.input, &args.format) {
            (Some(name), ..) => Self::named(name, folder),
            (None, Some(path), Some(format)) => Self::path(path, format),
            _ => Err(refusal::usage("name a data set, or give --input and --format")),
        }
    }

    /// Name in reports.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The manifest, if it has one.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        match &self.from {
            From::Manifest { manifest, .. } => Some(manifest),
            From::Synthetic { .. } | From::Path(_) => None,
        }
    }

    /// The same data, cleaned in another way than is usual for it.
    #[cfg(feature = "train")]
    pub(crate) fn cleaned_by(&self, cleaning: &Cleaning) -> Self {
        let from = match self.from.clone() {
            From::Synthetic { config, .. } => From::Synthetic { config, cleaning: cleaning.clone() },
            From::Manifest { manifest, folders } => {
                From::Manifest { manifest: Box::new(manifest.cleaned_by(cleaning.clone())), folders }
            }
            From::Path(recipe) => From::Path(Box::new(Recipe { cleaning: cleaning.clone(), ..*recipe })),
        };
        Self { name: self.name.clone(), from }
    }

    /// Reads it, or maps what was prepared before.
    pub(crate) fn load(&self) -> Result<Dataset> {
        match &self.from {
            // One seed for everybody: a built-in data set is always the same.
            From::Synthetic { config, cleaning } => {
                Ok(rectify_data::clean(config.generate(&self.name, Seed(0))?, cleaning)?)
            }
            From::Manifest { manifest, folders } => {
                let prepared = manifest.prepare(folders, &prepared_folder()).map_err(refusal::input)?;
                Ok(prepared.dataset)
            }
            From::Path(recipe) => {
                let prepared = recipe.prepare(&prepared_folder()).map_err(refusal::input);
                Ok(prepared.with_context(|| format!("reading {}", self.name))?.dataset)
            }
        }
    }

    /// The split that is usual for it, with a validation part whatever the files say.
    #[cfg(feature = "train")]
    pub(crate) fn usual_protocol(&self, data: &Dataset) -> rectify_data::Protocol {
        use rectify_data::{Amount, ColdItems, FilesSplit, PerUser, Pick, Protocol, Rounding};

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
