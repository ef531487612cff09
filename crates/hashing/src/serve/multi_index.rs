//! Multi-index hashing: exact search that looks at few codes.

use rayon::prelude::*;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Catalogue, Format, Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, Violation};
use serde::{Deserialize, Serialize};

use super::substrings::{MAX_WIDTH, Part, masks, n_masks, parts, usual_tables};
use super::{BinaryCodes, CodesError, HammingIndex};

/// Names of the arrays of the tables.
const STARTS: &str = "starts";
const ITEMS: &str = "items";
/// How many codes the exhaustive scan passes while one bucket or candidate is looked at.
///
/// 1M codes of 64 bits: 0.27 ns a code scanned, 5 to 10 ns a bucket or candidate, which are cache misses.
const SCAN_ADVANTAGE: usize = 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    code_bits: usize,
    n_items: usize,
    n_tables: usize,
}

/// Items as binary codes, searched exactly through tables of substrings (Norouzi et al., "Fast Search in Hamming Space with
/// Multi-Index Hashing", CVPR 2012).
///
/// Codes are cut into m substrings, each with a table from its value to the items that have it. Once the tables `0..=t` were asked
/// for all substrings within distance a of the query's, and the others within a − 1, every code within distance `m a + t` of the
/// query has been met: a code further than that in each part would be further in all. The search widens until the best k lie
/// within that distance. Ties included, the answer is that of [`HammingIndex`], bit for bit.
///
/// - **Query, score, order**: as [`HammingIndex`].
/// - **When it pays**: many items, few results, and neighbours that are near. Each step further multiplies the buckets; as
///   soon as those to come would cost more than a scan of all codes, the scan answers instead. So the worst case is a scan, and a
///   filter that lets few items pass ends there.
/// - **Memory**: 4 bytes an item and table (`m ≈ code_bits / log₂ n` tables), and as much again at most for the tables' starts,
///   beside the codes.
///
/// ```
/// use rectify_core::{ItemFilter, Retriever, TopK};
/// use rectify_hashing::{BinaryCodes, MultiIndex};
///
/// let items = BinaryCodes::from_words(vec![0b0000, 0b0011, 0b1111], 4)?;
/// let index = MultiIndex::new(&items)?;
/// let mut top = TopK::new();
/// index.top_k(&[0b0001], 2, &ItemFilter::all(), &mut top)?;
/// assert_eq!(top.hits().iter().map(|h| (h.item.0, h.score)).collect::<Vec<_>>(), [(0, 2.0), (1, 2.0)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MultiIndex {
    codes: HammingIndex,
    n_tables: usize,
    /// Of each table in turn: where each substring's items start, and their number at the end; `2^width + 1` numbers.
    starts: Array<u32>,
    /// Items of each table in turn, by substring, then ascending; `[n_tables, n_items]`.
    items: Array<u32>,
}

impl MultiIndex {
    /// Builds the tables; item `i` is code `i`.
    ///
    /// # Errors
    /// [`CodesError::TooMany`] beyond 2³² codes.
    pub fn new(codes: &BinaryCodes) -> Result<Self, CodesError> {
        Self::with_tables(codes, usual_tables(codes.code_bits(), codes.len()))
    }

    /// As [`new`](Self::new), with another number of tables: more take more memory and find near codes with fewer buckets.
    ///
    /// # Errors
    /// As [`new`](Self::new), or [`CodesError::Tables`] unless substrings have 1 to 24 bits.
    pub fn with_tables(codes: &BinaryCodes, n_tables: usize) -> Result<Self, CodesError> {
        let code_bits = codes.code_bits();
        check_tables(code_bits, n_tables)?;
        let parts = parts(code_bits, n_tables);
        let index = HammingIndex::new(codes)?;
        let tables: Vec<(Vec<u32>, Vec<u32>)> = parts
            .par_iter()
            .map(|part| {
                let value = |item: usize| part.of(|w| codes.words_of(item)[w]);
                let mut starts = vec![0u32; (1 << part.width) + 1];
                (0..codes.len()).for_each(|item| starts[value(item) + 1] += 1);
                for at in 1..starts.len() {
                    starts[at] += starts[at - 1];
                }
                let (mut next, mut items) = (starts.clone(), vec![0u32; codes.len()]);
                for item in 0..codes.len() {
                    let at = &mut next[value(item)];
                    items[*at as usize] = item as u32;
                    *at += 1;
                }
                (starts, items)
            })
            .collect();
        let (starts, items): (Vec<_>, Vec<_>) = tables.into_iter().unzip();
        Ok(Self { codes: index, n_tables, starts: starts.concat().into(), items: items.concat().into() })
    }

    /// Length of a code in bits.
    #[must_use]
    pub const fn code_bits(&self) -> usize {
        self.codes.code_bits()
    }

    /// The codes themselves, searched by a scan.
    #[must_use]
    pub const fn codes(&self) -> &HammingIndex {
        &self.codes
    }

    /// Number of tables.
    #[must_use]
    pub const fn n_tables(&self) -> usize {
        self.n_tables
    }

    fn bucket(&self, t: usize, part: Part, value: usize) -> &[u32] {
        let n = self.codes.n_items();
        let range = self.starts[part.table + value] as usize..self.starts[part.table + value + 1] as usize;
        &self.items[t * n..(t + 1) * n][range]
    }

    /// The best k through the tables, or `None` if a scan is cheaper.
    fn search(&self, query: &[u64], k: usize, filter: &ItemFilter<'_>) -> Option<Vec<(u32, u32)>> {
        let n = self.codes.n_items();
        let (code_bits, parts) = (self.code_bits(), parts(self.code_bits(), self.n_tables));
        let asked: Vec<usize> = parts.iter().map(|part| part.of(|w| query[w])).collect();
        let mut counts = vec![0usize; code_bits + 1];
        let mut found = Vec::new();
        let (mut spent, budget) = (0usize, n / SCAN_ADVANTAGE);
        for radius in 0..=parts[0].width {
            for (t, &part) in parts.iter().enumerate() {
                spent = spent.saturating_add(n_masks(part.width, radius));
                if spent > budget {
                    return None;
                }
                for mask in masks(part.width, radius) {
                    for &item in self.bucket(t, part, asked[t] ^ mask) {
                        spent += 1;
                        let difference = |w: usize| query[w] ^ self.codes.word(item as usize, w);
                        // It was met before if an earlier table has it within this radius, or a later one within the last.
                        let met = |(i, part): (usize, &Part)| {
                            let distance = part.of(difference).count_ones() as usize;
                            if i < t { distance <= radius } else { i > t && distance < radius }
                        };
                        if parts.iter().enumerate().any(met) || !filter.allows(ItemId(item)) {
                            continue;
                        }
                        let distance: u32 = (0..query.len()).map(|w| difference(w).count_ones()).sum();
                        counts[distance as usize] += 1;
                        found.push((distance, item));
                    }
                }
                // Everything within `m · radius + t` has been met.
                let reach = (self.n_tables * radius + t).min(code_bits);
                if counts[..=reach].iter().sum::<usize>() >= k || reach == code_bits {
                    return Some(found);
                }
            }
        }
        Some(found)
    }
}

fn check_tables(code_bits: usize, n_tables: usize) -> Result<(), CodesError> {
    if n_tables > code_bits || n_tables < code_bits.div_ceil(MAX_WIDTH) {
        return Err(CodesError::Tables { code_bits, least: code_bits.div_ceil(MAX_WIDTH), got: n_tables });
    }
    Ok(())
}

impl Catalogue for MultiIndex {
    fn n_items(&self) -> usize {
        self.codes.n_items()
    }
}

impl Retriever for MultiIndex {
    type Query = [u64];

    fn top_k(&self, query: &[u64], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.codes.check_query(query)?;
        if k == 0 {
            return Ok(());
        }
        match self.search(query, k, filter) {
            Some(found) => {
                let hit = |(distance, item)| Hit::new(ItemId(item), self.codes.score(distance));
                out.assign(k, found.into_iter().map(hit));
                Ok(())
            }
            None => self.codes.top_k(query, k, filter, out),
        }
    }
}

impl Scorer for MultiIndex {
    type Query = [u64];

    fn score_into(&self, query: &[u64], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.codes.score_into(query, items, out)
    }

    fn score_all_into(&self, query: &[u64], out: &mut [f32]) -> Result<(), QueryError> {
        self.codes.score_all_into(query, out)
    }
}

impl Index for MultiIndex {
    fn format() -> Format {
        Format { kind: "multi-hamming-index", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        self.codes.size_bytes() + size_of_val(&*self.starts) + size_of_val(&*self.items)
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let n_items = self.n_items();
        writer.config_of(prefix, &Config { code_bits: self.code_bits(), n_items, n_tables: self.n_tables });
        self.codes.write_codes(writer, prefix);
        writer.array(&format!("{prefix}{STARTS}"), &[self.starts.len()], &self.starts[..]);
        writer.array(&format!("{prefix}{ITEMS}"), &[self.n_tables, n_items], &self.items[..]);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Config { code_bits, n_items, n_tables } = artifact.config_of(prefix)?;
        let codes = HammingIndex::read_codes(artifact, prefix, code_bits, n_items)?;
        check_tables(code_bits, n_tables).map_err(|error| artifact.field_error("n_tables", error.to_string()))?;
        let n_starts: usize = parts(code_bits, n_tables).iter().map(|part| (1usize << part.width) + 1).sum();
        let starts = artifact.array_shaped(&format!("{prefix}{STARTS}"), &[n_starts])?;
        let items = artifact.array_shaped(&format!("{prefix}{ITEMS}"), &[n_tables, n_items])?;
        Ok(Self { codes, n_tables, starts, items })
    }

    fn validate(&self) -> Vec<Violation> {
        let mut violations = self.codes.validate();
        let n = self.n_items();
        let mut add = |field: &str, problem: String| violations.push(Violation { field: field.into(), problem });
        for (t, part) in parts(self.code_bits(), self.n_tables).into_iter().enumerate() {
            let starts = &self.starts[part.table..][..(1 << part.width) + 1];
            if starts[0] != 0 || starts[starts.len() - 1] as usize != n || starts.windows(2).any(|w| w[0] > w[1]) {
                add(STARTS, format!("those of table {t} do not rise from 0 to {n}"));
                continue;
            }
            // Each item once: every bucket holds its own items, ascending, and there are n of them in all.
            let sound = |value: usize| {
                let bucket = self.bucket(t, part, value);
                let own = |item: &u32| (*item as usize) < n && part.of(|w| self.codes.word(*item as usize, w)) == value;
                bucket.iter().all(own) && bucket.windows(2).all(|w| w[0] < w[1])
            };
            if let Some(value) = (0..1 << part.width).find(|value| !sound(*value)) {
                add(ITEMS, format!("bucket {value} of table {t} holds items of another substring, or not ascending"));
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;

    #[test]
    fn the_tables_alone_are_exact_where_they_answer() {
        let mut rng = Seed(2).rng();
        // Clusters: the nearest are near, so that the tables answer.
        let centres: Vec<u64> = (0..200).map(|_| rng.next_u64()).collect();
        let words: Vec<u64> = (0..20_000)
            .map(|_| centres[rng.below(200) as usize] ^ (1u64 << rng.below(64)) ^ (1u64 << rng.below(64)))
            .collect();
        let codes = BinaryCodes::from_words(words, 64).unwrap();
        let index = MultiIndex::new(&codes).unwrap();
        let mut answered = 0;
        for centre in centres.into_iter().take(50) {
            let (query, mut want) = ([centre], TopK::new());
            index.codes.top_k(&query, 10, &ItemFilter::all(), &mut want).unwrap();
            if let Some(found) = index.search(&query, 10, &ItemFilter::all()) {
                answered += 1;
                let mut got = TopK::new();
                got.assign(10, found.iter().map(|(d, item)| Hit::new(ItemId(*item), index.codes.score(*d))));
                assert_eq!(got, want);
                let mut items: Vec<u32> = found.iter().map(|(_, item)| *item).collect();
                items.sort_unstable();
                assert!(items.windows(2).all(|w| w[0] != w[1]), "an item was met twice");
            }
        }
        assert!(answered >= 45, "{answered}");
    }

    #[test]
    fn validate_finds_planted_violations() {
        let codes = BinaryCodes::from_words(vec![5, 9, 1, 5], 8).unwrap();
        let sound = MultiIndex::with_tables(&codes, 2).unwrap();
        assert!(sound.validate().is_empty());
        let mut items = sound.items.to_vec();
        items.swap(0, 3);
        let broken = MultiIndex { items: items.into(), ..sound.clone() };
        assert!(broken.validate()[0].problem.contains("of table 0 holds items of another substring"));
        let mut starts = sound.starts.to_vec();
        starts[3] = 9;
        let broken = MultiIndex { starts: starts.into(), ..sound.clone() };
        assert_eq!(broken.validate()[0].problem, "those of table 0 do not rise from 0 to 4");
    }

    #[test]
    fn impossible_numbers_of_tables_are_named() {
        let codes = BinaryCodes::from_words(vec![1, 2], 64).unwrap();
        let error = MultiIndex::with_tables(&codes, 2).unwrap_err().to_string();
        assert_eq!(error, "2 tables over codes of 64 bits, expected 3 to 64, so that substrings have 1 to 24 bits");
        assert!(MultiIndex::with_tables(&codes, 65).is_err());
    }
}
