//! Kinds by their names.

use rectify_core::UnknownName;

use crate::{Kind, ModelError, builtin};

/// All kinds that can be named: those of rectify, and yours.
#[derive(Clone, Debug)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    /// The kinds of rectify.
    #[must_use]
    pub fn builtin() -> Self {
        Self(builtin::kinds())
    }

    /// These and one more, which takes the place of one of the same name.
    #[must_use]
    pub fn with(mut self, kind: Kind) -> Self {
        self.0.retain(|known| known.name != kind.name);
        self.0.push(kind);
        self
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// [`ModelError::UnknownKind`], with the nearest name that is known; [`ModelError::NotBuilt`] for one behind a feature.
    pub fn get(&self, name: &str) -> Result<&Kind, ModelError> {
        let unknown = || match builtin::missing_feature(name) {
            Some(feature) => ModelError::NotBuilt { kind: name.to_owned(), feature },
            None => UnknownName::new("kind of model", name, self.iter().map(|kind| kind.name)).into(),
        };
        self.iter().find(|kind| kind.name == name).ok_or_else(unknown)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::builtin()
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::{Factors, Index};

    use super::*;
    use crate::Reader;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_says_where_it_comes_from() {
        let kinds = Kinds::builtin();
        for kind in kinds.iter() {
            assert_eq!(kinds.iter().filter(|other| other.name == kind.name).count(), 1, "{}", kind.name);
            assert!(!kind.paper.is_empty(), "{}", kind.name);
        }
        assert!(kinds.iter().count() > 30);
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_nearest_one() {
        let text = Kinds::builtin().get("eese").unwrap_err().to_string();
        assert!(text.starts_with("unknown kind of model 'eese'; did you mean 'ease'?"), "{text}");
    }

    #[test]
    fn a_kind_of_yours_is_found_and_takes_the_place_of_another() {
        let reader = Reader::new(Factors::format, |_, _| Err(ModelError::Device("none".into())));
        let mine = |name| Kind::new(name, "unpublished", reader);
        let kinds = Kinds::builtin().with(mine("mine")).with(mine("ease"));
        assert_eq!(kinds.get("mine").unwrap().paper, "unpublished");
        assert_eq!(kinds.get("ease").unwrap().paper, "unpublished");
    }

    #[cfg(feature = "train")]
    #[test]
    fn every_kind_has_settings_of_its_own() {
        for kind in Kinds::builtin().iter().filter(|kind| kind.trains()) {
            let resolved = kind.resolve(&crate::Settings::new());
            // A guided student must be told what guides it.
            let told = matches!(resolved, Err(ModelError::Settings { .. })) && kind.name.starts_with("distilled");
            assert!(resolved.is_ok_and(|settings| settings.is_object()) || told, "{}", kind.name);
        }
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn kinds_that_say_they_train_on_a_device_do() {
        for kind in Kinds::builtin().iter() {
            assert_eq!(kind.abilities.on_device, kind.has_trainer_on_device(), "{}", kind.name);
        }
    }
}
