//! What a model is made of, as a hash: equal keys mean equal models.

use rectify_core::as_u32s;
use rectify_data::{Holdout, Interactions, Ragged, WordCounts};
use serde_json::{Value, json};

use super::{Place, SideInformation};
use crate::{Kind, Model};

/// Raised when the same settings would no longer make the same model.
const GENERATION: u32 = 1;

/// What a model is made of.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    pub(super) kind: &'a Kind,
    pub(super) config: &'a Value,
    pub(super) train: &'a Interactions,
    pub(super) validation: Option<&'a Holdout>,
    /// Name of the validated metric, with its protocol.
    pub(super) select_by: &'a str,
    pub(super) max_epochs: u32,
    pub(super) patience: Option<u32>,
    pub(super) eval_every: u32,
    pub(super) seed: u64,
    /// The model that it learns from, with its key.
    pub(super) teacher: Option<(&'a str, &'a dyn Model)>,
    /// The words that it learns from.
    pub(super) text: Option<&'a WordCounts>,
    /// What else it learns from.
    pub(super) side: SideInformation<'a>,
    /// Where it is trained.
    pub(super) place: &'a Place,
}

impl Recipe<'_> {
    /// A hash of every input.
    pub(super) fn key(&self) -> String {
        let mut made_of = json!({
            "generation": GENERATION,
            "kind": self.kind.name,
            "config": self.config,
            "train": digest(self.train),
            "seed": self.seed,
        });
        // What another device makes has other bits.
        if self.place.name() != "cpu" {
            made_of["device"] = self.place.name().into();
        }
        if let Some((key, _)) = self.teacher {
            made_of["teacher"] = key.into();
        }
        if let Some(text) = self.text {
            made_of["text"] = digest_text(text).into();
        }
        if let Some(categories) = self.side.categories {
            made_of["categories"] = digest_rows(categories.rows()).into();
        }
        if let Some(users) = self.side.training_users {
            made_of["training_users"] = digest_rows(&Ragged::from_rows([as_u32s(users)])).into();
        }
        // Validation shapes a model only through the epoch that is kept.
        if self.kind.abilities.by_epochs {
            made_of["training"] = json!({
                "max_epochs": self.max_epochs,
                "patience": self.patience,
                "eval_every": self.eval_every,
                "select_by": self.select_by,
                "validation": self.validation.map(digest_holdout),
            });
        }
        blake3::hash(made_of.to_string().as_bytes()).to_hex()[..32].to_owned()
    }
}

/// BLAKE3 of what models see of interactions.
#[must_use]
pub fn digest(data: &Interactions) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(data.n_users() as u64).to_le_bytes());
    hasher.update(&(data.n_items() as u64).to_le_bytes());
    for offset in data.user_offsets() {
        hasher.update(&offset.to_le_bytes());
    }
    for item in data.all_items() {
        hasher.update(&item.0.to_le_bytes());
    }
    for weight in data.all_weights().into_iter().flatten() {
        hasher.update(&weight.to_le_bytes());
    }
    for time in data.all_times().into_iter().flatten() {
        hasher.update(&time.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn digest_rows(rows: &Ragged<u32>) -> String {
    let mut hasher = blake3::Hasher::new();
    for offset in rows.offsets() {
        hasher.update(&offset.to_le_bytes());
    }
    for value in rows.values() {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn digest_text(text: &WordCounts) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(text.n_words() as u64).to_le_bytes());
    for offset in text.rows().offsets() {
        hasher.update(&offset.to_le_bytes());
    }
    for value in text.rows().values().iter().chain(text.counts()) {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn digest_holdout(holdout: &Holdout) -> String {
    let mut hasher = blake3::Hasher::new();
    for user in holdout.users() {
        hasher.update(&user.0.to_le_bytes());
        for list in [holdout.truth_of(user), holdout.candidates_of(user).unwrap_or_default(), holdout.excluded_of(user)]
        {
            hasher.update(&(list.len() as u64).to_le_bytes());
            for item in list {
                hasher.update(&item.0.to_le_bytes());
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;

    /// The key of a recipe on four pairs, with `change` made to it.
    fn key(kind: &str, change: impl FnOnce(&mut Recipe<'_>)) -> String {
        let kinds = Kinds::builtin();
        let train = Interactions::from_pairs(2, 3, &[(0, 0), (0, 2), (1, 1), (1, 2)]).unwrap();
        let mut recipe = Recipe {
            kind: kinds.get(kind).unwrap(),
            config: &json!({"b": 1, "a": {"c": 0.5}}),
            train: &train,
            validation: None,
            select_by: "",
            max_epochs: 10,
            patience: None,
            eval_every: 0,
            seed: 7,
            teacher: None,
            text: None,
            side: SideInformation::default(),
            place: &Place::Cpu,
        };
        change(&mut recipe);
        recipe.key()
    }

    #[test]
    fn keys_are_as_they_were() {
        assert_eq!(key("ease", |_| ()), "d1a80030d82e4a4bed49b4dcd671cd27");
        assert_eq!(key("mf-bpr", |_| ()), "c1395f06935f835cc0397594d6fc3c32");
    }

    #[test]
    fn the_number_of_epochs_makes_another_model_of_those_that_learn_by_them_alone() {
        assert_ne!(key("mf-bpr", |recipe| recipe.max_epochs = 11), key("mf-bpr", |_| ()));
        assert_eq!(key("ease", |recipe| recipe.max_epochs = 11), key("ease", |_| ()));
        assert_ne!(key("ease", |recipe| recipe.seed = 8), key("ease", |_| ()));
    }
}
