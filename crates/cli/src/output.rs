//! Files that verbs write.

use std::path::Path;

use anyhow::Result;
use rectify_core::artifact::{ArtifactError, Overwrite};

/// Whether a file that exists may be replaced.
pub(crate) const fn overwrite(force: bool) -> Overwrite {
    if force { Overwrite::Replace } else { Overwrite::Refuse }
}

/// Says so before the work is done rather than after.
pub(crate) fn refuse_existing(out: &Path, force: bool) -> Result<()> {
    if out.exists() && !force {
        return Err(ArtifactError::Exists { path: out.to_owned() }.into());
    }
    Ok(())
}
