//! A forest with the histories of the users that ask it, in one file.

use std::path::Path;

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemId, Violation};
use serde::{Deserialize, Serialize};

use super::{Config, ForestIndex};
use crate::{ForUsers, Histories};

const KIND: &str = "forest-for-users";
const VERSION: u32 = 1;
const OFFSETS: &str = "histories/offsets";
const ITEMS: &str = "histories/items";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithUsers {
    forest: Config,
    n_users: usize,
    n_history_items: usize,
}

impl Index for ForUsers<ForestIndex> {
    fn size_bytes(&self) -> usize {
        self.inner().size_bytes() + size_of_val(self.histories().offsets()) + size_of_val(self.histories().items())
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let (forest, histories) = (self.inner(), self.histories());
        let (offsets, items) = (histories.offsets(), histories.items());
        let codes = forest.leaf_codes();
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        let (n_users, n_history_items) = (histories.n_users(), items.len());
        writer.config(&WithUsers { forest: forest.config(), n_users, n_history_items });
        writer.array(OFFSETS, &[offsets.len()], offsets);
        writer.array(ITEMS, &[items.len()], items);
        forest.write_into(&mut writer, &codes);
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let WithUsers { forest, n_users, n_history_items } = artifact.config()?;
        let n_offsets = n_users.saturating_add(1);
        let offsets = artifact.array_shaped::<u64>(OFFSETS, &[n_offsets])?.to_vec();
        let items = artifact.array_shaped::<ItemId>(ITEMS, &[n_history_items])?.to_vec();
        let histories = Histories::from_parts(offsets, items)
            .map_err(|position| artifact.field_error(OFFSETS, format!("do not rise at position {position}")))?;
        let users = Self::new(ForestIndex::read_from(&artifact, forest)?, histories);
        artifact.reject(users.validate())?;
        Ok(users)
    }

    fn validate(&self) -> Vec<Violation> {
        let mut found = self.inner().validate();
        if let Err(error) = self.histories().check(self.inner().len()) {
            found.push(Violation { field: ITEMS.into(), problem: error.to_string() });
        }
        found
    }
}
