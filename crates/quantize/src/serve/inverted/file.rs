//! Lists as a file.

use std::sync::OnceLock;

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Catalogue, Format, Index, Violation};
use serde::{Deserialize, Serialize};

use super::{InvertedIndex, cells_per_list, check_probes};
use crate::CodeIndex;
use crate::serve::index::CodesConfig;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    codes: CodesConfig,
    n_probes: usize,
}

impl Index for InvertedIndex {
    fn format() -> Format {
        Format { kind: "inverted-code-index", version: 2 }
    }

    fn size_bytes(&self) -> usize {
        self.codes.size_bytes() + size_of_val(&self.ids[..]) + size_of_val(&self.starts[..])
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, &Config { codes: self.codes.config(), n_probes: self.n_probes });
        self.codes.write_arrays(writer, prefix);
        writer.array(&format!("{prefix}ids"), &[self.ids.len()], &self.ids[..]);
        writer.array(&format!("{prefix}starts"), &[self.starts.len()], &self.starts[..]);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Config { codes: config, n_probes } = artifact.config_of(prefix)?;
        check_probes(n_probes).map_err(|error| artifact.field_error("n_probes", error.to_string()))?;
        let codes = CodeIndex::read_arrays(artifact, prefix, config)?;
        let n = codes.n_items();
        let ids = artifact.array_shaped(&format!("{prefix}ids"), &[n])?;
        let n_cells = codes.shape().n_codewords * cells_per_list(codes.shape(), n);
        let starts = artifact.array_shaped(&format!("{prefix}starts"), &[n_cells + 1])?;
        Ok(Self { codes, ids, starts, n_probes, positions: OnceLock::new() })
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.codes.validate();
        let mut broken = |field: &str, problem: String| violations.push(Violation { field: field.into(), problem });
        let n = self.ids.len();
        let ends = (self.starts.first(), self.starts.last());
        let ascend = self.starts.windows(2).all(|w| w[0] <= w[1]);
        let per_list = cells_per_list(self.codes.shape(), n);
        if ends != (Some(&0), Some(&(n as u32))) || !ascend || self.starts.len() != self.n_lists() * per_list + 1 {
            broken("starts", format!("must ascend from 0 to {n}, the number of items"));
            return violations;
        }
        let mut seen = vec![false; n];
        for (c, cell) in self.starts.windows(2).enumerate() {
            for position in cell[0] as usize..cell[1] as usize {
                let item = self.ids[position] as usize;
                if item >= n || std::mem::replace(&mut seen[item], true) {
                    broken("ids", format!("position {position} holds item {item}, which is unknown or comes twice"));
                    return violations;
                }
                if position > cell[0] as usize && self.ids[position - 1] as usize >= item {
                    broken("ids", format!("list {} does not ascend at position {position}", c / per_list));
                    return violations;
                }
                let expected = [Some(c / per_list), (per_list > 1).then_some(c % per_list)];
                for (codebook, w) in expected.into_iter().enumerate().filter_map(|(b, w)| Some((b, w?))) {
                    let code = self.codes.codes.code(position, codebook);
                    if usize::from(code) != w {
                        let which = ["list", "cell"][codebook];
                        broken(
                            "codes",
                            format!("item {item} has code {code} in codebook {codebook}, but is in {which} {w}"),
                        );
                        return violations;
                    }
                }
            }
        }
        violations
    }
}
