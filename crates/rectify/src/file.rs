//! One file with everything that is served. Its layout is docs/format.md.

use std::path::Path;
use std::sync::OnceLock;

use rectify_core::Provenance;
use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_models::{Kinds, Newcomers};
use rectify_teachers::RidgeFoldIn;
use serde::{Deserialize, Serialize};

use crate::{Catalogue, Encoder, People, RecommendError, Recommender};

/// Kind and newest version of the file.
const KIND: &str = "recommender";
const VERSION: u32 = 1;
/// Before the names of the model's arrays.
const MODEL: &str = "model/";
/// Before those of the fold-in.
const FOLD_IN: &str = "fold_in/";

/// What is no array.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    /// Kind of model, by which a program finds what opens it.
    kind: String,
    /// Kind and version of the file that would hold the model alone.
    format: String,
    version: u32,
    n_items: usize,
    n_users: usize,
    folds_in: bool,
}

/// A file that was mapped, and is checked when it is first asked; see [`Recommender::open_deferred`].
pub struct Deferred {
    artifact: Artifact,
    meta: Meta,
    kinds: Kinds,
    opened: OnceLock<Recommender>,
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Deferred {
    /// Kind of model.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.meta.kind
    }

    /// Number of items.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.meta.n_items
    }

    /// Number of people that it knows.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.meta.n_users
    }

    /// The recommender: checked the first time, at once from then on. A file that is damaged stays refused.
    ///
    /// # Errors
    /// As [`Recommender::open`].
    pub fn get(&self) -> Result<&Recommender, RecommendError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        self.artifact.verify()?;
        let opened = Recommender::read(&self.kinds, &self.artifact)?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

impl Recommender {
    /// Opens a file of a kind that rectify has.
    ///
    /// # Errors
    /// A file that is no recommender, is damaged or was written by a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RecommendError> {
        Self::open_with(&Kinds::builtin(), path)
    }

    /// Opens a file of one of these kinds, which may be yours: `Kinds::builtin().with(mine)`.
    ///
    /// # Errors
    /// As [`open`](Self::open), or a kind that is none of these.
    pub fn open_with(kinds: &Kinds, path: impl AsRef<Path>) -> Result<Self, RecommendError> {
        let artifact = Artifact::open(path.as_ref(), KIND, VERSION)?;
        Self::read(kinds, &artifact)
    }

    /// Maps a file and checks its header alone; its content is checked when it is first [asked](Deferred::get).
    ///
    /// For a program that must be up at once, or that has many files of which few are asked.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for damage inside the arrays.
    pub fn open_deferred(path: impl AsRef<Path>) -> Result<Deferred, RecommendError> {
        let artifact = Artifact::open_deferred(path.as_ref(), KIND, VERSION)?;
        Ok(Deferred { meta: artifact.config()?, artifact, kinds: Kinds::builtin(), opened: OnceLock::new() })
    }

    /// Of an artifact whose sums were checked.
    fn read(kinds: &Kinds, artifact: &Artifact) -> Result<Self, RecommendError> {
        let meta: Meta = artifact.config()?;
        let kind = *kinds.get(&meta.kind)?;
        let newest = kind.format();
        if meta.format != newest.kind || meta.version > newest.version {
            let problem = format!(
                "model has format {} {}, expected {} up to {}; open it with a newer version of rectify",
                meta.format, meta.version, newest.kind, newest.version
            );
            return Err(artifact.field_error("rectify.config", problem).into());
        }
        let model = kind.read(&artifact.part(MODEL, &meta.format, meta.version), "")?;
        let fold_in = match model.newcomers() {
            Newcomers::ByVector(model) if meta.folds_in => Some(RidgeFoldIn::read(artifact, FOLD_IN, model.items())?),
            Newcomers::ByVector(_) | Newcomers::ByHistory(_) | Newcomers::Unanswered => None,
        };
        let items = Catalogue::read(artifact, meta.n_items)?;
        let people = People::read(artifact, meta.n_users, meta.n_items)?;
        let whole = Self::new(kind, model, items, people, Provenance::read(artifact)?)?;
        let encoder = Encoder::read(artifact)?;
        Ok(Self { fold_in, encoder, unit_vectors: OnceLock::new(), ..whole })
    }

    /// Writes it to one file, whole or not at all; equal content gives equal bytes.
    ///
    /// # Errors
    /// A file that exists (unless told to replace it), or the operating system's reason.
    pub fn save(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let format = self.model.format();
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Meta {
            kind: self.kind.name.to_owned(),
            format: format.kind.to_owned(),
            version: format.version,
            n_items: self.n_items(),
            n_users: self.n_users(),
            folds_in: self.fold_in.is_some(),
        });
        self.model.write(&mut writer, MODEL);
        // In place of the model's own, which says less.
        self.provenance.write(&mut writer);
        self.items.write(&mut writer);
        self.people.write(&mut writer);
        if let Some(fold_in) = &self.fold_in {
            fold_in.write(&mut writer, FOLD_IN);
        }
        if let Some(encoder) = &self.encoder {
            encoder.write(&mut writer);
        }
        writer.save(path.as_ref(), overwrite)
    }
}
