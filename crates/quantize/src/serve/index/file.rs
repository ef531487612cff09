//! The index as a file.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Format, Index, Violation};
use serde::{Deserialize, Serialize};

use super::CodeIndex;
use crate::serve::codebooks::Codebooks;
use crate::serve::layout::BlockedCodes;
use crate::{CodeShape, CodesError};

/// Sizes of codes in a file.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodesConfig {
    shape: CodeShape,
    n_items: usize,
}

impl CodeIndex {
    /// Sizes, for the configuration of a file that holds these codes.
    pub(crate) const fn config(&self) -> CodesConfig {
        CodesConfig { shape: self.codebooks.shape, n_items: self.codes.n_items }
    }

    /// Adds codes and codebooks to a file, without their sizes.
    pub(crate) fn write_arrays<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let shape = *self.shape();
        writer.array(&format!("{prefix}codes"), &[self.codes.bytes.len()], &self.codes.bytes[..]);
        let dims = [shape.n_codebooks, shape.codeword_dim(), shape.n_codewords];
        writer.array(&format!("{prefix}codebooks"), &dims, &self.codebooks.values[..]);
    }

    /// What [`write_arrays`](Self::write_arrays) added, not yet validated.
    pub(crate) fn read_arrays(artifact: &Artifact, prefix: &str, config: CodesConfig) -> Result<Self, ArtifactError> {
        let CodesConfig { shape, n_items } = config;
        shape.check().map_err(|error| artifact.field_error("shape", error.to_string()))?;
        if u32::try_from(n_items).is_err() {
            return Err(artifact.field_error("n_items", CodesError::TooMany { got: n_items }.to_string()));
        }
        let name = format!("{prefix}codes");
        let (codes, got): (Array<u8>, _) = artifact.array(&name)?;
        if n_items.checked_mul(shape.bytes_per_item()) != Some(codes.len()) {
            let expected = format!("{n_items} items of {} bytes", shape.bytes_per_item());
            return Err(artifact.field_error(&name, format!("array has shape {got:?}, expected {expected}")));
        }
        let dims = [shape.n_codebooks, shape.codeword_dim(), shape.n_codewords];
        let values = artifact.array_shaped(&format!("{prefix}codebooks"), &dims)?;
        Ok(Self {
            codebooks: Codebooks { shape, values },
            codes: BlockedCodes {
                n_items,
                planes: shape.bytes_per_item(),
                four_bit: shape.is_four_bit(),
                bytes: codes,
            },
        })
    }
}

impl Index for CodeIndex {
    fn format() -> Format {
        Format { kind: "code-index", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        self.codes.bytes.len() + size_of_val(&self.codebooks.values[..])
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, &self.config());
        self.write_arrays(writer, prefix);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        Self::read_arrays(artifact, prefix, artifact.config_of(prefix)?)
    }

    fn validate(&self) -> Vec<Violation> {
        let violation = |field: &str, problem| Violation { field: field.into(), problem };
        let shape = self.shape();
        let mut violations = Vec::new();
        if let Err(error) = shape.check() {
            return vec![violation("shape", error.to_string())];
        }
        let per_codebook = shape.n_codewords * shape.codeword_dim();
        if self.codebooks.values.len() != shape.n_codebooks * per_codebook {
            return vec![violation("codebooks", format!("has {} values", self.codebooks.values.len()))];
        }
        if let Some(at) = self.codebooks.values.iter().position(|value| !value.is_finite()) {
            let (codebook, codeword) = (at / per_codebook, at % shape.n_codewords);
            violations.push(violation("codebooks", CodesError::NotFinite { codebook, codeword }.to_string()));
        }
        if self.codes.bytes.len() != self.codes.n_items * shape.bytes_per_item() {
            violations.push(violation("codes", format!("has {} bytes", self.codes.bytes.len())));
            return violations;
        }
        // A full byte or nibble is always in range; an odd codebook count leaves nibbles that must be 0.
        let nibbles = shape.bytes_per_item() * if shape.is_four_bit() { 2 } else { 1 };
        if shape.n_codewords < if shape.is_four_bit() { 16 } else { 256 } || nibbles != shape.n_codebooks {
            let limit = |b| if b < shape.n_codebooks { shape.n_codewords } else { 1 };
            let bad = (0..self.codes.n_items)
                .flat_map(|item| (0..nibbles).map(move |b| (item, b)))
                .find(|&(item, b)| usize::from(self.codes.code(item, b)) >= limit(b));
            if let Some((item, codebook)) = bad {
                let got = self.codes.code(item, codebook);
                let error = CodesError::CodeRange { item, codebook, n_codewords: limit(codebook), got };
                violations.push(violation("codes", error.to_string()));
            }
        }
        violations
    }
}
