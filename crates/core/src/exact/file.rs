//! The index as a file.

use super::first_pass::{FirstPass, block_lines};
use super::lines::{Lines, WORDS};
use super::{ExactConfig, ExactIndex};
use crate::artifact::{Artifact, ArtifactError, ArtifactWriter};
use crate::simd::LANES;
use crate::{Catalogue, Format, Index, ItemId, Violation};

const VERSION: u32 = 1;

impl Index for ExactIndex {
    fn format() -> Format {
        Format { kind: "exact-index", version: VERSION }
    }

    fn size_bytes(&self) -> usize {
        size_of_val(self.rows()) + self.first_pass.as_ref().map_or(0, FirstPass::size_bytes)
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, &self.config);
        let n = self.n_items();
        writer.array(&format!("{prefix}rows"), &[n, self.dim], self.rows());
        if let Some(pass) = &self.first_pass {
            let shape = [n.div_ceil(LANES), block_lines(self.dim), WORDS];
            writer.array(&format!("{prefix}first_pass"), &shape, bytemuck::cast_slice::<_, u64>(&pass.lines));
        }
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let config: ExactConfig = artifact.config_of(prefix)?;
        let name = format!("{prefix}rows");
        let (rows, shape) = artifact.array::<f32>(&name)?;
        let &[n, dim] = shape else {
            return Err(artifact.field_error(&name, format!("array has shape {shape:?}, expected [n, dim]")));
        };
        if dim == 0 || u32::try_from(n).is_err() {
            let problem = format!("array has shape {shape:?}, expected at most 2^32 - 1 rows and dim at least 1");
            return Err(artifact.field_error(&name, problem));
        }
        let first_pass = if config.first_pass && FirstPass::longest(&rows, dim).is_some() {
            let shape = [n.div_ceil(LANES), block_lines(dim), WORDS];
            Some(FirstPass { lines: Lines::from_file(artifact.array_shaped(&format!("{prefix}first_pass"), &shape)?) })
        } else {
            None
        };
        Ok(Self { dim, rows, first_pass, config })
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
