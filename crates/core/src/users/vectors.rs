//! A vector a user.

use std::ops::Deref;

use super::UserSide;
use crate::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use crate::{UserId, Violation};

/// Name of the array.
const USERS: &str = "users";

/// User vectors, row-major `[n_users, dim]`; as a slice, all values.
#[derive(Clone, Debug)]
pub struct UserVectors {
    values: Array<f32>,
    dim: usize,
}

impl UserVectors {
    /// Vectors of width `dim`.
    ///
    /// # Errors
    /// A width of 0, values that are no whole number of rows, or one that is not finite.
    pub fn new(values: impl Into<Array<f32>>, dim: usize) -> Result<Self, super::UsersError> {
        let users = Self { values: values.into(), dim };
        match users.validate(0).pop() {
            Some(violation) => Err(super::UsersError::Invalid(violation)),
            None => Ok(users),
        }
    }

    /// Width of a vector.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }
}

impl Deref for UserVectors {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl PartialEq for UserVectors {
    fn eq(&self, other: &Self) -> bool {
        self.dim == other.dim && self[..] == other[..]
    }
}

impl UserSide for UserVectors {
    type Query = [f32];

    fn n_users(&self) -> usize {
        self.values.len() / self.dim.max(1)
    }

    fn query(&self, user: UserId) -> Option<&[f32]> {
        self.values.get(user.index().checked_mul(self.dim)?..)?.get(..self.dim)
    }

    fn width(&self) -> Option<usize> {
        Some(self.dim)
    }

    fn vector(&self, user: UserId) -> Option<&[f32]> {
        self.query(user)
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&self.values[..])
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}{USERS}"), &[self.n_users(), self.dim], &self.values);
    }

    fn read(artifact: &Artifact, prefix: &str, width: Option<usize>) -> Result<Self, ArtifactError> {
        let name = format!("{prefix}{USERS}");
        let (values, shape) = artifact.array(&name)?;
        match (shape, width) {
            (&[n_users, dim], Some(width)) if dim == width && dim > 0 && u32::try_from(n_users).is_ok() => {
                Ok(Self { values, dim })
            }
            _ => {
                let width = width.map_or_else(|| "dim".to_owned(), |width| width.to_string());
                Err(artifact.field_error(&name, format!("array has shape {shape:?}, expected [n_users, {width}]")))
            }
        }
    }

    fn validate(&self, _: usize) -> Vec<Violation> {
        let violation = |problem| vec![Violation { field: USERS.into(), problem }];
        let (dim, n) = (self.dim, self.values.len());
        if dim == 0 || !n.is_multiple_of(dim) {
            return violation(format!("{n} values are no whole number of rows of {dim}"));
        }
        if u32::try_from(n / dim).is_err() {
            return violation(format!("{} users, expected fewer than 2^32", n / dim));
        }
        match self.values.iter().position(|x| !x.is_finite()) {
            Some(at) => {
                violation(format!("user {} is not finite at position {}: {}", at / dim, at % dim, self.values[at]))
            }
            None => Vec::new(),
        }
    }
}
