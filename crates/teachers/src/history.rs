//! What each user has: the part of the data that neighbourhood models still need when they answer.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{ItemId, QueryError, UserId, Violation};
use rectify_data::Interactions;

/// Items of every user, ascending and distinct; lives inside the artifact of the model that asks it.
#[derive(Clone, Debug)]
pub(crate) struct History {
    offsets: Array<u64>,
    items: Array<ItemId>,
}

impl History {
    pub(crate) fn of(train: &Interactions) -> Self {
        Self { offsets: train.user_offsets().to_vec().into(), items: train.all_items().to_vec().into() }
    }

    pub(crate) fn n_users(&self) -> usize {
        self.offsets.len() - 1
    }

    /// # Errors
    /// [`QueryError::UnknownUser`].
    pub(crate) fn items_of(&self, user: UserId) -> Result<&[ItemId], QueryError> {
        if user.index() >= self.n_users() {
            return Err(QueryError::UnknownUser { user, n_users: self.n_users() });
        }
        Ok(&self.items[self.offsets[user.index()] as usize..self.offsets[user.index() + 1] as usize])
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(&*self.offsets) + size_of_val(&*self.items)
    }

    pub(crate) fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        writer.array("history.offsets", &[self.offsets.len()], &self.offsets);
        writer.array("history.items", &[self.items.len()], &self.items);
    }

    pub(crate) fn read(artifact: &Artifact, n_items: usize) -> Result<Self, ArtifactError> {
        let (offsets, _) = artifact.array("history.offsets")?;
        let (items, _) = artifact.array("history.items")?;
        let history = Self { offsets, items };
        artifact.reject(history.validate(n_items))?;
        Ok(history)
    }

    pub(crate) fn validate(&self, n_items: usize) -> Vec<Violation> {
        let mut violations = offsets_violations("history.offsets", &self.offsets, self.items.len());
        if violations.is_empty() {
            let sound = |row: &[ItemId]| {
                row.windows(2).all(|w| w[0] < w[1]) && row.last().is_none_or(|last| last.index() < n_items)
            };
            let row = |user: usize| &self.items[self.offsets[user] as usize..self.offsets[user + 1] as usize];
            if let Some(user) = (0..self.n_users()).find(|user| !sound(row(*user))) {
                let problem = format!("items of user {user} do not strictly ascend below {n_items}");
                violations.push(Violation { field: "history.items".into(), problem });
            }
        }
        violations
    }
}

/// What is wrong with offsets into an array of `len`: they start at 0, never fall, and end at `len`.
pub(crate) fn offsets_violations(field: &str, offsets: &[u64], len: usize) -> Vec<Violation> {
    let sound = offsets.first() == Some(&0)
        && offsets.last() == Some(&(len as u64))
        && offsets.windows(2).all(|w| w[0] <= w[1])
        && u32::try_from(offsets.len()).is_ok();
    if sound {
        return Vec::new();
    }
    let problem = format!("do not rise from 0 to {len} in fewer than 2^32 steps");
    vec![Violation { field: field.into(), problem }]
}
