//! Exhaustive search over codes by table look-up.

mod file;

use rayon::prelude::*;
use rectify_core::{
    Catalogue, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, TopK, all_or_none, check_batch,
    check_len,
};

pub(crate) use self::file::CodesConfig;
use super::byte_table::range;
use super::codebooks::{CodeShape, Codebooks};
use super::kernels::Level;
use super::layout::BlockedCodes;
use super::search::{Queries, Search};
use crate::CodesError;

/// Queries that share a pass over the codes.
const QUERY_TILE: usize = 8;

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
/// use rectify_quantize::{CodeIndex, CodeShape, Composition, ItemFilter, Retriever, TopK};
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

    /// As [`from_codes`](Self::from_codes), of codes packed as FAISS packs them: each in as many bits as its codebook needs, from the lowest
    /// bit of the first byte on, each item in whole bytes. With 256 codewords a code is a byte.
    ///
    /// ```
    /// use rectify_quantize::{CodeIndex, CodeShape, Composition};
    ///
    /// // Two codebooks of 16 codewords: an item is a byte, the first code in its low half.
    /// let shape = CodeShape { embedding_dim: 2, n_codebooks: 2, n_codewords: 16, composition: Composition::Product };
    /// let codebooks: Vec<f32> = (0..32).map(|x| x as f32).collect();
    /// let index = CodeIndex::from_packed(shape, &codebooks, &[0x5A, 0x0F])?;
    /// assert_eq!(index.codes(), [0xA, 0x5, 0xF, 0x0]);
    /// # Ok::<(), rectify_quantize::CodesError>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_codes`](Self::from_codes), or bytes that are no whole number of items.
    pub fn from_packed(shape: CodeShape, codebooks: &[f32], bytes: &[u8]) -> Result<Self, CodesError> {
        let codebooks = Codebooks::new(shape, codebooks)?;
        let bits = shape.n_codewords.trailing_zeros() as usize;
        let per_item = (shape.n_codebooks * bits).div_ceil(8);
        if !bytes.len().is_multiple_of(per_item) {
            let (what, expected, got) = ("packed codes", bytes.len().next_multiple_of(per_item), bytes.len());
            return Err(CodesError::Length { what, shape: "whole bytes an item", expected, got });
        }
        let code = |item: &[u8], b: usize| {
            let bit = |at: usize| u8::from(item[at / 8] >> (at % 8) & 1 == 1) << (at - b * bits);
            (b * bits..(b + 1) * bits).map(bit).fold(0, |code, bit| code | bit)
        };
        let items = bytes.chunks_exact(per_item);
        let codes: Vec<u8> = items.flat_map(|item| (0..shape.n_codebooks).map(move |b| code(item, b))).collect();
        Ok(Self { codes: BlockedCodes::new(&shape, &codes)?, codebooks })
    }

    /// Sizes of codes and codebooks.
    #[must_use]
    pub const fn shape(&self) -> &CodeShape {
        &self.codebooks.shape
    }

    /// All codes, `[n_items, n_codebooks]`, a byte each, as [`from_codes`](Self::from_codes) takes them.
    #[must_use]
    pub fn codes(&self) -> Vec<u8> {
        let n_codebooks = self.shape().n_codebooks;
        let each = |item| (0..n_codebooks).map(move |b| self.codes.code(item, b));
        (0..self.codes.n_items).flat_map(each).collect()
    }

    /// All codewords, `[n_codebooks, n_codewords, codeword_dim]`, as [`from_codes`](Self::from_codes) takes them.
    #[must_use]
    pub fn codebooks(&self) -> Vec<f32> {
        self.codebooks.by_codeword()
    }

    /// The codes of a vector that is not among the items: those whose decoded vector is near it, found by residual quantisation and
    /// refined codebook by codebook; of product codes the nearest there are.
    ///
    /// # Errors
    /// A vector of another width, or one that is not finite.
    pub fn encode(&self, vector: &[f32]) -> Result<Vec<u8>, QueryError> {
        check_len("vector", self.shape().embedding_dim, vector.len())?;
        match vector.iter().position(|value| !value.is_finite()) {
            Some(position) => Err(QueryError::NotFinite { position, value: vector[position] }),
            None => Ok(self.codebooks.encode(vector)),
        }
    }

    /// The same codebooks with more items: [encoded](Self::encode) vectors, row-major, behind those that are there.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), or vectors that are no whole number of rows.
    pub fn with_items(&self, vectors: &[f32]) -> Result<Self, QueryError> {
        let dim = self.shape().embedding_dim;
        check_len("vectors of new items", vectors.len().next_multiple_of(dim), vectors.len())?;
        let mut codes = self.codes();
        for vector in vectors.chunks_exact(dim) {
            codes.extend(self.encode(vector)?);
        }
        let longer = Self::from_codes(*self.shape(), &self.codebooks(), &codes);
        longer.map_err(|error| QueryError::Unsupported(error.to_string()))
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
        let queries = Queries::new(self, tables, filters);
        let mut search = Search::new(self, &queries, k, None);
        if k > 0 {
            search.scan_all(level, k);
        }
        search.finish(out);
    }
}

impl Catalogue for CodeIndex {
    fn n_items(&self) -> usize {
        self.codes.n_items
    }
}

impl Retriever for CodeIndex {
    type Query = [f32];

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
        check_batch(queries.len(), filters.len(), out)?;
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
        all_or_none(tiles, out)
    }
}

impl ItemVectors for CodeIndex {
    fn dim(&self) -> usize {
        self.shape().embedding_dim
    }

    fn item_vector_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        self.decode_into(item, out)
    }
}

impl Scorer for CodeIndex {
    type Query = [f32];

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

#[cfg(test)]
mod tests;
