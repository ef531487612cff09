//! Real vectors of users and items on their way to codes: where they come from, and what is done before signs are taken.

use rectify_core::rng::Seed;
use rectify_core::{ItemId, Provenance, Teacher, UserId};
use serde::{Deserialize, Serialize};

use super::rotation::{centre, learn, rotate};
use super::{FitError, TeacherError};
use crate::{BinaryCodes, BinaryFactors, CodesError, HammingIndex};

/// Which vectors lose their mean before signs are taken.
///
/// Vectors that all lie on one side of 0 give bits that are alike for everybody. Without the mean item, every user keeps the order
/// of items exactly; without the mean user, each item loses the part of its score that all users share, which for many
/// models is its popularity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centre {
    /// None.
    #[default]
    Neither,
    /// Items.
    Items,
    /// Users by the mean user, items by the mean item.
    Both,
}

/// Vectors of users and of items, row-major.
pub(super) struct Vectors {
    pub(super) users: Vec<f32>,
    pub(super) items: Vec<f32>,
    pub(super) dim: usize,
}

impl Vectors {
    /// Subtracts means.
    pub(super) fn centre(&mut self, which: Centre) {
        if which == Centre::Both {
            centre(&mut self.users, self.dim);
        }
        if which != Centre::Neither {
            centre(&mut self.items, self.dim);
        }
    }

    /// Turns all vectors by the rotation that leaves them nearest to their signs; none for 0 rounds.
    pub(super) fn rotate(&mut self, model: &'static str, rounds: u32, seed: Seed) -> Result<(), FitError> {
        if rounds > 0 {
            self.turn(model, rounds, seed)?;
        }
        Ok(())
    }

    /// As [`rotate`](Self::rotate), and by a random rotation for 0 rounds.
    pub(super) fn turn(&mut self, model: &'static str, rounds: u32, seed: Seed) -> Result<(), FitError> {
        let Some(rotation) = learn(&[&self.users[..], &self.items].concat(), self.dim, rounds, seed) else {
            let source = CodesError::NotANumber { row: 0, position: 0 };
            return Err(FitError::Diverged { model, source });
        };
        self.users = rotate(&self.users, &rotation, self.dim);
        self.items = rotate(&self.items, &rotation, self.dim);
        Ok(())
    }
}

/// The teacher's vectors of users and items.
pub(super) fn hidden_vectors(teacher: &dyn Teacher<Query = UserId>, n_users: usize) -> Result<Vectors, FitError> {
    let hidden = teacher.hidden().ok_or(TeacherError::NoVectors)?;
    let widths = hidden.widths();
    if widths.item == 0 || widths.user != widths.item {
        return Err(TeacherError::Widths { users: widths.user, items: widths.item }.into());
    }
    let dim = widths.item;
    let (mut users, mut items) = (vec![0.0; n_users * dim], vec![0.0; teacher.n_items() * dim]);
    for (user, out) in users.chunks_exact_mut(dim).enumerate() {
        hidden.user_into(UserId(user as u32), out)?;
    }
    for (item, out) in items.chunks_exact_mut(dim).enumerate() {
        hidden.item_into(ItemId(item as u32), out)?;
    }
    Ok(Vectors { users, items, dim })
}

/// Signs of real rows as codes, with what made them.
pub(super) fn by_sign(
    model: &'static str,
    config: &impl Serialize,
    users: &[f32],
    items: &[f32],
    code_bits: usize,
) -> Result<BinaryFactors, FitError> {
    let codes = |rows: &[f32]| match BinaryCodes::from_signs(rows, code_bits) {
        Err(source @ CodesError::NotANumber { .. }) => Err(FitError::Diverged { model, source }),
        other => Ok(other?),
    };
    let (users, items) = (codes(users)?, HammingIndex::new(&codes(items)?)?);
    Ok(BinaryFactors::new(users, items, Provenance::new(model, config))?)
}
