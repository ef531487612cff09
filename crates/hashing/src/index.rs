//! Exact Hamming search over packed codes.

use std::path::Path;

use rayon::prelude::*;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{
    Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, Violation, check_batch, check_len,
};
use serde::{Deserialize, Serialize};

use crate::codes::{check_code_bits, tail_mask};
use crate::kernels::{self, CHUNK, Layout, Level, Visitor};
use crate::select::Selection;
use crate::{BinaryCodes, CodesError};

const KIND: &str = "hamming-index";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    code_bits: usize,
    n_items: usize,
}

/// Items as binary codes, searched exhaustively with XOR and popcount.
///
/// - **Query**: the packed words of a code, as [`BinaryCodes::words_of`] gives them; bits beyond `code_bits` must be 0.
/// - **Score**: `code_bits − 2 · hamming`, the inner product of the ±1 vectors, exact in `f32`.
/// - **Order**: score descending, item id ascending. Short codes tie heavily, and then the lower ids win.
///
/// Distances are small integers, so selection counts them: a histogram of the distances seen gives the one limit that a code
/// must stay below, and the scan asks 64 codes at a time whether any does.
///
/// ```
/// use rectify_core::{ItemFilter, Retriever, TopK};
/// use rectify_hashing::{BinaryCodes, HammingIndex};
///
/// let items = BinaryCodes::from_signs(&[1., 1., 1., -1., -1., 1., 1., 1., -1.], 3)?;
/// let index = HammingIndex::new(&items)?;
/// let mut top = TopK::new();
/// index.top_k(&[0b111], 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.hits().iter().map(|h| (h.item.0, h.score)).collect::<Vec<_>>(), [(0, 3.0), (2, 1.0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HammingIndex {
    code_bits: usize,
    n_items: usize,
    /// Whole chunks of 64 codes, the last padded with zeros; see [`Layout`].
    blocked: Array<u64>,
}

impl HammingIndex {
    /// Lays out `codes` for the scan; item `i` is code `i`.
    ///
    /// # Errors
    /// [`CodesError::TooMany`] beyond 2³² codes.
    pub fn new(codes: &BinaryCodes) -> Result<Self, CodesError> {
        if u32::try_from(codes.len()).is_err() {
            return Err(CodesError::TooMany { got: codes.len() });
        }
        let layout = Layout::of(codes.code_bits());
        let blocked = Array::filled(codes.len().div_ceil(CHUNK) * layout.chunk_words(), |blocked| {
            blocked
                .par_chunks_exact_mut(layout.chunk_words())
                .zip(codes.as_words().par_chunks(CHUNK * codes.words()))
                .for_each(|(chunk, codes)| layout.fill_chunk(codes, chunk));
        });
        Ok(Self { code_bits: codes.code_bits(), n_items: codes.len(), blocked })
    }

    /// Adds the codes to an artifact whose configuration says `code_bits` and `n_items`.
    pub(crate) fn write_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        writer.array("codes", &self.layout().shape(self.n_items), &self.blocked[..]);
    }

    /// Maps what [`write_into`](Self::write_into) wrote.
    pub(crate) fn read_from(artifact: &Artifact, code_bits: usize, n_items: usize) -> Result<Self, ArtifactError> {
        check_code_bits(code_bits).map_err(|error| artifact.field_error("code_bits", error.to_string()))?;
        if u32::try_from(n_items).is_err() {
            return Err(artifact.field_error("n_items", CodesError::TooMany { got: n_items }.to_string()));
        }
        let shape = Layout::of(code_bits).shape(n_items);
        let index = Self { code_bits, n_items, blocked: artifact.array_shaped("codes", &shape)? };
        artifact.reject(index.validate())?;
        Ok(index)
    }

    /// Length of a code in bits.
    #[must_use]
    pub const fn code_bits(&self) -> usize {
        self.code_bits
    }

    const fn words(&self) -> usize {
        self.code_bits.div_ceil(64)
    }

    const fn layout(&self) -> Layout {
        Layout::of(self.code_bits)
    }

    /// Word `w` of a code.
    pub(crate) fn word(&self, item: usize, w: usize) -> u64 {
        self.layout().word(&self.blocked, item, w)
    }

    pub(crate) fn check_query(&self, query: &[u64]) -> Result<(), QueryError> {
        check_len("query code (in words)", self.words(), query.len())?;
        if query[self.words() - 1] & !tail_mask(self.code_bits) != 0 {
            return Err(QueryError::Unsupported(format!(
                "query code has bits set beyond its {} bits; clear the rest of its last word",
                self.code_bits
            )));
        }
        Ok(())
    }

    pub(crate) fn score(&self, distance: u32) -> f32 {
        (self.code_bits as i32 - 2 * distance as i32) as f32
    }

    /// Answers queries in one pass over the codes.
    fn search(&self, level: Level, queries: &[&[u64]], k: usize, filters: &[ItemFilter<'_>], out: &mut [TopK]) {
        let mut search = Search {
            n_items: self.n_items,
            selections: queries.iter().map(|_| Selection::new(k, self.code_bits)).collect(),
            filters,
        };
        kernels::scan(level, &self.blocked, self.layout(), queries, &mut search);
        for (selection, out) in search.selections.into_iter().zip(out) {
            let hits = selection.finish();
            out.assign(k, hits.into_iter().map(|(distance, item)| Hit::new(ItemId(item), self.score(distance))));
        }
    }
}

struct Search<'a> {
    n_items: usize,
    selections: Vec<Selection>,
    filters: &'a [ItemFilter<'a>],
}

impl Visitor for Search<'_> {
    #[inline(always)]
    fn limit(&self, q: usize) -> u32 {
        self.selections[q].limit()
    }

    #[inline]
    fn visit(&mut self, q: usize, first: usize, distances: &[u32; CHUNK]) {
        let filter = &self.filters[if self.filters.len() == 1 { 0 } else { q }];
        let selection = &mut self.selections[q];
        for (item, &distance) in (first..self.n_items).zip(distances) {
            if distance < selection.limit() && filter.allows(ItemId(item as u32)) {
                selection.push(distance, item as u32);
            }
        }
    }
}

impl Retriever for HammingIndex {
    type Query = [u64];

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn top_k(&self, query: &[u64], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.check_query(query)?;
        self.search(Level::best(), &[query], k, std::slice::from_ref(filter), std::slice::from_mut(out));
        Ok(())
    }

    fn top_k_batch(
        &self,
        queries: &[&[u64]],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out.len())?;
        queries.iter().try_for_each(|query| self.check_query(query))?;
        let share = queries.len().div_ceil(rayon::current_num_threads()).max(1);
        queries.par_chunks(share).zip(out.par_chunks_mut(share)).enumerate().for_each(|(s, (queries, out))| {
            let filters = if filters.len() == 1 { filters } else { &filters[s * share..][..queries.len()] };
            self.search(Level::best(), queries, k, filters, out);
        });
        Ok(())
    }
}

impl Scorer for HammingIndex {
    type Query = [u64];

    fn n_items(&self) -> usize {
        self.n_items
    }

    fn score_into(&self, query: &[u64], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("output", items.len(), out.len())?;
        for (&item, out) in items.iter().zip(out) {
            if item.index() >= self.n_items {
                return Err(QueryError::UnknownItem { item, n_items: self.n_items });
            }
            let distance = query.iter().enumerate().map(|(w, q)| (q ^ self.word(item.index(), w)).count_ones()).sum();
            *out = self.score(distance);
        }
        Ok(())
    }

    fn score_all_into(&self, query: &[u64], out: &mut [f32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("output", self.n_items, out.len())?;
        kernels::scan(Level::best(), &self.blocked, self.layout(), &[query], &mut All { index: self, out });
        Ok(())
    }
}

/// Takes every distance.
struct All<'a> {
    index: &'a HammingIndex,
    out: &'a mut [f32],
}

impl Visitor for All<'_> {
    #[inline(always)]
    fn limit(&self, _: usize) -> u32 {
        u32::MAX
    }

    #[inline]
    fn visit(&mut self, _: usize, first: usize, distances: &[u32; CHUNK]) {
        for (out, &distance) in self.out[first..].iter_mut().zip(distances) {
            *out = self.index.score(distance);
        }
    }
}

impl Index for HammingIndex {
    fn size_bytes(&self) -> usize {
        self.blocked.len() * size_of::<u64>()
    }

    fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&Config { code_bits: self.code_bits, n_items: self.n_items });
        self.write_into(&mut writer);
        writer.save(path, overwrite)
    }

    fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let Config { code_bits, n_items } = artifact.config()?;
        Self::read_from(&artifact, code_bits, n_items)
    }

    fn validate(&self) -> Vec<Violation> {
        let violation = |problem| Violation { field: "codes".into(), problem };
        let expected = self.n_items.div_ceil(CHUNK) * self.layout().chunk_words();
        if self.blocked.len() != expected {
            return vec![violation(format!("has {} words, expected {expected}", self.blocked.len()))];
        }
        let mut violations = Vec::new();
        let last = self.words() - 1;
        let stray = |item: &usize| self.word(*item, last) & !tail_mask(self.code_bits) != 0;
        if let Some(item) = (0..self.n_items).find(stray) {
            violations.push(violation(format!("item {item} has bits set beyond its {} bits", self.code_bits)));
        }
        let padding = self.n_items..self.n_items.next_multiple_of(CHUNK);
        if padding.clone().any(|item| (0..self.words()).any(|w| self.word(item, w) != 0)) {
            violations.push(violation(format!("padding rows {padding:?} are not zero")));
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rectify_core::rng::Seed;

    #[test]
    fn every_instruction_set_gives_the_portable_answer() {
        for code_bits in [1, 7, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65, 128, 192, 200, 256, 300, 1024] {
            let mut rng = Seed(code_bits as u64).rng();
            let signs: Vec<f32> = (0..777 * code_bits).map(|_| rng.unit_f32() - 0.5).collect();
            let codes = BinaryCodes::from_signs(&signs, code_bits).expect("sound codes");
            let index = HammingIndex::new(&codes).expect("few codes");
            let queries: Vec<&[u64]> = (0..5).map(|q| codes.words_of(q * 100)).collect();
            let answer = |level| {
                let mut out = vec![TopK::new(); 5];
                index.search(level, &queries, 50, &[ItemFilter::all()], &mut out);
                out
            };
            let expected = answer(Level::Scalar);
            assert_eq!(expected[1].hits()[0].score, code_bits as f32, "a code is nearest to itself");
            for level in Level::available() {
                assert_eq!(answer(level), expected, "{level:?}, {code_bits} bits");
            }
        }
    }

    #[test]
    fn validate_finds_planted_violations() {
        let codes = BinaryCodes::from_signs(&[1.0; 70 * 3], 70).expect("sound codes");
        let sound = HammingIndex::new(&codes).expect("few codes");
        assert!(sound.validate().is_empty());
        let planted = |at: usize, bit: u64| {
            let mut words = sound.blocked.to_vec();
            words[at] |= bit;
            HammingIndex { blocked: words.into(), ..sound.clone() }.validate()
        };
        assert!(planted(9, 1 << 6)[0].problem.contains("item 1 has bits set beyond its 70 bits"));
        assert!(planted(5, 1)[0].problem.contains("padding rows 3..64"));
        let short = HammingIndex { blocked: sound.blocked[1..].to_vec().into(), ..sound.clone() };
        assert!(short.validate()[0].problem.contains("expected 128"));
    }
}
