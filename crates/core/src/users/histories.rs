//! What users did, newest first.

use super::UserSide;
use crate::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use crate::{ItemId, UserId, Violation};

/// Names of the arrays.
const OFFSETS: &str = "histories/offsets";
const ITEMS: &str = "histories/items";

/// Items of each user, newest first: the queries of models that answer a history.
#[derive(Clone, Debug)]
pub struct Histories {
    offsets: Array<u64>,
    items: Array<ItemId>,
}

/// Histories that do not fit the items.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// An item at or beyond the number of items.
    #[error("the history of user {user} holds item {item}, expected ids below {n_items}")]
    UnknownItem {
        /// Whose history.
        user: UserId,
        /// What it holds.
        item: ItemId,
        /// Items known.
        n_items: usize,
    },
}

impl Histories {
    /// Collects rows, each newest first.
    pub fn from_rows<R: AsRef<[ItemId]>>(rows: impl IntoIterator<Item = R>) -> Self {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for row in rows {
            items.extend_from_slice(row.as_ref());
            offsets.push(items.len() as u64);
        }
        Self { offsets: offsets.into(), items: items.into() }
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Items of a user, newest first.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn of(&self, user: UserId) -> &[ItemId] {
        self.row(user.index())
    }

    fn row(&self, user: usize) -> &[ItemId] {
        &self.items[self.offsets[user] as usize..self.offsets[user + 1] as usize]
    }

    /// Fails unless every item is below `n_items`.
    ///
    /// # Errors
    /// [`HistoryError::UnknownItem`].
    pub fn check(&self, n_items: usize) -> Result<(), HistoryError> {
        for user in 0..self.n_users() {
            if let Some(&item) = self.row(user).iter().find(|item| item.index() >= n_items) {
                return Err(HistoryError::UnknownItem { user: UserId(user as u32), item, n_items });
            }
        }
        Ok(())
    }

    /// `artifact` as if its histories had been written here: for files that name them otherwise.
    #[must_use]
    pub fn shown_in(artifact: &Artifact, offsets: &str, items: &str) -> Artifact {
        artifact.with_renamed(offsets, OFFSETS).with_renamed(items, ITEMS)
    }

    /// The first position of the offsets that does not rise from 0 to the number of items.
    fn broken_offset(&self) -> Option<usize> {
        let offsets = &self.offsets[..];
        match (offsets.first(), offsets.windows(2).position(|w| w[1] < w[0])) {
            (Some(0), None) if offsets.last() == Some(&(self.items.len() as u64)) => None,
            (Some(0), None) => Some(offsets.len() - 1),
            (Some(0), Some(at)) => Some(at + 1),
            _ => Some(0),
        }
    }
}

impl PartialEq for Histories {
    fn eq(&self, other: &Self) -> bool {
        self.offsets[..] == other.offsets[..] && self.items[..] == other.items[..]
    }
}

impl UserSide for Histories {
    type Query = [ItemId];

    fn n_users(&self) -> usize {
        self.n_users()
    }

    fn query(&self, user: UserId) -> Option<&[ItemId]> {
        (user.index() < self.n_users()).then(|| self.of(user))
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&self.offsets[..]) + size_of_val(&self.items[..])
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}{OFFSETS}"), &[self.offsets.len()], &self.offsets);
        writer.array(&format!("{prefix}{ITEMS}"), &[self.items.len()], &self.items);
    }

    fn read(artifact: &Artifact, prefix: &str, _: Option<usize>) -> Result<Self, ArtifactError> {
        let vector = |name: &str, shape: &[usize]| match shape {
            [_] => Ok(()),
            _ => Err(artifact.field_error(name, format!("array has shape {shape:?}, expected one dimension"))),
        };
        let (offsets_name, items_name) = (format!("{prefix}{OFFSETS}"), format!("{prefix}{ITEMS}"));
        let (offsets, shape) = artifact.array(&offsets_name)?;
        vector(&offsets_name, shape)?;
        let (items, shape) = artifact.array(&items_name)?;
        vector(&items_name, shape)?;
        let histories = Self { offsets, items };
        // Rows are cut by these, so they are checked before anybody can ask for one.
        match histories.broken_offset() {
            Some(at) => Err(artifact.field_error(&offsets_name, format!("do not rise at position {at}"))),
            None => Ok(histories),
        }
    }

    fn validate(&self, n_items: usize) -> Vec<Violation> {
        let found = self.check(n_items).err();
        found.map(|error| Violation { field: ITEMS.into(), problem: error.to_string() }).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_items_are_named() {
        let error = Histories::from_rows([vec![], vec![ItemId(4)]]).check(4).unwrap_err().to_string();
        assert_eq!(error, "the history of user 1 holds item 4, expected ids below 4");
    }

    #[test]
    fn offsets_rise_from_0_to_the_number_of_items() {
        let of = |offsets: &[u64], n: usize| {
            let items = vec![ItemId(0); n];
            Histories { offsets: offsets.to_vec().into(), items: items.into() }.broken_offset()
        };
        assert_eq!((of(&[0, 1, 1, 3], 3), of(&[0], 0)), (None, None));
        assert_eq!(
            (of(&[], 0), of(&[1, 3], 3), of(&[0, 2, 1, 3], 3), of(&[0, 2], 3)),
            (Some(0), Some(0), Some(2), Some(1))
        );
    }
}
