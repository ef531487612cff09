//! The index as a file.

use std::path::Path;

use super::first_pass::{FirstPass, block_lines};
use super::lines::{Lines, WORDS};
use super::{ExactConfig, ExactIndex};
use crate::artifact::{Artifact, ArtifactError, ArtifactWriter, Overwrite};
use crate::simd::LANES;
use crate::{Index, ItemId, Retriever, Violation};

const KIND: &str = "exact-index";
const VERSION: u32 = 1;

impl Index for ExactIndex {
    fn size_bytes(&self) -> usize {
        size_of_val(self.rows()) + self.first_pass.as_ref().map_or(0, FirstPass::size_bytes)
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.config);
        let n = Retriever::n_items(self);
        writer.array("rows", &[n, self.dim], self.rows());
        if let Some(pass) = &self.first_pass {
            let shape = [n.div_ceil(LANES), block_lines(self.dim), WORDS];
            writer.array("first_pass", &shape, bytemuck::cast_slice::<_, u64>(&pass.lines));
        }
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
        let first_pass = if config.first_pass && FirstPass::longest(&rows, dim).is_some() {
            let shape = [n.div_ceil(LANES), block_lines(dim), WORDS];
            Some(FirstPass { lines: Lines::from_file(artifact.array_shaped("first_pass", &shape)?) })
        } else {
            None
        };
        let index = Self { dim, rows, first_pass, config };
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
        } else if let Some(pass) = &self.first_pass {
            match FirstPass::longest(&self.rows, self.dim) {
                Some(longest) => violations.extend(pass.validate(&self.rows, self.dim, longest)),
                None => violations.push(Violation {
                    field: "first_pass".into(),
                    problem: "rows of these lengths can have none".into(),
                }),
            }
        }
        violations
    }
}
