//! The vectors that codes are learned from.

use rectify_core::{ItemId, Teacher, UserId};

use crate::{FitError, TeacherError};

/// User and item vectors whose inner products are a teacher's scores.
#[derive(Clone, Debug)]
pub struct TeacherVectors {
    users: Vec<f32>,
    items: Vec<f32>,
    dim: usize,
}

/// How far a score may be from the inner product of its vectors, relative to the largest term.
const TOLERANCE: f64 = 1e-3;
/// Users and items whose scores are compared with their inner products.
const PROBES: usize = 16;

impl TeacherVectors {
    /// Takes vectors `[n_users, dim]` and `[n_items, dim]`, row-major.
    ///
    /// # Errors
    /// [`FitError::Rows`] if a table is no whole number of rows, [`FitError::Empty`] without users or items,
    /// [`FitError::NotFinite`].
    pub fn new(users: Vec<f32>, items: Vec<f32>, dim: usize) -> Result<Self, FitError> {
        for (what, side, values) in [("teacher's users", "user", &users), ("teacher's items", "item", &items)] {
            check_rows(what, side, values, dim)?;
        }
        Ok(Self { users, items, dim })
    }

    /// Copies the hidden vectors of a teacher with `n_users` users.
    ///
    /// # Errors
    /// [`FitError::Teacher`] if it shows no vectors, or its users' and items' differ in width, or its scores are not their
    /// inner products (probed on some pairs); [`FitError::Query`] if it refuses a user; else as [`new`](Self::new).
    pub fn of(teacher: &dyn Teacher<Query = UserId>, n_users: usize) -> Result<Self, FitError> {
        let hidden = teacher.hidden().ok_or(TeacherError::Hidden)?;
        let (dim, items, n_items) = (hidden.widths().user, hidden.widths().item, teacher.n_items());
        if dim == 0 || dim != items {
            return Err(TeacherError::Widths { users: dim, items }.into());
        }
        let (mut users, mut items) = (vec![0.0; n_users * dim], vec![0.0; n_items * dim]);
        for (user, out) in users.chunks_exact_mut(dim).enumerate() {
            hidden.user_into(UserId(user as u32), out)?;
        }
        for (item, out) in items.chunks_exact_mut(dim).enumerate() {
            hidden.item_into(ItemId(item as u32), out)?;
        }
        let vectors = Self::new(users, items, dim)?;
        for user in (0..n_users).step_by(n_users.div_ceil(PROBES).max(1)) {
            for item in (0..n_items).step_by(n_items.div_ceil(PROBES).max(1)) {
                let mut score = [0.0];
                teacher.score_into(&UserId(user as u32), &[ItemId(item as u32)], &mut score)?;
                let terms =
                    vectors.user(user).iter().zip(vectors.item(item)).map(|(p, q)| f64::from(*p) * f64::from(*q));
                let (product, largest) =
                    terms.fold((0.0, 0.0f64), |(sum, largest), term| (sum + term, largest.max(term.abs())));
                if (f64::from(score[0]) - product).abs() > TOLERANCE * largest {
                    return Err(TeacherError::Score { user, item, score: score[0], product }.into());
                }
            }
        }
        Ok(vectors)
    }

    /// Width of a vector.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// All user vectors, `[n_users, dim]`.
    #[must_use]
    pub fn users(&self) -> &[f32] {
        &self.users
    }

    /// All item vectors, `[n_items, dim]`.
    #[must_use]
    pub fn items(&self) -> &[f32] {
        &self.items
    }

    /// Number of users.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.users.len() / self.dim
    }

    /// Number of items.
    #[must_use]
    pub const fn n_items(&self) -> usize {
        self.items.len() / self.dim
    }

    pub(crate) fn user(&self, user: usize) -> &[f32] {
        &self.users[user * self.dim..][..self.dim]
    }

    pub(crate) fn item(&self, item: usize) -> &[f32] {
        &self.items[item * self.dim..][..self.dim]
    }
}

/// Checks that `values` are one row of `dim` at least, whole and finite.
pub(super) fn check_rows(what: &'static str, side: &'static str, values: &[f32], dim: usize) -> Result<(), FitError> {
    if dim == 0 || !values.len().is_multiple_of(dim) {
        return Err(FitError::Rows { what, dim, got: values.len() });
    }
    if values.is_empty() {
        return Err(FitError::Empty { what });
    }
    match values.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(FitError::NotFinite { what: side, at: at / dim, hint: "look at its source" }),
        None => Ok(()),
    }
}
