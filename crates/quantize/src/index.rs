//! Exhaustive search over codes by table look-up.

use std::path::Path;

use rayon::prelude::*;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, Violation, check_batch, check_len};
use serde::{Deserialize, Serialize};

use crate::CodesError;
use crate::codebooks::{CodeShape, Codebooks};
use crate::kernels::Level;
use crate::layout::BlockedCodes;
use crate::quick::range;
use crate::search::{Asked, Search};

const KIND: &str = "code-index";
const VERSION: u32 = 1;
/// Queries that share a pass over the codes.
const QUERY_TILE: usize = 8;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodesConfig {
    shape: CodeShape,
    n_items: usize,
}

/// Items as codes: each item's vector is composed of one codeword of every codebook (LightRec, residual, additive or product
/// quantisation).
///
/// # The score
/// `T[b][w]` is the inner product of the query with codeword `w` of codebook `b`, an f32 chain `sⱼ = fma(qⱼ, cⱼ, sⱼ₋₁)` over ascending
/// dimensions; the score of an item is `T[0][code₀] + T[1][code₁] + …` in f32, added in that order. Every instruction set, batch size and
/// number of threads gives these bits.
///
/// # The search
/// A first pass sums the table rounded down to bytes, 64 items at a time with the tables in registers; what it rounds away is
/// bounded, so items that cannot reach the list are skipped safely, and the few others are scored with the f32 table. The ids equal those of
/// a plain f32 look-up.
///
/// # Memory
/// `n_items · n_codebooks · log₂(n_codewords) / 8 + 4 · embedding_dim · n_codebooks · n_codewords` bytes for summed codewords with 256 or 16
/// codewords (LightRec, section 3.4); the codes of other sizes take the next wider of 4 and 8 bits.
///
/// ```
/// use rectify_core::{ItemFilter, Retriever, TopK};
/// use rectify_quantize::{CodeIndex, CodeShape, Composition};
///
/// // LightRec oracle: C¹ = [(1,0),(0,1)], C² = [(.5,.5),(-.5,.5)]; p = (2,-1) scores the item with codes (0, 0) as 2 + .5.
/// let shape = CodeShape { embedding_dim: 2, n_codebooks: 2, n_codewords: 2, composition: Composition::Sum };
/// let codebooks = [1., 0., 0., 1., 0.5, 0.5, -0.5, 0.5];
/// let index = CodeIndex::from_codes(shape, &codebooks, &[1, 1, 0, 0])?;
/// let mut top = TopK::new();
/// index.top_k(&[2., -1.], 1, &ItemFilter::all(), &mut top)?;
/// assert_eq!((top.hits()[0].item.0, top.hits()[0].score), (1, 2.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CodeIndex {
    pub(crate) codebooks: Codebooks,
    pub(crate) codes: BlockedCodes,
}

impl CodeIndex {
    /// Serves codes `[n_items, n_codebooks]` (a byte each) of codebooks `[n_codebooks, n_codewords, codeword_dim]`, made anywhere.
    ///
    /// For OPQ, rotate the query as the items were rotated.
    ///
    /// # Errors
    /// [`CodesError`]: a size of 0, codewords that are no power of two up to 256, lengths that do not fit the shape, a code out
    /// of range, a codeword that is not finite.
    pub fn from_codes(shape: CodeShape, codebooks: &[f32], codes: &[u8]) -> Result<Self, CodesError> {
        let codebooks = Codebooks::new(shape, codebooks)?;
        Ok(Self { codes: BlockedCodes::new(&shape, codes)?, codebooks })
    }

    /// Sizes of codes and codebooks.
    #[must_use]
    pub const fn shape(&self) -> &CodeShape {
        &self.codebooks.shape
    }

    /// The codes of an item, one of each codebook.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`].
    pub fn codes_of(&self, item: ItemId) -> Result<Vec<u8>, QueryError> {
        self.check_item(item)?;
        Ok((0..self.shape().n_codebooks).map(|b| self.codes.code(item.index(), b)).collect())
    }

    /// Writes the vector that an item's codes stand for.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`], or `out.len() != embedding_dim`.
    pub fn decode_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", self.shape().embedding_dim, out.len())?;
        let codes = self.codes_of(item)?;
        out.fill(0.0);
        self.codebooks.decode(codes.into_iter(), out);
        Ok(())
    }

    /// Sizes, for the metadata of a file that holds this index.
    pub(crate) const fn config(&self) -> CodesConfig {
        CodesConfig { shape: self.codebooks.shape, n_items: self.codes.n_items }
    }

    /// Adds codes and codebooks to a file.
    pub(crate) fn save_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        let shape = *self.shape();
        writer.array("codes", &[self.codes.bytes.len()], &self.codes.bytes[..]);
        let dims = [shape.n_codebooks, shape.codeword_dim(), shape.n_codewords];
        writer.array("codebooks", &dims, &self.codebooks.values[..]);
    }

    /// What [`save_into`](Self::save_into) wrote, not yet validated.
    pub(crate) fn load(artifact: &Artifact, config: CodesConfig) -> Result<Self, ArtifactError> {
        let CodesConfig { shape, n_items } = config;
        shape.check().map_err(|error| artifact.field_error("shape", error.to_string()))?;
        if u32::try_from(n_items).is_err() {
            return Err(artifact.field_error("n_items", CodesError::TooMany { got: n_items }.to_string()));
        }
        let (codes, got): (Array<u8>, _) = artifact.array("codes")?;
        if n_items.checked_mul(shape.bytes_per_item()) != Some(codes.len()) {
            let expected = format!("{n_items} items of {} bytes", shape.bytes_per_item());
            return Err(artifact.field_error("codes", format!("array has shape {got:?}, expected {expected}")));
        }
        let dims = [shape.n_codebooks, shape.codeword_dim(), shape.n_codewords];
        Ok(Self {
            codebooks: Codebooks { shape, values: artifact.array_shaped("codebooks", &dims)? },
            codes: BlockedCodes {
                n_items,
                planes: shape.bytes_per_item(),
                four_bit: shape.is_four_bit(),
                bytes: codes,
            },
        })
    }

    fn check_item(&self, item: ItemId) -> Result<(), QueryError> {
        let n_items = self.codes.n_items;
        if item.index() < n_items { Ok(()) } else { Err(QueryError::UnknownItem { item, n_items }) }
    }

    /// The f32 table of a query.
    pub(crate) fn table(&self, query: &[f32]) -> Result<Vec<f32>, QueryError> {
        check_len("query", self.shape().embedding_dim, query.len())?;
        if let Some(position) = query.iter().position(|value| !value.is_finite()) {
            return Err(QueryError::NotFinite { position, value: query[position] });
        }
        let mut table = Vec::new();
        self.codebooks.table(query, &mut table);
        // A table that overflowed, or whose sums could, has no usable order.
        let largest = |row: &[f32]| {
            let (low, high) = range(row);
            f64::from(low).abs().max(f64::from(high).abs())
        };
        let rows = table.chunks_exact(self.shape().n_codewords);
        let magnitude: f64 = rows.map(largest).sum();
        if magnitude.is_nan() || magnitude > f64::from(f32::MAX) {
            return Err(QueryError::Unsupported(
                "scores of this query overflow 32-bit floats; scale the query down".into(),
            ));
        }
        Ok(table)
    }

    #[inline(always)]
    pub(crate) fn score(&self, table: &[f32], item: usize) -> f32 {
        let w = self.shape().n_codewords;
        let mut rows = table.chunks_exact(w);
        let mut sum = 0.0;
        for byte in self.codes.planes_of(item) {
            let mut add = |code: u8| {
                if let Some(row) = rows.next() {
                    sum += row[usize::from(code)];
                }
            };
            if self.codes.four_bit {
                add(byte & 15);
                add(byte >> 4);
            } else {
                add(byte);
            }
        }
        sum
    }

    /// Answers up to [`QUERY_TILE`] queries in one pass over the codes.
    fn search(&self, level: Level, tables: &[Vec<f32>], k: usize, filters: &[ItemFilter<'_>], out: &mut [TopK]) {
        let asked = Asked::new(self, tables, filters);
        let mut search = Search::new(self, &asked, k, None);
        if k > 0 {
            search.scan_all(level, k);
        }
        search.finish(out);
    }
}

impl Retriever for CodeIndex {
    type Query = [f32];

    fn n_items(&self) -> usize {
        self.codes.n_items
    }

    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        let table = self.table(query)?;
        self.search(
            Level::best(),
            std::slice::from_ref(&table),
            k,
            std::slice::from_ref(filter),
            std::slice::from_mut(out),
        );
        Ok(())
    }

    fn top_k_batch(
        &self,
        queries: &[&[f32]],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out.len())?;
        let tiles: Vec<Result<(), QueryError>> = queries
            .par_chunks(QUERY_TILE)
            .zip(out.par_chunks_mut(QUERY_TILE))
            .enumerate()
            .map(|(t, (queries, out))| {
                let filters = if filters.len() == 1 { filters } else { &filters[t * QUERY_TILE..][..queries.len()] };
                let tables = queries.iter().map(|query| self.table(query)).collect::<Result<Vec<_>, _>>()?;
                self.search(Level::best(), &tables, k, filters, out);
                Ok(())
            })
            .collect();
        tiles.into_iter().collect()
    }
}

impl Scorer for CodeIndex {
    type Query = [f32];

    fn n_items(&self) -> usize {
        self.codes.n_items
    }

    fn score_into(&self, query: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", items.len(), out.len())?;
        let table = self.table(query)?;
        for (&item, out) in items.iter().zip(out) {
            self.check_item(item)?;
            *out = self.score(&table, item.index());
        }
        Ok(())
    }

    fn score_all_into(&self, query: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", self.codes.n_items, out.len())?;
        let table = self.table(query)?;
        for (item, out) in out.iter_mut().enumerate() {
            *out = self.score(&table, item);
        }
        Ok(())
    }
}

impl Index for CodeIndex {
    fn size_bytes(&self) -> usize {
        self.codes.bytes.len() + size_of_val(&self.codebooks.values[..])
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.config());
        self.save_into(&mut writer);
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let index = Self::load(&artifact, artifact.config()?)?;
        artifact.reject(index.validate())?;
        Ok(index)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Composition;
    use crate::quick::QuickTable;
    use crate::ranks::guess;
    use rectify_core::Hit;
    use rectify_core::rng::Seed;

    fn index(n: usize, b: usize, w: usize, composition: Composition) -> CodeIndex {
        let shape = CodeShape { embedding_dim: 2 * b, n_codebooks: b, n_codewords: w, composition };
        let mut rng = Seed((n + b + w) as u64).rng();
        let codebooks: Vec<f32> = (0..b * w * shape.codeword_dim()).map(|_| rng.normal() as f32).collect();
        let codes: Vec<u8> = (0..n * b).map(|_| rng.below(w as u32) as u8).collect();
        CodeIndex::from_codes(shape, &codebooks, &codes).unwrap()
    }

    #[test]
    fn every_instruction_set_gives_the_portable_answer() {
        for (b, w) in
            [(1, 256), (3, 256), (4, 256), (8, 256), (9, 256), (16, 256), (4, 64), (1, 16), (8, 16), (9, 16), (32, 8)]
        {
            let index = index(1500, b, w, Composition::Sum);
            let mut rng = Seed(5).rng();
            let queries: Vec<Vec<f32>> = (0..3).map(|_| (0..2 * b).map(|_| rng.normal() as f32).collect()).collect();
            let tables: Vec<Vec<f32>> = queries.iter().map(|query| index.table(query).unwrap()).collect();
            let answer = |level| {
                let mut out = vec![TopK::new(); 3];
                index.search(level, &tables, 20, &[ItemFilter::all()], &mut out);
                out
            };
            let expected = answer(Level::Scalar);
            for level in Level::available() {
                assert_eq!(answer(level), expected, "{level:?} with {b} codebooks of {w}");
            }
        }
    }

    #[test]
    fn a_guess_changes_no_list_even_when_it_is_wrong() {
        let (n, k) = (33 * 512, 600);
        let shape = CodeShape { embedding_dim: 4, n_codebooks: 4, n_codewords: 256, composition: Composition::Sum };
        let mut rng = Seed(8).rng();
        let codebooks: Vec<f32> =
            (0..4 * 256 * 4).map(|i| (i % 1024) as f32 / 1024.0 + 0.1 * rng.normal() as f32).collect();
        // Higher codes score higher. Of 33 runs of 512 items the first and the seventeenth are the sample.
        let spread: Vec<u8> = (0..n * 4).map(|_| rng.below(256) as u8).collect();
        let gathered: Vec<u8> = spread
            .iter()
            .enumerate()
            .map(|(at, code)| if at / 4 / 512 % 16 == 0 { code / 2 + 128 } else { code / 2 })
            .collect();
        let query = [1.0, 0.9, 1.1, 1.0];
        for (codes, wrong) in [(spread, false), (gathered, true)] {
            let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
            let tables = [index.table(&query).unwrap(), index.table(&query.map(|x| -x)).unwrap()];
            let filters = [ItemFilter::all()];
            let quick: Vec<QuickTable> = tables.iter().map(|table| QuickTable::new(&shape, table)).collect();
            let guesses = guess(Level::Scalar, &index.codes, &quick, &filters, k);
            assert!(guesses.iter().all(|&guess| guess > 0), "there is a sample");
            let byte = |item, b| u16::from(quick[0].bytes[b * 256 + usize::from(index.codes.code(item, b))]);
            let reached = (0..n).filter(|&item| (0..4).map(|b| byte(item, b)).sum::<u16>() >= guesses[0]).count();
            assert_eq!(reached < k, wrong, "{reached} items have the byte sum that was guessed");
            for level in Level::available() {
                let mut lists = vec![TopK::new(); 2];
                index.search(level, &tables, k, &filters, &mut lists);
                for (table, list) in tables.iter().zip(&lists) {
                    let hits = (0..n).map(|item| Hit::new(ItemId(item as u32), index.score(table, item)));
                    let mut expected: Vec<Hit> = hits.collect();
                    expected.sort();
                    assert_eq!(list.hits(), &expected[..k], "{level:?}");
                }
            }
        }
    }

    #[test]
    fn a_guess_changes_no_list_whatever_the_codes_and_the_filter() {
        let (n, k) = (33 * 512 + 7, 50);
        let even: Vec<ItemId> = (0..n as u32).step_by(2).map(ItemId).collect();
        for (b, w) in [(9, 256), (16, 256), (8, 16), (9, 16)] {
            let index = index(n, b, w, Composition::Sum);
            let mut rng = Seed(6).rng();
            let queries: Vec<Vec<f32>> = (0..2).map(|_| (0..2 * b).map(|_| rng.normal() as f32).collect()).collect();
            let tables: Vec<Vec<f32>> = queries.iter().map(|query| index.table(query).unwrap()).collect();
            let quick: Vec<QuickTable> = tables.iter().map(|table| QuickTable::new(index.shape(), table)).collect();
            let filters = [ItemFilter::all(), ItemFilter::seen(&even).unwrap()];
            let guesses = guess(Level::Scalar, &index.codes, &quick, &filters, k);
            assert!(guesses.iter().all(|&guess| guess > 0), "there is a sample of {b} codebooks of {w}");
            for level in Level::available() {
                let mut lists = vec![TopK::new(); 2];
                index.search(level, &tables, k, &filters, &mut lists);
                for ((table, filter), list) in tables.iter().zip(&filters).zip(&lists) {
                    let items = (0..n).map(|item| ItemId(item as u32)).filter(|item| filter.allows(*item));
                    let mut expected: Vec<Hit> =
                        items.map(|item| Hit::new(item, index.score(table, item.index()))).collect();
                    expected.sort();
                    assert_eq!(list.hits(), &expected[..k], "{level:?} with {b} codebooks of {w}");
                }
            }
        }
    }

    #[test]
    fn payload_is_what_the_paper_says() {
        // LightRec, section 3.4: N·B·log2(W)/8 + 4·D·B·W bytes.
        for (n, b, w, bits) in [(1000, 4, 256, 8), (77, 8, 16, 4)] {
            assert_eq!(index(n, b, w, Composition::Sum).size_bytes(), n * b * bits / 8 + 4 * (2 * b) * b * w);
        }
    }

    #[test]
    fn validate_finds_planted_violations() {
        let sound = index(100, 3, 8, Composition::Sum);
        assert!(sound.validate().is_empty());
        let with_byte = |at: usize, byte: u8| {
            let mut bytes = sound.codes.bytes.to_vec();
            bytes[at] = byte;
            CodeIndex { codes: BlockedCodes { bytes: bytes.into(), ..sound.codes.clone() }, ..sound.clone() }.validate()
        };
        assert!(with_byte(5, 0x08)[0].problem.contains("item 5 has code 8 in codebook 0"));
        assert!(with_byte(64 + 5, 0x10)[0].problem.contains("item 5 has code 1 in codebook 3, expected less than 1"));
        let mut values = sound.codebooks.values.to_vec();
        values[9] = f32::NAN;
        let planted =
            CodeIndex { codebooks: Codebooks { values: values.into(), ..sound.codebooks.clone() }, ..sound.clone() };
        assert!(planted.validate()[0].problem.contains("codebook 0"));
    }
}
