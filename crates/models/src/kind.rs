//! A kind of model: what it is called, what it needs, what it can, and how it is made.

use std::path::Path;

use rectify_core::artifact::Artifact;
use rectify_core::{Format, Index};
use serde_json::Value;

#[cfg(feature = "cuda")]
use crate::train::FitOn;
#[cfg(feature = "train")]
use crate::train::{Fit, FitRequest, Fitted};
use crate::{Model, ModelError, Settings, SettingsError, TeacherForm};

/// What a kind learns from beside interactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Another model, and of what form.
    pub teacher: Option<TeacherForm>,
    /// The words of items.
    pub text: bool,
    /// When interactions happened.
    pub times: bool,
    /// Categories of items, where the data have them.
    pub categories: bool,
    /// Which users' whole rows are samples, where users were split.
    pub training_users: bool,
}

/// What an index of a kind is asked, behind its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// A user by id: what is known of it lies inside the model.
    User,
    /// A user's vector.
    Vector,
    /// A user's bits.
    Bits,
    /// What somebody did.
    History,
}

/// What a kind can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Learns by epochs, so that the number of them is part of what made it.
    pub by_epochs: bool,
    /// Trains on a GPU, too, in builds that reach one.
    pub on_device: bool,
    /// Is served in other ways, too, without another training.
    pub variants: bool,
    /// Answers people whom it was not trained on.
    pub folds_in: bool,
    /// What it is asked.
    pub query: Query,
}

/// How a saved model is read, from a file of its own or as a part of another.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    format: fn() -> Format,
    read: Read,
}

/// Maps what was written under a prefix, and checks it.
pub type Read = fn(&Artifact, &str) -> Result<Box<dyn Model>, ModelError>;

impl Reader {
    /// Files of this format.
    #[must_use]
    pub const fn new(format: fn() -> Format, read: Read) -> Self {
        Self { format, read }
    }

    /// Of an index that is a model.
    #[must_use]
    pub const fn of<M: Index + Model + 'static>() -> Self {
        Self::new(<M as Index>::format, |artifact, prefix| Ok(Box::new(M::read_checked(artifact, prefix)?)))
    }
}

/// Checks a way to serve what the settings train, other than their own.
pub type CheckVariant = fn(&Value, &Settings) -> Result<(), SettingsError>;

/// Opens a saved model to be served in another way.
pub type OpenVariant = fn(&Path, &Settings) -> Result<Box<dyn Model>, ModelError>;

/// All settings of a model, defaults included, checked.
pub type Resolve = fn(&Settings) -> Result<Value, SettingsError>;

/// A kind of model.
///
/// [`Kind::new`] says what opening takes, the methods after it what more there is. See [`Kinds::with`](crate::Kinds::with).
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Name in experiments and files.
    pub name: &'static str,
    /// Where it was published, in a line.
    pub paper: &'static str,
    /// What it learns from.
    pub needs: Needs,
    /// What it can.
    pub abilities: Abilities,
    reader: Reader,
    #[cfg(feature = "train")]
    learn: Option<(Resolve, Fit)>,
    variants: Option<(CheckVariant, OpenVariant)>,
    #[cfg(feature = "cuda")]
    fit_on: Option<FitOn>,
}

impl Kind {
    /// A kind whose models are opened by `reader`; asked by user, until [`asked_by`](Self::asked_by) says otherwise.
    #[must_use]
    pub const fn new(name: &'static str, paper: &'static str, reader: Reader) -> Self {
        Self {
            name,
            paper,
            needs: Needs { teacher: None, text: false, times: false, categories: false, training_users: false },
            abilities: Abilities {
                by_epochs: false,
                on_device: false,
                variants: false,
                folds_in: false,
                query: Query::User,
            },
            reader,
            #[cfg(feature = "train")]
            learn: None,
            variants: None,
            #[cfg(feature = "cuda")]
            fit_on: None,
        }
    }

    /// Learns from these, too.
    #[must_use]
    pub const fn needing(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Learns from another model of this form, and from interactions.
    #[must_use]
    pub const fn taught_by(mut self, form: TeacherForm) -> Self {
        self.needs.teacher = Some(form);
        self
    }

    /// Learns by epochs.
    #[must_use]
    pub const fn by_epochs(mut self) -> Self {
        self.abilities.by_epochs = true;
        self
    }

    /// Is asked this.
    #[must_use]
    pub const fn asked_by(mut self, query: Query) -> Self {
        self.abilities.query = query;
        self
    }

    /// Answers people whom it was not trained on.
    #[must_use]
    pub const fn folding_in(mut self) -> Self {
        self.abilities.folds_in = true;
        self
    }

    /// Is served in other ways, too.
    #[must_use]
    pub const fn varied(mut self, check: CheckVariant, open: OpenVariant) -> Self {
        self.abilities.variants = true;
        self.variants = Some((check, open));
        self
    }

    /// Trains on a GPU, too; `learning_on` says how, in a build that reaches one (feature `cuda`).
    #[must_use]
    pub const fn on_device(mut self) -> Self {
        self.abilities.on_device = true;
        self
    }

    /// Settings become complete and checked by `resolve`, models of them by `fit`.
    #[cfg(feature = "train")]
    #[must_use]
    pub const fn learning(mut self, resolve: Resolve, fit: Fit) -> Self {
        self.learn = Some((resolve, fit));
        self
    }

    /// How it trains on a GPU.
    #[cfg(feature = "cuda")]
    #[must_use]
    pub const fn learning_on(mut self, fit: FitOn) -> Self {
        self.fit_on = Some(fit);
        self.on_device()
    }

    /// Whether this build trains it.
    #[cfg(feature = "train")]
    #[must_use]
    pub const fn trains(&self) -> bool {
        self.learn.is_some()
    }

    /// Maps a trained model.
    ///
    /// # Errors
    /// A file that is not such a model, or is damaged.
    pub fn open(&self, path: &Path) -> Result<Box<dyn Model>, ModelError> {
        let Format { kind, version } = (self.reader.format)();
        self.read(&Artifact::open(path, kind, version)?, "")
    }

    /// Maps a model that was written under `prefix` into an artifact that holds more.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(&self, artifact: &Artifact, prefix: &str) -> Result<Box<dyn Model>, ModelError> {
        (self.reader.read)(artifact, prefix)
    }

    /// Kind and newest version of a file that holds a model of this kind.
    #[must_use]
    pub fn format(&self) -> Format {
        (self.reader.format)()
    }

    /// Checks a way to serve what `config` trains, other than the config's own.
    ///
    /// # Errors
    /// [`ModelError::Variant`].
    pub fn check_variant(&self, config: &Value, how: &Settings) -> Result<(), ModelError> {
        let checked = self.variants.map_or(Err(SettingsError::OneWay), |(check, _)| check(config, how));
        checked.map_err(|problem| ModelError::Variant { kind: self.name, problem })
    }

    /// Maps a trained model to be served in another way.
    ///
    /// # Errors
    /// [`ModelError::Variant`], or as [`open`](Self::open).
    pub fn open_variant(&self, path: &Path, how: &Settings) -> Result<Box<dyn Model>, ModelError> {
        let one_way = || ModelError::Variant { kind: self.name, problem: SettingsError::OneWay };
        let (_, open) = self.variants.ok_or_else(one_way)?;
        open(path, how)
    }

    /// All settings of a model, defaults included, checked.
    ///
    /// # Errors
    /// [`ModelError::Settings`], or a kind that this build only opens.
    #[cfg(feature = "train")]
    pub fn resolve(&self, settings: &Settings) -> Result<Value, ModelError> {
        let (resolve, _) = self.learn.ok_or_else(|| self.cannot_train())?;
        resolve(settings).map_err(|problem| ModelError::Settings { kind: self.name, problem })
    }

    /// Trains a model.
    ///
    /// # Errors
    /// [`ModelError::Training`], or a kind that this build only opens.
    #[cfg(feature = "train")]
    pub fn fit(&self, request: FitRequest<'_>) -> Result<Fitted, ModelError> {
        let (_, fit) = self.learn.ok_or_else(|| self.cannot_train())?;
        let failed = |source| ModelError::Training { kind: self.name, place: None, source: Box::new(source) };
        fit(request).map_err(failed)
    }

    /// Trains a model on a device.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), or a kind that trains on the CPU alone.
    #[cfg(feature = "cuda")]
    pub fn fit_on(
        &self,
        request: FitRequest<'_>,
        ops: &rectify_tensor::cuda::GpuOps,
        place: &str,
    ) -> Result<Fitted, ModelError> {
        let fit = self.fit_on.ok_or(ModelError::NotOnDevice { kind: self.name })?;
        let place = Some(place.to_owned());
        fit(request, ops).map_err(|source| ModelError::Training { kind: self.name, place, source: Box::new(source) })
    }

    #[cfg(feature = "train")]
    const fn cannot_train(&self) -> ModelError {
        ModelError::CannotTrain { kind: self.name, remedy: "build rectify-models with the feature `graph`" }
    }

    #[cfg(all(test, feature = "cuda"))]
    pub(crate) const fn has_trainer_on_device(&self) -> bool {
        self.fit_on.is_some()
    }
}
