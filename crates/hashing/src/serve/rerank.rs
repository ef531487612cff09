//! Two stages in one: codes propose, real vectors decide.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{
    Catalogue, ExactConfig, ExactIndex, Format, Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK,
    Violation, check_len,
};
use serde::{Deserialize, Serialize};

use super::{BinaryCodes, CodesError, HammingIndex};

/// Name of the array of vectors.
const VECTORS: &str = "vectors";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    code_bits: usize,
    n_items: usize,
    depth: usize,
}

/// Items as real vectors and as the signs of these: signs find the nearest `depth`, inner products order them.
///
/// - **Query**: a real vector, as wide as a code is long; its signs (sign(0) = +1) search, the vector itself re-ranks.
/// - **Score**: the inner product with the item's vector, as [`ExactIndex`] computes it.
/// - **Answer**: the best `k` among the `max(depth, k)` nearest codes. With `depth` at least the number of items it is exact.
///
/// For codes and vectors of other origins (a user's learned code, a teacher's factors) pair two retrievers of one query type with
/// [`rectify_core::Rerank`].
#[derive(Clone, Debug)]
pub struct RerankIndex {
    codes: HammingIndex,
    vectors: ExactIndex,
    depth: usize,
}

/// Why vectors make no [`RerankIndex`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RerankError {
    /// Vectors that make no codes.
    #[error(transparent)]
    Codes(#[from] CodesError),
    /// Vectors that cannot be searched.
    #[error(transparent)]
    Vectors(#[from] rectify_core::ExactError),
}

impl RerankIndex {
    /// Builds both stages from rows `[n, dim]`.
    ///
    /// # Errors
    /// A width of 0 or above 4096, a length that is no multiple of it, or a value that is not finite.
    pub fn build(rows: impl Into<Array<f32>>, dim: usize, depth: usize) -> Result<Self, RerankError> {
        let rows = rows.into();
        let codes = HammingIndex::new(&BinaryCodes::from_signs(&rows, dim)?)?;
        Ok(Self { codes, vectors: ExactIndex::build(rows, dim, &ExactConfig::default())?, depth })
    }

    /// Codes re-ranked for a query.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The same items with another depth.
    #[must_use]
    pub fn with_depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The first stage.
    #[must_use]
    pub const fn codes(&self) -> &HammingIndex {
        &self.codes
    }

    /// The second stage; its rows are the items' vectors.
    #[must_use]
    pub const fn vectors(&self) -> &ExactIndex {
        &self.vectors
    }

    fn encode(&self, query: &[f32]) -> Result<BinaryCodes, QueryError> {
        check_len("query vector", self.codes.code_bits(), query.len())?;
        if let Some(position) = query.iter().position(|x| !x.is_finite()) {
            return Err(QueryError::NotFinite { position, value: query[position] });
        }
        Ok(BinaryCodes::from_signs(query, query.len()).expect("a finite vector of a possible width"))
    }
}

impl Catalogue for RerankIndex {
    fn n_items(&self) -> usize {
        self.codes.n_items()
    }
}

impl Retriever for RerankIndex {
    type Query = [f32];

    fn top_k(&self, query: &[f32], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        let code = self.encode(query)?;
        if k == 0 {
            return Ok(());
        }
        let mut near = TopK::new();
        self.codes.top_k(code.words_of(0), self.depth.max(k), filter, &mut near)?;
        let items: Vec<ItemId> = near.items().collect();
        let mut scores = vec![0.0; items.len()];
        self.vectors.score_into(query, &items, &mut scores)?;
        if let Some(at) = scores.iter().position(|score| score.is_nan()) {
            return Err(QueryError::NotFinite { position: items[at].index(), value: scores[at] });
        }
        out.assign(k, items.into_iter().zip(scores).map(|(item, score)| Hit::new(item, score)));
        Ok(())
    }
}

impl Index for RerankIndex {
    fn format() -> Format {
        Format { kind: "rerank-hamming-index", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        self.codes.size_bytes() + self.vectors.size_bytes()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let (code_bits, n_items) = (self.codes.code_bits(), self.n_items());
        writer.config_of(prefix, &Config { code_bits, n_items, depth: self.depth });
        self.codes.write_codes(writer, prefix);
        writer.array(&format!("{prefix}{VECTORS}"), &[n_items, code_bits], self.vectors.rows());
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Config { code_bits, n_items, depth } = artifact.config_of(prefix)?;
        let codes = HammingIndex::read_codes(artifact, prefix, code_bits, n_items)?;
        let name = format!("{prefix}{VECTORS}");
        let rows = artifact.array_shaped::<f32>(&name, &[n_items, code_bits])?;
        let vectors = ExactIndex::build(rows, code_bits, &ExactConfig::default())
            .map_err(|error| artifact.field_error(&name, error.to_string()))?;
        Ok(Self { codes, vectors, depth })
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.codes.validate();
        violations.extend(self.vectors.validate());
        let rows = self.vectors.rows().chunks_exact(self.codes.code_bits()).enumerate();
        let differs = |(item, row): &(usize, &[f32])| {
            row.iter()
                .enumerate()
                .any(|(bit, x)| (self.codes.word(*item, bit / 64) >> (bit % 64) & 1 == 1) != (*x >= 0.0))
        };
        if let Some((item, _)) = rows.into_iter().find(differs) {
            let problem = format!("item {item} has a code that is not the signs of its vector");
            violations.push(Violation { field: "codes".into(), problem });
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;
    use rectify_core::testing;

    use super::*;

    fn rows(seed: u64, n: usize, dim: usize) -> Vec<f32> {
        let mut rng = Seed(seed).rng();
        (0..n * dim).map(|_| rng.normal() as f32).collect()
    }

    #[test]
    fn a_depth_of_the_whole_catalogue_is_exact_and_a_smaller_one_nearly() {
        let dim = 48;
        let index = RerankIndex::build(rows(1, 500, dim), dim, 500).unwrap();
        let queries = rows(2, 4, dim);
        let queries: Vec<&[f32]> = queries.chunks(dim).collect();
        testing::retriever(&index, &queries, &testing::Oracle::scorer(&index.vectors));
        testing::index(&index, &queries);
        testing::retriever_refuses(&index, queries[0], &[f32::INFINITY; 48]);
        testing::retriever_refuses(&index, queries[0], &[1.0; 47]);
        let shallow = index.with_depth(100);
        // Usually 0.9; lists of n - 1 and more are always right.
        testing::retriever(&shallow, &queries, &testing::Oracle::scorer(&shallow.vectors).recall(0.8..=1.0));
    }

    #[test]
    fn codes_that_are_not_the_signs_are_found() {
        let index = RerankIndex::build(rows(1, 9, 5), 5, 3).unwrap();
        assert!(index.validate().is_empty());
        let other = RerankIndex {
            codes: HammingIndex::new(&BinaryCodes::from_signs(&rows(4, 9, 5), 5).unwrap()).unwrap(),
            ..index
        };
        assert!(other.validate()[0].problem.contains("has a code that is not the signs"));
    }

    #[test]
    fn impossible_vectors_are_refused() {
        assert!(RerankIndex::build(vec![1.0; 7], 3, 5).is_err());
        assert!(RerankIndex::build(vec![f32::NAN; 3], 3, 5).is_err());
        assert!(RerankIndex::build(vec![f32::INFINITY; 3], 3, 5).is_err());
    }
}
