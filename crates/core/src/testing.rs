//! Conformance kit: one battery of checks for every scorer, retriever and index (feature `testing`).
//!
//! Each function panics with a sentence that says which promise was broken; call them from a test.
//!
//! ```
//! use rectify_core::{ExactConfig, ExactIndex, testing};
//!
//! let index = ExactIndex::build(vec![0.5, 1.0, -1.0, 2.0, 0.25, 0.0], 2, &ExactConfig::default())?;
//! let queries = [&[1.0, 0.0][..], &[0.5, -2.0]];
//! testing::scorer(&index, &queries);
//! testing::retriever(&index, &queries, &testing::Oracle::scorer(&index));
//! testing::index(&index, &queries);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use bitvec::vec::BitVec;

use crate::artifact::{ArtifactError, ArtifactWriter, Overwrite};
use crate::rng::Seed;
use crate::{Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK};

type ScoreAll<'a, Q> = Box<dyn Fn(&Q) -> Vec<f32> + Sync + 'a>;

/// What the right answers are, and how near to them a retriever must come.
pub struct Oracle<'a, Q: ?Sized> {
    scores: ScoreAll<'a, Q>,
    recall: Option<RangeInclusive<f64>>,
}

impl<'a, Q: ?Sized + Sync> Oracle<'a, Q> {
    /// Right is what this scorer ranks highest; the retriever must return just that, with the scorer's scores.
    ///
    /// # Panics
    /// When used, if the scorer refuses a query.
    pub fn scorer(scorer: &'a dyn Scorer<Query = Q>) -> Self {
        Self::scores(move |query| {
            let mut scores = vec![0.0; scorer.n_items()];
            scorer.score_all_into(query, &mut scores).expect("the oracle answers every query");
            scores
        })
    }

    /// As [`scorer`](Self::scorer), from a function that gives the score of every item.
    pub fn scores(scores: impl Fn(&Q) -> Vec<f32> + Sync + 'a) -> Self {
        Self { scores: Box::new(scores), recall: None }
    }

    /// For an approximate retriever: mean recall over queries and list lengths must lie in `band`, and scores may differ.
    #[must_use]
    pub fn recall(mut self, band: RangeInclusive<f64>) -> Self {
        self.recall = Some(band);
        self
    }
}

/// Sorts everything and keeps the best: as plain as an oracle can be.
fn best(scores: &[f32], k: usize, filter: &ItemFilter<'_>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = scores
        .iter()
        .enumerate()
        .map(|(i, &score)| Hit::new(ItemId(i as u32), score))
        .filter(|hit| filter.allows(hit.item))
        .collect();
    hits.sort();
    hits.truncate(k);
    hits
}

fn same_hits(a: &[Hit], b: &[Hit]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.item == b.item && bits(a.score) == bits(b.score))
}

/// Bits of a score; `-0.0` and `0.0` are one score.
fn bits(score: f32) -> u32 {
    (score + 0.0).to_bits()
}

/// Checks a scorer: `score_into` agrees with `score_all_into` bit for bit whatever the order, number and repetition of
/// the items asked, wrong lengths and unknown items are refused, and no score is NaN.
///
/// # Panics
/// If a promise of [`Scorer`] is broken.
pub fn scorer<S: Scorer + ?Sized>(scorer: &S, queries: &[&S::Query]) {
    assert!(!queries.is_empty(), "the kit needs at least one query");
    let n = scorer.n_items();
    for (q, query) in queries.iter().enumerate() {
        let mut all = vec![f32::NAN; n];
        scorer.score_all_into(query, &mut all).unwrap_or_else(|e| panic!("query {q} was refused: {e}"));
        if let Some(at) = all.iter().position(|s| s.is_nan()) {
            panic!("query {q}: item {at} has score NaN");
        }
        let mut rng = Seed(q as u64).stream("conformance/scorer").rng();
        for length in [0, 1, 2, 15, 16, 17, 33, 100] {
            if n == 0 && length > 0 {
                break;
            }
            let items: Vec<ItemId> = (0..length).map(|_| ItemId(rng.below(n as u32))).collect();
            let mut some = vec![f32::NAN; length];
            scorer.score_into(query, &items, &mut some).unwrap_or_else(|e| panic!("query {q} was refused: {e}"));
            for (item, score) in items.iter().zip(&some) {
                let expected = all[item.index()];
                assert!(
                    bits(*score) == bits(expected),
                    "query {q}: score_into gives item {item} {score}, score_all_into {expected}"
                );
            }
        }
        let refused = scorer.score_all_into(query, &mut vec![0.0; n + 1]);
        assert!(
            matches!(refused, Err(QueryError::Length { .. })),
            "score_all_into took a buffer too long: {refused:?}"
        );
        let refused = scorer.score_into(query, &[], &mut [0.0]);
        assert!(matches!(refused, Err(QueryError::Length { .. })), "score_into took a buffer too long: {refused:?}");
        let unknown = ItemId(n as u32);
        let refused = scorer.score_into(query, &[unknown], &mut [0.0]);
        assert!(
            matches!(refused, Err(QueryError::UnknownItem { item, n_items }) if item == unknown && n_items == n),
            "score_into took item {unknown} of {n}: {refused:?}"
        );
    }
}

/// Checks that a scorer refuses a query in both of its methods.
///
/// # Panics
/// If one of them answers.
pub fn scorer_refuses<S: Scorer + ?Sized>(scorer: &S, query: &S::Query) {
    assert!(scorer.score_all_into(query, &mut vec![0.0; scorer.n_items()]).is_err(), "score_all_into took a bad query");
    assert!(scorer.score_into(query, &[], &mut []).is_err(), "score_into took a bad query");
}

/// Checks that a retriever refuses a query, alone and between good ones, and leaves no hits then.
///
/// # Panics
/// If it answers.
pub fn retriever_refuses<R: Retriever + ?Sized>(retriever: &R, good: &R::Query, bad: &R::Query) {
    let all = ItemFilter::all();
    // Stale on purpose: nobody may take the last answer for that of a refused query.
    let mut stale = TopK::new();
    stale.assign(1, [Hit::new(ItemId(0), 0.0)]);
    let mut top = stale.clone();
    let alone = retriever.top_k(bad, 1, &all, &mut top);
    let Err(alone) = alone else { panic!("top_k took a bad query") };
    assert!(top.hits().is_empty(), "top_k refused a query and left {:?}", top.hits());
    let mut out = vec![stale; 3];
    let batch = retriever.top_k_batch(&[good, bad, good], 1, &[all], &mut out);
    // By their words, since a value that is not a number equals nothing.
    let words = batch.as_ref().err().map(ToString::to_string);
    assert!(words == Some(alone.to_string()), "top_k refuses with {alone:?}, top_k_batch gives {batch:?}");
    assert!(out.iter().all(|top| top.hits().is_empty()), "top_k_batch refused a batch and left {out:?}");
}

/// Checks a retriever against an oracle: every `k` from 0 to beyond the catalogue, every kind of filter, hits in their
/// total order and none twice, stale output replaced, batches equal to singles on 1 and on several threads.
///
/// # Panics
/// If a promise of [`Retriever`] is broken, or recall leaves the oracle's band.
pub fn retriever<R: Retriever + ?Sized>(retriever: &R, queries: &[&R::Query], oracle: &Oracle<'_, R::Query>) {
    assert!(!queries.is_empty(), "the kit needs at least one query");
    let n = retriever.n_items();
    let mut recalls = Vec::new();
    // Stale on purpose: an answer must replace what was there.
    let mut top = TopK::new();
    top.assign(1, [Hit::new(ItemId(u32::MAX), f32::INFINITY)]);

    for (q, query) in queries.iter().enumerate() {
        let scores = (oracle.scores)(query);
        assert_eq!(scores.len(), n, "the oracle knows another number of items");
        let filters = Filters::around(&scores, q as u64);
        for (name, filter) in filters.all() {
            for k in [0, 1, 2, 10, 100, n.saturating_sub(1), n, n + 1] {
                let what = || format!("query {q}, filter {name}, k = {k}");
                retriever.top_k(query, k, &filter, &mut top).unwrap_or_else(|e| panic!("{} was refused: {e}", what()));
                check_list(top.hits(), k, n, &filter, &what);
                let expected = best(&scores, k, &filter);
                if oracle.recall.is_none() {
                    assert!(
                        same_hits(top.hits(), &expected),
                        "{}: got\n{:?}\nexpected\n{expected:?}",
                        what(),
                        top.hits()
                    );
                } else if !expected.is_empty() && k < n {
                    let truth: HashSet<ItemId> = expected.iter().map(|hit| hit.item).collect();
                    let found = top.items().filter(|item| truth.contains(item)).count();
                    recalls.push(found as f64 / truth.len() as f64);
                }
            }
        }
    }
    if let Some(band) = &oracle.recall
        && !recalls.is_empty()
    {
        let mean = recalls.iter().sum::<f64>() / recalls.len() as f64;
        assert!(band.contains(&mean), "mean recall is {mean:.4}, expected within {band:?}");
    }
    batches(retriever, queries, oracle);
}

fn check_list(hits: &[Hit], k: usize, n: usize, filter: &ItemFilter<'_>, what: &dyn Fn() -> String) {
    assert!(hits.len() <= k, "{}: {} hits", what(), hits.len());
    let mut seen = HashSet::new();
    for hit in hits {
        assert!(hit.item.index() < n, "{}: unknown item {}", what(), hit.item);
        assert!(filter.allows(hit.item), "{}: item {} does not pass the filter", what(), hit.item);
        assert!(!hit.score.is_nan(), "{}: item {} has score NaN", what(), hit.item);
        assert!(seen.insert(hit.item), "{}: item {} came twice", what(), hit.item);
    }
    if let Some(w) = hits.windows(2).find(|w| w[0] > w[1]) {
        panic!("{}: {:?} stands before {:?}", what(), w[0], w[1]);
    }
}

/// Filters worth trying against one query's scores.
struct Filters {
    seen: Vec<ItemId>,
    allow: BitVec<u64>,
    short_allow: BitVec<u64>,
    one: BitVec<u64>,
    deny: BitVec<u64>,
    everything: BitVec<u64>,
}

impl Filters {
    fn around(scores: &[f32], seed: u64) -> Self {
        let n = scores.len();
        let mut rng = Seed(seed).stream("conformance/filters").rng();
        let mut random = |share: f32| (0..n).map(|_| rng.unit_f32() < share).collect::<BitVec<u64>>();
        let (allow, deny) = (random(0.5), random(0.3));
        let mut short_allow = allow.clone();
        short_allow.truncate(n / 2);
        let mut one = BitVec::repeat(false, n);
        if let Some(worst) = best(scores, n, &ItemFilter::all()).last() {
            one.set(worst.item.index(), true);
        }
        // The best items are the seen ones, as in a real query.
        let mut seen: Vec<ItemId> = best(scores, 7, &ItemFilter::all()).iter().map(|hit| hit.item).collect();
        seen.sort_unstable();
        Self { seen, allow, short_allow, one, deny, everything: BitVec::repeat(true, n) }
    }

    fn all(&self) -> Vec<(&'static str, ItemFilter<'_>)> {
        let seen = ItemFilter::seen(&self.seen).expect("sorted above");
        vec![
            ("none", ItemFilter::all()),
            ("best items seen", seen),
            ("half allowed", ItemFilter::all().and_allow(&self.allow)),
            ("short allow list", ItemFilter::all().and_allow(&self.short_allow)),
            ("only the worst allowed", ItemFilter::all().and_allow(&self.one)),
            ("some denied", ItemFilter::all().and_deny(&self.deny)),
            ("all denied", ItemFilter::all().and_deny(&self.everything)),
            ("seen, allow and deny", seen.and_allow(&self.allow).and_deny(&self.deny)),
        ]
    }
}

fn batches<R: Retriever + ?Sized>(retriever: &R, queries: &[&R::Query], oracle: &Oracle<'_, R::Query>) {
    // Many more queries than threads, and a number that divides into nothing.
    let many: Vec<&R::Query> = queries.iter().copied().cycle().take(queries.len().max(37)).collect();
    let own: Vec<Filters> = many
        .iter()
        .enumerate()
        .take(queries.len())
        .map(|(q, query)| Filters::around(&(oracle.scores)(query), q as u64))
        .collect();
    let per_query: Vec<ItemFilter<'_>> = (0..many.len())
        .map(|q| {
            let choices = own[q % own.len()].all();
            choices[q % choices.len()].1
        })
        .collect();
    let k = 10;
    let run = |threads: usize, filters: &[ItemFilter<'_>]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        let mut out = vec![TopK::new(); many.len()];
        pool.install(|| retriever.top_k_batch(&many, k, filters, &mut out))
            .unwrap_or_else(|e| panic!("a batch was refused: {e}"));
        out
    };
    for filters in [&per_query[..], &[ItemFilter::all()]] {
        let mut single = TopK::new();
        for threads in [1, 3] {
            for (q, batch) in run(threads, filters).iter().enumerate() {
                let filter = filters[if filters.len() == 1 { 0 } else { q }];
                retriever.top_k(many[q], k, &filter, &mut single).expect("answered before");
                assert!(
                    same_hits(single.hits(), batch.hits()),
                    "query {q} of a batch on {threads} threads: got\n{:?}\nalone\n{:?}",
                    batch.hits(),
                    single.hits()
                );
            }
        }
    }
    let all = [ItemFilter::all()];
    let empty = retriever.top_k_batch(&[], k, &all, &mut []);
    assert!(empty.is_ok(), "an empty batch was refused: {empty:?}");
    let refused = retriever.top_k_batch(&many, k, &all, &mut vec![TopK::new(); many.len() - 1]);
    assert!(matches!(refused, Err(QueryError::BatchShape { .. })), "a batch took too few outputs: {refused:?}");
    let refused = retriever.top_k_batch(&many, k, &[all[0]; 2], &mut vec![TopK::new(); many.len()]);
    assert!(matches!(refused, Err(QueryError::BatchShape { .. })), "a batch took too few filters: {refused:?}");
}

/// Checks an index: sound by its own account, of a size, the same after a round trip through a file (twice: equal
/// bytes), never replacing a file unasked, and refusing every truncated, damaged or foreign file.
///
/// # Panics
/// If a promise of [`Index`] is broken.
pub fn index<I: Index>(index: &I, queries: &[&I::Query]) {
    assert_eq!(index.validate(), [], "a new index calls itself unsound");
    assert_eq!(index.len(), index.n_items(), "len and n_items disagree");
    assert_eq!(index.is_empty(), index.len() == 0, "is_empty and len disagree");
    assert!(index.is_empty() || index.size_bytes() > 0, "an index with items has no size");

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("index.safetensors");
    index.save(&path, Overwrite::Refuse).unwrap_or_else(|e| panic!("saving failed: {e}"));
    let bytes = fs::read(&path).expect("the file was just written");

    let refused = index.save(&path, Overwrite::Refuse);
    assert!(matches!(refused, Err(ArtifactError::Exists { .. })), "an existing file was not respected: {refused:?}");
    index.save(&path, Overwrite::Replace).unwrap_or_else(|e| panic!("replacing failed: {e}"));
    assert!(fs::read(&path).expect("the file was just written") == bytes, "equal content gave other bytes");

    let opened = I::open(&path).unwrap_or_else(|e| panic!("opening failed: {e}"));
    assert_eq!(opened.validate(), [], "an opened index calls itself unsound");
    assert_eq!((opened.len(), opened.size_bytes()), (index.len(), index.size_bytes()), "length or size changed");
    same_answers(index, &opened, queries);
    opened.save(&path, Overwrite::Replace).unwrap_or_else(|e| panic!("saving what was opened failed: {e}"));
    assert!(fs::read(&path).expect("the file was just written") == bytes, "an opened index saves other bytes");

    damage::<I>(folder.path(), &bytes, |opened| same_answers(index, opened, queries));

    let foreign = folder.path().join("foreign.safetensors");
    ArtifactWriter::new("conformance-kit", 1)
        .save(&foreign, Overwrite::Refuse)
        .expect("an empty artifact can be saved");
    let refused = I::open(&foreign).err();
    assert!(matches!(refused, Some(ArtifactError::Kind { .. })), "a file of another kind was opened: {refused:?}");
    let absent = I::open(&folder.path().join("absent")).err();
    assert!(matches!(absent, Some(ArtifactError::Io { .. })), "a file that is not there was opened: {absent:?}");
    let left = fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 3, "temporary files were left behind");
}

fn same_answers<I: Index>(a: &I, b: &I, queries: &[&I::Query]) {
    let (mut from_a, mut from_b) = (TopK::new(), TopK::new());
    for (q, query) in queries.iter().enumerate() {
        a.top_k(query, 20, &ItemFilter::all(), &mut from_a).unwrap_or_else(|e| panic!("query {q} was refused: {e}"));
        b.top_k(query, 20, &ItemFilter::all(), &mut from_b).unwrap_or_else(|e| panic!("query {q} was refused: {e}"));
        assert!(same_hits(from_a.hits(), from_b.hits()), "query {q} has another answer after a round trip");
    }
}

/// Truncates and flips; an opened file must at least give the right answers.
fn damage<I: Index>(folder: &Path, bytes: &[u8], harmless: impl Fn(&I)) {
    let path = folder.join("damaged.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let data = bytes.len() - header;
    for length in [0, 4, 8, header / 2, header - 1, header, header + data / 2, bytes.len() - 1] {
        // An index without any data ends where its header does.
        if length < bytes.len() {
            fs::write(&path, &bytes[..length]).expect("the folder is writable");
            assert!(I::open(&path).is_err(), "a file cut from {} to {length} bytes was opened", bytes.len());
        }
    }
    let mut rng = Seed(0).stream("conformance/damage").rng();
    let mut spoiled = bytes.to_vec();
    for flip in 0..96 {
        // A third in the length, a third in the rest of the header, a third in the arrays.
        let (start, end) = [(0, 8), (8, header), (header, bytes.len())][flip % 3];
        if start == end {
            continue;
        }
        let at = start + rng.below((end - start) as u32) as usize;
        let bit = 1 << rng.below(8);
        spoiled[at] ^= bit;
        fs::write(&path, &spoiled).expect("the folder is writable");
        if let Ok(opened) = I::open(&path) {
            harmless(&opened);
        }
        spoiled[at] ^= bit;
    }
}
