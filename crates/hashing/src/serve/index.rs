//! Exact Hamming search over packed codes.

use rayon::prelude::*;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{
    Catalogue, Format, Hit, Index, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, TopK, Violation,
    check_batch, check_len,
};
use serde::{Deserialize, Serialize};

use super::codes::{check_code_bits, tail_mask};
use super::kernels::{self, CHUNK, Layout, Level, Visitor};
use super::select::Selection;
use super::{BinaryCodes, CodesError};

/// Name of the array.
const CODES: &str = "codes";

/// What a file says of the index.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) code_bits: usize,
    pub(super) n_items: usize,
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

    /// Adds the codes alone, to an artifact whose configuration says `code_bits` and `n_items`.
    pub(super) fn write_codes<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.array(&format!("{prefix}{CODES}"), &self.layout().shape(self.n_items), &self.blocked[..]);
    }

    /// Maps what [`write_codes`](Self::write_codes) added.
    pub(super) fn read_codes(
        artifact: &Artifact,
        prefix: &str,
        code_bits: usize,
        n_items: usize,
    ) -> Result<Self, ArtifactError> {
        check_code_bits(code_bits).map_err(|error| artifact.field_error("code_bits", error.to_string()))?;
        if u32::try_from(n_items).is_err() {
            return Err(artifact.field_error("n_items", CodesError::TooMany { got: n_items }.to_string()));
        }
        let blocked = artifact.array_shaped(&format!("{prefix}{CODES}"), &Layout::of(code_bits).shape(n_items))?;
        Ok(Self { code_bits, n_items, blocked })
    }

    /// Length of a code in bits.
    #[must_use]
    pub const fn code_bits(&self) -> usize {
        self.code_bits
    }

    /// All codes, read back from their blocks: code `i` is item `i`.
    ///
    /// ```
    /// use rectify_hashing::{BinaryCodes, HammingIndex};
    ///
    /// let items = BinaryCodes::from_signs(&[1., -1., 1., 1., 1., -1.], 3)?;
    /// assert_eq!(HammingIndex::new(&items)?.codes(), items);
    /// # Ok::<(), rectify_hashing::CodesError>(())
    /// ```
    #[must_use]
    pub fn codes(&self) -> BinaryCodes {
        let per_code = self.words();
        let words = Array::filled(self.n_items * per_code, |words| {
            words.par_chunks_exact_mut(per_code).enumerate().for_each(|(item, code)| self.code_into(item, code));
        });
        BinaryCodes { code_bits: self.code_bits, words }
    }

    /// The code of one item; its words are a query for items like it.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`].
    pub fn code(&self, item: ItemId) -> Result<BinaryCodes, QueryError> {
        if item.index() >= self.n_items {
            return Err(QueryError::UnknownItem { item, n_items: self.n_items });
        }
        let mut words = vec![0; self.words()];
        self.code_into(item.index(), &mut words);
        Ok(BinaryCodes { code_bits: self.code_bits, words: words.into() })
    }

    /// Items within a Hamming distance of a code that pass `filter`, nearest first, equally near ones by id; with their distances.
    ///
    /// ```
    /// use rectify_hashing::{BinaryCodes, HammingIndex, ItemFilter, ItemId};
    ///
    /// let items = BinaryCodes::from_signs(&[1., 1., 1., -1., -1., 1., 1., 1., -1.], 3)?;
    /// let near = HammingIndex::new(&items)?.within(&[0b111], 1, &ItemFilter::all())?;
    /// assert_eq!(near, [(ItemId(0), 0), (ItemId(2), 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A code of another length.
    pub fn within(
        &self,
        query: &[u64],
        radius: u32,
        filter: &ItemFilter<'_>,
    ) -> Result<Vec<(ItemId, u32)>, QueryError> {
        self.check_query(query)?;
        let mut near = Near { n_items: self.n_items, radius, found: Vec::new() };
        kernels::scan(Level::best(), &self.blocked, self.layout(), &[query], &mut near);
        near.found.retain(|(item, _)| filter.allows(*item));
        near.found.sort_by_key(|&(item, distance)| (distance, item));
        Ok(near.found)
    }

    /// The Hamming distance of every item: `out[i]` is that of item `i`.
    ///
    /// # Errors
    /// A code of another length, or `out.len() != n_items()`.
    pub fn distances_into(&self, query: &[u64], out: &mut [u32]) -> Result<(), QueryError> {
        self.check_query(query)?;
        check_len("output", self.n_items, out.len())?;
        kernels::scan(Level::best(), &self.blocked, self.layout(), &[query], &mut Distances(out));
        Ok(())
    }

    fn code_into(&self, item: usize, code: &mut [u64]) {
        code.iter_mut().enumerate().for_each(|(w, word)| *word = self.word(item, w));
    }

    const fn words(&self) -> usize {
        self.code_bits.div_ceil(64)
    }

    const fn layout(&self) -> Layout {
        Layout::of(self.code_bits)
    }

    /// Word `w` of a code.
    pub(super) fn word(&self, item: usize, w: usize) -> u64 {
        self.layout().word(&self.blocked, item, w)
    }

    pub(super) fn check_query(&self, query: &[u64]) -> Result<(), QueryError> {
        check_len("query code (in words)", self.words(), query.len())?;
        if query[self.words() - 1] & !tail_mask(self.code_bits) != 0 {
            return Err(QueryError::Unsupported(format!(
                "query code has bits set beyond its {} bits; clear the rest of its last word",
                self.code_bits
            )));
        }
        Ok(())
    }

    pub(super) fn score(&self, distance: u32) -> f32 {
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

impl Catalogue for HammingIndex {
    fn n_items(&self) -> usize {
        self.n_items
    }
}

impl Retriever for HammingIndex {
    type Query = [u64];

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
        check_batch(queries.len(), filters.len(), out)?;
        queries.iter().try_for_each(|query| self.check_query(query))?;
        let share = queries.len().div_ceil(rayon::current_num_threads()).max(1);
        queries.par_chunks(share).zip(out.par_chunks_mut(share)).enumerate().for_each(|(s, (queries, out))| {
            let filters = if filters.len() == 1 { filters } else { &filters[s * share..][..queries.len()] };
            self.search(Level::best(), queries, k, filters, out);
        });
        Ok(())
    }
}

/// Vectors of +1 and −1.
impl ItemVectors for HammingIndex {
    fn dim(&self) -> usize {
        self.code_bits
    }

    fn item_vector_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.code_bits, out.len())?;
        let code = self.code(item)?;
        out.iter_mut().zip(code.bits_of(0)).for_each(|(value, bit)| *value = if *bit { 1.0 } else { -1.0 });
        Ok(())
    }
}

impl Scorer for HammingIndex {
    type Query = [u64];

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

/// Takes the near ones.
struct Near {
    n_items: usize,
    radius: u32,
    found: Vec<(ItemId, u32)>,
}

impl Visitor for Near {
    #[inline(always)]
    fn limit(&self, _: usize) -> u32 {
        self.radius.saturating_add(1)
    }

    #[inline]
    fn visit(&mut self, _: usize, first: usize, distances: &[u32; CHUNK]) {
        // The last chunk is padded.
        let items = (first..self.n_items).zip(distances).filter(|(_, distance)| **distance <= self.radius);
        self.found.extend(items.map(|(item, &distance)| (ItemId(item as u32), distance)));
    }
}

/// Takes every distance as it is.
struct Distances<'a>(&'a mut [u32]);

impl Visitor for Distances<'_> {
    #[inline(always)]
    fn limit(&self, _: usize) -> u32 {
        u32::MAX
    }

    #[inline]
    fn visit(&mut self, _: usize, first: usize, distances: &[u32; CHUNK]) {
        self.0[first..].iter_mut().zip(distances).for_each(|(out, distance)| *out = *distance);
    }
}

/// Takes every distance as a score.
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
    fn format() -> Format {
        Format { kind: "hamming-index", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        self.blocked.len() * size_of::<u64>()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, &Config { code_bits: self.code_bits, n_items: self.n_items });
        self.write_codes(writer, prefix);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Config { code_bits, n_items } = artifact.config_of(prefix)?;
        Self::read_codes(artifact, prefix, code_bits, n_items)
    }

    fn validate(&self) -> Vec<Violation> {
        let violation = |problem| Violation { field: CODES.into(), problem };
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
    fn a_radius_gives_what_counting_gives() {
        let codes = |seed, n| {
            let mut rng = Seed(seed).rng();
            let signs: Vec<f32> = (0..n * 70).map(|_| rng.unit_f32() - 0.5).collect();
            BinaryCodes::from_signs(&signs, 70).unwrap()
        };
        let (items, query) = (codes(1, 200), codes(2, 1));
        let index = HammingIndex::new(&items).unwrap();
        let by_hand = |item: usize| -> u32 {
            items.words_of(item).iter().zip(query.words_of(0)).map(|(a, b)| (a ^ b).count_ones()).sum()
        };
        let mut all = vec![0; 200];
        index.distances_into(query.words_of(0), &mut all).unwrap();
        assert_eq!(all, (0..200).map(by_hand).collect::<Vec<_>>());
        for radius in [0, 30, 35, 70, u32::MAX] {
            let mut expected: Vec<(u32, u32)> = (0..200).map(|item| (by_hand(item), item as u32)).collect();
            expected.retain(|(distance, item)| *distance <= radius && *item != 7);
            expected.sort_unstable();
            let seen = [ItemId(7)];
            let found = index.within(query.words_of(0), radius, &ItemFilter::seen(&seen).unwrap()).unwrap();
            assert_eq!(found.iter().map(|(item, distance)| (*distance, item.0)).collect::<Vec<_>>(), expected);
        }
        assert!(index.within(&[0], 3, &ItemFilter::all()).is_err());
    }

    #[test]
    fn codes_are_read_back_in_one_piece_and_one_by_one() {
        for code_bits in [1, 7, 8, 9, 16, 17, 32, 33, 64, 65, 192, 200, 4096] {
            for n in [0, 1, 63, 64, 65, 200] {
                let mut rng = Seed(code_bits as u64).rng();
                let signs: Vec<f32> = (0..n * code_bits).map(|_| rng.unit_f32() - 0.5).collect();
                let codes = BinaryCodes::from_signs(&signs, code_bits).expect("sound codes");
                let index = HammingIndex::new(&codes).expect("few codes");
                assert_eq!(index.codes(), codes, "{n} codes of {code_bits} bits");
                for item in 0..n {
                    let code = index.code(ItemId(item as u32)).expect("a known item");
                    assert_eq!((code.len(), code.bits_of(0)), (1, codes.bits_of(item)));
                }
                let item = ItemId(n as u32);
                assert_eq!(index.code(item), Err(QueryError::UnknownItem { item, n_items: n }));
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
