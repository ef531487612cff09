//! The index as a file.

use std::path::Path;

use super::{ExactConfig, ExactIndex};
use crate::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use crate::{Index, ItemId, Retriever, Violation};

const KIND: &str = "exact-index";
const VERSION: u32 = 1;

impl Index for ExactIndex {
    fn size_bytes(&self) -> usize {
        size_of_val(self.rows())
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.config);
        writer.array("rows", &[Retriever::n_items(self), self.dim], self.rows());
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let config: ExactConfig = artifact.config()?;
        let (rows, shape) = artifact.array::<f32>("rows")?;
        let &[n, dim] = shape else {
            return Err(artifact.field_error("rows", format!("array has shape {shape:?}, expected [n, dim]")));
        };
        if dim == 0 || u32::try_from(n).is_err() {
            let problem = format!("array has shape {shape:?}, expected at most 2^32 - 1 rows and dim at least 1");
            return Err(artifact.field_error("rows", problem));
        }
        let index = Self { dim, rows, config };
        artifact.reject(index.validate())?;
        Ok(index)
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        if let Some(at) = self.rows.iter().position(|x| !x.is_finite()) {
            violations.push(Violation {
                field: "rows".into(),
                problem: format!(
                    "item {} is not finite at position {}: {}",
                    ItemId((at / self.dim) as u32),
                    at % self.dim,
                    self.rows[at]
                ),
            });
        }
        violations
    }
}
