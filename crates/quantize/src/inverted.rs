//! Codes in lists, of which a query visits some.

use std::cmp::Reverse;
use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemFilter, QueryError, Retriever, TopK, Violation};
use serde::{Deserialize, Serialize};

use crate::descending::Descending;
use crate::index::CodesConfig;
use crate::kernels::Level;
use crate::layout::BLOCK;
use crate::search::{Asked, Search};
use crate::{CodeIndex, CodeShape, CodesError};

const KIND: &str = "inverted-code-index";
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    codes: CodesConfig,
    n_probes: usize,
}

/// A [`CodeIndex`] whose items stand in lists by their code in the first codebook, so that a query looks at some lists only.
///
/// For summed codewords the first codebook is the coarse one (the others hold residuals), so no other clustering is needed: a
/// query may visit the `n_probes` lists whose codewords have the largest inner products with it, and ends before that when no item of
/// the next list can enter.
///
/// Lists are divided into cells by the second code once there are as many items as cells (and a code has a byte). Then a list of which only a
/// few cells can hold one of the best is looked at in those cells alone.
///
/// What an item can reach is bounded by bytes: those of the codewords known, and the largest of every other codebook. The limit of the scan is a
/// sum of the same bytes, so nothing that could enter is left out.
///
/// - With as many probes as lists the answer is [`CodeIndex`]'s, bit for bit.
/// - With fewer it costs recall: what the first codebook says little about is missed. Measure it on your vectors
///   (the crate's example prints it).
/// - **Memory**: 4 bytes an item more than the codes, for its id, and 4 bytes a cell.
///
/// Product codes work too, but their first codebook knows only its own dimensions.
#[derive(Clone, Debug)]
pub struct InvertedIndex {
    /// Codes by position.
    codes: CodeIndex,
    /// The item at each position; ascending within a cell.
    ids: Array<u32>,
    /// Cell c holds positions `starts[c]..starts[c + 1]`. A list is a run of cells, one for each code of the second codebook, or one alone.
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
        let (n, shape, codes) = (Index::len(index), index.shape(), &index.codes);
        let per_list = cells_per_list(shape, n);
        let cell = |item: usize| match per_list {
            1 => usize::from(codes.code(item, 0)),
            _ => usize::from(codes.code(item, 0)) * per_list + usize::from(codes.code(item, 1)),
        };
        let mut starts = vec![0u32; shape.n_codewords * per_list + 1];
        for item in 0..n {
            starts[cell(item) + 1] += 1;
        }
        for c in 1..starts.len() {
            starts[c] += starts[c - 1];
        }
        let mut next = starts.clone();
        let mut ids = vec![0u32; n];
        for item in 0..n {
            let place = &mut next[cell(item)];
            ids[*place as usize] = item as u32;
            *place += 1;
        }
        let codes = CodeIndex { codes: codes.select(shape, &ids), codebooks: index.codebooks.clone() };
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

    /// Cells of a list.
    fn per_list(&self) -> usize {
        (self.starts.len() - 1) / self.n_lists()
    }

    fn search(&self, level: Level, table: Vec<f32>, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) {
        let tables = [table];
        let asked = Asked::new(&self.codes, &tables, std::slice::from_ref(filter));
        let mut search = Search::new(&self.codes, &asked, k, Some(&self.ids));
        if k > 0 {
            self.visit_lists(level, &mut search, &tables[0]);
        }
        search.finish(std::slice::from_mut(out));
    }

    fn visit_lists(&self, level: Level, search: &mut Search<'_>, table: &[f32]) {
        let per_list = self.per_list();
        let chosen = self.choose(&table[..self.n_lists()]);
        let mut rows = search.quick(0).rows(self.codes.shape());
        let bytes = rows.next().unwrap_or_default();
        let lists = Descending::new(bytes);
        let second = Descending::new(rows.next().unwrap_or_default());
        // The most that the codes after the second, and after the first, can add.
        let after_second: u16 = rows.map(|row| u16::from(row.iter().copied().max().unwrap_or(0))).sum();
        let after_first = u16::from(second.largest()) + after_second;
        let in_whole_blocks = self.ids.len() / BLOCK * BLOCK;
        for &w in lists.reaching(0) {
            let (list, byte, limit) = (usize::from(w), u16::from(bytes[usize::from(w)]), search.limit(0));
            if byte + after_first < limit {
                break;
            }
            let cells = &self.starts[list * per_list..=(list + 1) * per_list];
            let range = cells[0] as usize..cells[per_list] as usize;
            if range.is_empty() || !chosen[list] {
                continue;
            }
            let worth = second.reaching(limit.saturating_sub(byte + after_second));
            if per_list > 1 && range.end <= in_whole_blocks && worth.len() * few(level) <= per_list {
                search.scan_cells(worth, cells, w);
            } else {
                search.scan_list(level, range, w);
            }
        }
    }

    /// The lists that a query may visit: of those with items the `n_probes` whose codewords have the largest inner products, the first of
    /// equal ones.
    fn choose(&self, first: &[f32]) -> Vec<bool> {
        if self.n_probes >= self.n_lists() {
            return vec![true; self.n_lists()];
        }
        let per_list = self.per_list();
        let filled = |w: &usize| self.starts[w * per_list] < self.starts[(w + 1) * per_list];
        let mut lists: Vec<_> = (0..self.n_lists()).filter(filled).map(|w| (Reverse(ascending(first[w])), w)).collect();
        if self.n_probes < lists.len() {
            lists.select_nth_unstable(self.n_probes);
            lists.truncate(self.n_probes);
        }
        let mut chosen = vec![false; self.n_lists()];
        lists.iter().for_each(|&(_, w)| chosen[w] = true);
        chosen
    }
}

/// Cells of a list: one for each codeword of the second codebook where that makes no more cells than items, so that they take no more memory
/// than ids do. Codes of half a byte have no plane of their own, and their lists are one cell.
const fn cells_per_list(shape: &CodeShape, n_items: usize) -> usize {
    let w = shape.n_codewords;
    if shape.n_codebooks > 1 && !shape.is_four_bit() && n_items >= w * w { w } else { 1 }
}

/// A list is looked at cell by cell where at most one in so many of its cells is worth it.
///
/// The best 100 of 128,939 and of 1M learned codes with AVX2: 64 and 178 µs a query by whole lists; 52 and 164 µs with 4, 49 and 114 with 8, 49 and 111
/// with 16. AVX-512 looks up a list some ten times as quickly, which is why its number is so much larger; that one was counted, not measured.
fn few(level: Level) -> usize {
    if level >= Level::Avx512Vbmi { 64 } else { 8 }
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
        let shape = codes.shape();
        let n_cells = shape.n_codewords * cells_per_list(shape, Index::len(&codes));
        let starts = artifact.array_shaped("starts", &[n_cells + 1])?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CodeShape, Composition};
    use rectify_core::ItemId;
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
        // Lists of a few items, and of several runs of blocks; the last three have cells.
        for (n, b, w) in
            [(1500, 4, 256), (1500, 3, 16), (1500, 9, 64), (20_000, 2, 64), (20_000, 4, 32), (20_000, 9, 32)]
        {
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
    fn cells_that_cannot_enter_are_left_out_and_nothing_else() {
        // Codebooks that shrink leave most cells out.
        let (n, w) = (20_000, 64);
        let shape = CodeShape { embedding_dim: 8, n_codebooks: 4, n_codewords: w, composition: Composition::Sum };
        let mut rng = Seed(3).rng();
        let codebooks: Vec<f32> = (0..4)
            .flat_map(|b| (0..w * 8).map(move |_| 0.5f64.powi(b)).collect::<Vec<_>>())
            .map(|x| (x * rng.normal()) as f32)
            .collect();
        let codes: Vec<u8> = (0..n * 4).map(|_| rng.below(w as u32) as u8).collect();
        let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
        let lists = InvertedIndex::new(&index, w).unwrap();
        assert!(lists.per_list() == w && lists.validate().is_empty());
        let denied: Vec<ItemId> = (0..n as u32).step_by(3).map(ItemId).collect();
        let (mut expected, mut got) = (TopK::new(), TopK::new());
        for _ in 0..20 {
            let query: Vec<f32> = (0..8).map(|_| rng.normal() as f32).collect();
            for filter in [ItemFilter::all(), ItemFilter::seen(&denied).unwrap()] {
                for k in [1, 30, 700] {
                    index.top_k(&query, k, &filter, &mut expected).unwrap();
                    for level in Level::available() {
                        lists.search(level, lists.codes.table(&query).unwrap(), k, &filter, &mut got);
                        assert_eq!(got, expected, "{level:?}, the best {k}");
                    }
                }
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

        let cells = InvertedIndex::new(&index(2000, 3, 32), 2).unwrap();
        let mut starts = cells.starts.to_vec();
        let filled = (1..32).find(|c| starts[c - 1] < starts[*c]).unwrap();
        starts[filled] -= 1;
        let planted = InvertedIndex { starts: starts.into(), ..cells }.validate();
        assert!(planted[0].problem.contains("in codebook 1, but is in cell"), "{planted:?}");
    }
}
