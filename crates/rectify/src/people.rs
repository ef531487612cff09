//! Known people: their ids, and what they have.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{IdMap, ItemId, UserId, Violation};

use crate::RecommendError;

/// Users by their own ids, with the items that they have, which lists leave out.
#[derive(Clone, Debug)]
pub struct People {
    pub(crate) ids: IdMap,
    offsets: Array<u64>,
    /// Ascending a user.
    seen: Array<ItemId>,
}

impl People {
    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self { ids: IdMap::numbered(0), offsets: vec![0].into(), seen: Vec::new().into() }
    }

    /// Users of these ids with the items that each has, in any order.
    ///
    /// # Errors
    /// [`RecommendError::Count`] unless there are as many lists as ids.
    pub fn new<R: AsRef<[ItemId]>>(ids: IdMap, seen: impl IntoIterator<Item = R>) -> Result<Self, RecommendError> {
        let (mut offsets, mut items) = (vec![0], Vec::new());
        for row in seen {
            let mut row = row.as_ref().to_vec();
            row.sort_unstable();
            row.dedup();
            items.extend(row);
            offsets.push(items.len() as u64);
        }
        let (expected, got) = (ids.len(), offsets.len() - 1);
        if got != expected {
            return Err(RecommendError::Count { what: "lists of seen items", expected, got });
        }
        Ok(Self { ids, offsets: offsets.into(), seen: items.into() })
    }

    /// Number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids.
    #[must_use]
    pub const fn ids(&self) -> &IdMap {
        &self.ids
    }

    /// The dense id of a user.
    pub(crate) fn user(&self, id: &str) -> Result<UserId, RecommendError> {
        match self.ids.find(id) {
            Some(user) => Ok(UserId(user)),
            None if self.is_empty() => Err(RecommendError::NoUsers),
            None => Err(RecommendError::UnknownUser(id.to_owned())),
        }
    }

    /// What a user has, ascending.
    pub(crate) fn seen(&self, user: UserId) -> &[ItemId] {
        &self.seen[self.offsets[user.index()] as usize..self.offsets[user.index() + 1] as usize]
    }

    pub(crate) fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        self.ids.write(writer, "users/ids/");
        if !self.is_empty() {
            writer.array("users/seen/offsets", &[self.offsets.len()], &self.offsets);
            writer.array("users/seen/items", &[self.seen.len()], &self.seen);
        }
    }

    pub(crate) fn read(artifact: &Artifact, n_users: usize, n_items: usize) -> Result<Self, ArtifactError> {
        if n_users == 0 {
            return Ok(Self::nobody());
        }
        let ids = IdMap::read(artifact, "users/ids/", n_users)?;
        artifact.reject(ids.violations("users/ids"))?;
        let offsets: Array<u64> = artifact.array_shaped("users/seen/offsets", &[n_users + 1])?;
        let seen = artifact.array::<ItemId>("users/seen/items")?.0;
        let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|w| w[0] <= w[1]);
        let problem = if !rising || offsets.last() != Some(&(seen.len() as u64)) {
            ("users/seen/offsets", "do not rise from 0 to the number of seen items")
        } else if seen.iter().any(|item| item.index() >= n_items) {
            ("users/seen/items", "hold an item that the catalogue does not have")
        } else if offsets.windows(2).any(|w| seen[w[0] as usize..w[1] as usize].windows(2).any(|w| w[0] >= w[1])) {
            ("users/seen/items", "do not ascend within a user")
        } else {
            return Ok(Self { ids, offsets, seen });
        };
        artifact.reject(vec![Violation { field: problem.0.to_owned(), problem: problem.1.to_owned() }])?;
        Ok(Self { ids, offsets, seen })
    }
}
