//! Codes in inverted lists, of which a query visits some.

mod file;
mod visit;

use std::sync::OnceLock;

use rectify_core::artifact::Array;
use rectify_core::{Catalogue, ItemFilter, ItemId, ItemVectors, QueryError, Retriever, Scorer, TopK, check_len};

use super::kernels::Level;
use super::search::{Queries, Search};
use crate::{CodeIndex, CodeShape, CodesError};

/// A [`CodeIndex`] whose items stand in inverted lists by their code in the first codebook, so that a query looks at some lists only.
///
/// For summed codewords the first codebook is the coarse one (the others hold residuals), so no other clustering is needed: a
/// query visits the `n_probes` lists whose codewords have the largest inner products with it, and ends before that when no item of
/// the next list can enter. While fewer than `k` items were found that pass the filter it goes on to the next list, so that `k` come
/// back whenever as many pass.
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
/// - Scores are those of [`CodeIndex`], bit for bit.
/// - **Memory**: 4 bytes an item more than the codes, for its id, and 4 bytes a cell. Whoever asks for scores of single items takes 4 bytes an
///   item more, made at the first such question.
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
    /// The position of each item; made when scores of single items are asked for.
    positions: OnceLock<Vec<u32>>,
}

impl InvertedIndex {
    /// Puts the items of an index into lists.
    ///
    /// # Errors
    /// [`CodesError::Zero`] for no probes.
    pub fn new(index: &CodeIndex, n_probes: usize) -> Result<Self, CodesError> {
        check_probes(n_probes)?;
        let (n, shape, codes) = (index.n_items(), index.shape(), &index.codes);
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
        Ok(Self { codes, ids: ids.into(), starts: starts.into(), n_probes, positions: OnceLock::new() })
    }

    /// The same lists, of which a query visits `n_probes`.
    ///
    /// # Errors
    /// [`CodesError::Zero`] for no probes.
    pub fn with_probes(self, n_probes: usize) -> Result<Self, CodesError> {
        check_probes(n_probes)?;
        Ok(Self { n_probes, ..self })
    }

    /// Lists that a query visits, unless they hold fewer items than it asks for; empty ones are not counted.
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

    /// Components of a query.
    pub(crate) const fn n_components(&self) -> usize {
        self.codes.shape().embedding_dim
    }

    fn search(&self, level: Level, table: Vec<f32>, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) {
        let tables = [table];
        let queries = Queries::new(&self.codes, &tables, std::slice::from_ref(filter));
        let mut search = Search::new(&self.codes, &queries, k, Some(&self.ids));
        if k > 0 {
            self.visit_lists(level, &mut search, &tables[0]);
        }
        search.finish(std::slice::from_mut(out));
    }

    /// The position of an item.
    fn position(&self, item: ItemId) -> Result<usize, QueryError> {
        let positions = self.positions.get_or_init(|| {
            let mut positions = vec![0; self.ids.len()];
            for (position, &item) in (0..).zip(&self.ids[..]) {
                positions[item as usize] = position;
            }
            positions
        });
        let unknown = QueryError::UnknownItem { item, n_items: self.n_items() };
        positions.get(item.index()).map(|&position| position as usize).ok_or(unknown)
    }
}

/// Cells of a list: one for each codeword of the second codebook where that makes no more cells than items, so that they take no more memory
/// than ids do. Codes of half a byte have no plane of their own, and their lists are one cell.
const fn cells_per_list(shape: &CodeShape, n_items: usize) -> usize {
    let w = shape.n_codewords;
    if shape.n_codebooks > 1 && !shape.is_four_bit() && n_items >= w * w { w } else { 1 }
}

const fn check_probes(n_probes: usize) -> Result<(), CodesError> {
    if n_probes == 0 { Err(CodesError::Zero { what: "n_probes" }) } else { Ok(()) }
}

impl Catalogue for InvertedIndex {
    fn n_items(&self) -> usize {
        self.codes.n_items()
    }
}

impl Retriever for InvertedIndex {
    type Query = [f32];

    /// Never fewer than `k` hits while as many items pass: beyond its `n_probes` lists a query visits more.
    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        let table = self.codes.table(query)?;
        self.search(Level::best(), table, k, filter, out);
        Ok(())
    }
}

impl ItemVectors for InvertedIndex {
    fn dim(&self) -> usize {
        self.codes.dim()
    }

    fn item_vector_into(&self, item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        self.codes.item_vector_into(ItemId(self.position(item)? as u32), out)
    }
}

impl Scorer for InvertedIndex {
    type Query = [f32];

    fn score_into(&self, query: &[f32], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", items.len(), out.len())?;
        let table = self.codes.table(query)?;
        for (&item, out) in items.iter().zip(out) {
            *out = self.codes.score(&table, self.position(item)?);
        }
        Ok(())
    }

    fn score_all_into(&self, query: &[f32], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", self.n_items(), out.len())?;
        let table = self.codes.table(query)?;
        for (position, &item) in self.ids.iter().enumerate() {
            out[item as usize] = self.codes.score(&table, position);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
