//! Codes in lists, of which a query visits some.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemFilter, QueryError, Retriever, TopK, Violation};
use serde::{Deserialize, Serialize};

use crate::index::CodesConfig;
use crate::kernels::Level;
use crate::quick::range;
use crate::search::{Asked, Search};
use crate::{CodeIndex, CodesError};

const KIND: &str = "inverted-code-index";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    codes: CodesConfig,
    n_probes: usize,
}

/// A [`CodeIndex`] whose items stand in lists by their code in the first codebook, so that a query looks at some lists only.
///
/// For summed codewords the first codebook is the coarse one (the others hold residuals), so no other clustering is needed: a
/// query visits the lists in the order of its inner products with their codewords, `n_probes` of them at most, and ends
/// before that when no item of the next list can enter: `T[0][w]` plus the largest entry of each other table bounds every score of list w,
/// also in f32, because rounded addition is monotone.
///
/// - With as many probes as lists the answer is [`CodeIndex`]'s, bit for bit.
/// - With fewer it costs recall: what the first codebook says little about is missed. Measure it on your vectors
///   (the crate's example prints it).
/// - **Memory**: 4 bytes an item more than the codes, for its id.
///
/// Product codes work too, but their first codebook knows only its own dimensions.
#[derive(Clone, Debug)]
pub struct InvertedIndex {
    /// Codes by position.
    codes: CodeIndex,
    /// The item at each position; ascending within a list.
    ids: Array<u32>,
    /// List w holds positions `starts[w]..starts[w + 1]`.
    starts: Array<u32>,
    n_probes: usize,
}

impl InvertedIndex {
    /// Puts the items of an index into lists.
    ///
    /// # Errors
    /// [`CodesError::Zero`] for no probes.
    pub fn new(index: &CodeIndex, n_probes: usize) -> Result<Self, CodesError> {
        check_probes(n_probes)?;
        let (n, shape) = (Index::len(index), index.shape());
        let mut starts = vec![0u32; shape.n_codewords + 1];
        for item in 0..n {
            starts[usize::from(index.codes.code(item, 0)) + 1] += 1;
        }
        for w in 0..shape.n_codewords {
            starts[w + 1] += starts[w];
        }
        let mut next = starts.clone();
        let mut ids = vec![0u32; n];
        for item in 0..n {
            let place = &mut next[usize::from(index.codes.code(item, 0))];
            ids[*place as usize] = item as u32;
            *place += 1;
        }
        let codes = CodeIndex { codes: index.codes.select(shape, &ids), codebooks: index.codebooks.clone() };
        Ok(Self { codes, ids: ids.into(), starts: starts.into(), n_probes })
    }

    /// The same lists, of which a query visits `n_probes` at most.
    ///
    /// # Errors
    /// [`CodesError::Zero`] for no probes.
    pub fn with_probes(self, n_probes: usize) -> Result<Self, CodesError> {
        check_probes(n_probes)?;
        Ok(Self { n_probes, ..self })
    }

    /// Lists that a query visits at most; empty ones are not counted.
    #[must_use]
    pub const fn n_probes(&self) -> usize {
        self.n_probes
    }

    /// Lists there are, empty ones included.
    #[must_use]
    pub const fn n_lists(&self) -> usize {
        self.codes.shape().n_codewords
    }

    fn search(&self, level: Level, table: Vec<f32>, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) {
        let tables = [table];
        let asked = Asked::new(&self.codes, &tables, std::slice::from_ref(filter));
        let mut search = Search::new(&self.codes, &asked, k, Some(&self.ids));
        let mut rows = tables[0].chunks_exact(self.n_lists());
        let first = rows.next().unwrap_or_default();
        // The order of additions is that of a score.
        let largest: Vec<f32> = rows.map(|row| range(row).1).collect();
        let bound = |w: usize| largest.iter().fold(0.0 + first[w], |sum, largest| sum + largest);
        // A heap, since most lists are never asked for. Of equal ones the first comes first.
        let filled = (0..self.n_lists()).filter(|w| self.starts[*w] < self.starts[w + 1]);
        let mut lists: BinaryHeap<_> = filled.map(|w| (ascending(first[w]), Reverse(w))).collect();
        for _ in 0..self.n_probes {
            let Some((_, Reverse(w))) = lists.pop() else { break };
            if k == 0 || bound(w) < search.threshold(0) {
                break;
            }
            search.scan_list(level, self.starts[w] as usize..self.starts[w + 1] as usize, w as u8);
        }
        search.finish(std::slice::from_mut(out));
    }
}

/// Integers in the order of [`f32::total_cmp`].
const fn ascending(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

const fn check_probes(n_probes: usize) -> Result<(), CodesError> {
    if n_probes == 0 { Err(CodesError::Zero { what: "n_probes" }) } else { Ok(()) }
}

impl Retriever for InvertedIndex {
    type Query = [f32];

    fn n_items(&self) -> usize {
        Retriever::n_items(&self.codes)
    }

    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        let table = self.codes.table(query)?;
        self.search(Level::best(), table, k, filter, out);
        Ok(())
    }
}

impl Index for InvertedIndex {
    fn size_bytes(&self) -> usize {
        self.codes.size_bytes() + size_of_val(&self.ids[..]) + size_of_val(&self.starts[..])
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Config { codes: self.codes.config(), n_probes: self.n_probes });
        self.codes.save_into(&mut writer);
        writer.array("ids", &[self.ids.len()], &self.ids[..]);
        writer.array("starts", &[self.starts.len()], &self.starts[..]);
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let Config { codes: config, n_probes } = artifact.config()?;
        check_probes(n_probes).map_err(|error| artifact.field_error("n_probes", error.to_string()))?;
        let codes = CodeIndex::load(&artifact, config)?;
        let ids = artifact.array_shaped("ids", &[Index::len(&codes)])?;
        let starts = artifact.array_shaped("starts", &[codes.shape().n_codewords + 1])?;
        let index = Self { codes, ids, starts, n_probes };
        artifact.reject(index.validate())?;
        Ok(index)
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.codes.validate();
        let mut broken = |field: &str, problem: String| violations.push(Violation { field: field.into(), problem });
        let n = self.ids.len();
        let ends = (self.starts.first(), self.starts.last());
        let ascend = self.starts.windows(2).all(|w| w[0] <= w[1]);
        if ends != (Some(&0), Some(&(n as u32))) || !ascend || self.starts.len() != self.n_lists() + 1 {
            broken("starts", format!("must ascend from 0 to {n}, the number of items"));
            return violations;
        }
        let mut seen = vec![false; n];
        for (w, list) in self.starts.windows(2).enumerate() {
            for position in list[0] as usize..list[1] as usize {
                let item = self.ids[position] as usize;
                if item >= n || std::mem::replace(&mut seen[item], true) {
                    broken("ids", format!("position {position} holds item {item}, which is unknown or comes twice"));
                    return violations;
                }
                if position > list[0] as usize && self.ids[position - 1] as usize >= item {
                    broken("ids", format!("list {w} does not ascend at position {position}"));
                    return violations;
                }
                let code = self.codes.codes.code(position, 0);
                if usize::from(code) != w {
                    broken("codes", format!("item {item} has code {code} in the first codebook, but is in list {w}"));
                    return violations;
                }
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CodeShape, Composition};
    use rectify_core::rng::Seed;

    fn index(n: usize, b: usize, w: usize) -> CodeIndex {
        let shape = CodeShape { embedding_dim: 2 * b, n_codebooks: b, n_codewords: w, composition: Composition::Sum };
        let mut rng = Seed((n + b + w) as u64).rng();
        let codebooks: Vec<f32> = (0..b * w * 2 * b).map(|_| rng.normal() as f32).collect();
        let codes: Vec<u8> = (0..n * b).map(|_| rng.below(w as u32) as u8).collect();
        CodeIndex::from_codes(shape, &codebooks, &codes).unwrap()
    }

    #[test]
    fn every_instruction_set_visits_the_same_items() {
        // Lists of a few items, and of several runs of blocks.
        for (n, b, w) in [(1500, 4, 256), (1500, 3, 16), (1500, 9, 64), (20_000, 4, 32), (20_000, 9, 32)] {
            let lists = InvertedIndex::new(&index(n, b, w), 5).unwrap();
            let query: Vec<f32> = (0..2 * b).map(|i| (i as f32).sin()).collect();
            let answer = |level| {
                let mut out = TopK::new();
                lists.search(level, lists.codes.table(&query).unwrap(), 20, &ItemFilter::all(), &mut out);
                out
            };
            let expected = answer(Level::Scalar);
            for level in Level::available() {
                assert_eq!(answer(level), expected, "{level:?} with {b} codebooks of {w}");
            }
        }
    }

    #[test]
    fn validate_finds_planted_violations() {
        let sound = InvertedIndex::new(&index(100, 3, 8), 2).unwrap();
        assert!(sound.validate().is_empty());
        let with_ids = |change: fn(&mut Vec<u32>)| {
            let mut ids = sound.ids.to_vec();
            change(&mut ids);
            InvertedIndex { ids: ids.into(), ..sound.clone() }.validate()[0].problem.clone()
        };
        assert!(with_ids(|ids| ids[3] = 1000).contains("position 3 holds item 1000"));
        assert!(with_ids(|ids| ids[3] = ids[4]).contains("comes twice"));
        assert!(with_ids(|ids| ids.swap(0, 1)).contains("list 0 does not ascend at position 1"));
        let mut starts = sound.starts.to_vec();
        starts[1] += 1;
        let planted = InvertedIndex { starts: starts.clone().into(), ..sound.clone() }.validate();
        assert!(planted[0].problem.contains("is in list 0") || planted[0].problem.contains("does not ascend"));
        starts[2] = 0;
        let planted = InvertedIndex { starts: starts.into(), ..sound.clone() }.validate();
        assert!(planted[0].problem.contains("must ascend from 0 to 100"));
    }
}
