//! Every path of the index against a naive oracle, at every instruction set of this CPU.

use proptest::prelude::*;

use super::first_pass::{Candidates, CodedQuery, Prune};
use super::*;
use crate::artifact::{ArtifactWriter, Overwrite};
use crate::rng::Seed;
use crate::{Hit, Index};

/// The score as the documentation defines it.
fn naive_score(query: &[f32], row: &[f32]) -> f32 {
    query.iter().zip(row).fold(0.0, |sum, (q, x)| q.mul_add(*x, sum))
}

fn naive(rows: &[f32], query: &[f32], k: usize, filter: &ItemFilter<'_>) -> Vec<Hit> {
    let scores = rows.chunks(query.len()).map(|row| naive_score(query, row));
    let mut hits: Vec<Hit> = scores.enumerate().map(|(i, score)| Hit::new(ItemId(i as u32), score)).collect();
    hits.retain(|hit| filter.allows(hit.item));
    hits.sort();
    hits.truncate(k);
    hits
}

fn bits(hits: &[Hit]) -> Vec<(u32, u32)> {
    hits.iter().map(|hit| (hit.item.0, (hit.score + 0.0).to_bits())).collect()
}

/// Compares all paths with the oracle; returns how many answers came from the first pass.
fn check(rows: &[f32], queries: &[&[f32]], k: usize, filters: &[&ItemFilter<'_>]) -> usize {
    let dim = queries[0].len();
    let expected: Vec<_> = queries.iter().zip(filters).map(|(q, f)| bits(&naive(rows, q, k, f))).collect();
    let mut passed = 0;
    let index = ExactIndex::build(rows.to_vec(), dim, &ExactConfig::default()).unwrap();
    for level in Level::available() {
        for pass in [None, index.first_pass.as_ref()] {
            let mut out = vec![TopK::new(); queries.len()];
            index.search(level, pass, queries, k, filters, &mut out);
            for (q, (out, expected)) in out.iter().zip(&expected).enumerate() {
                assert_eq!(bits(out.hits()), *expected, "query {q}, {level:?}, first pass {}", pass.is_some());
            }
        }
        let scores: Vec<f32> = rows.chunks(dim).map(|row| naive_score(queries[0], row)).collect();
        let mut got = vec![f32::NAN; scores.len()];
        let items: Vec<ItemId> = (0..scores.len() as u32).map(ItemId).collect();
        index.score_at(level, queries[0], &items, &mut got);
        assert!(got.iter().zip(&scores).all(|(a, b)| a.to_bits() == b.to_bits()), "scores at {level:?}");
        if let Some(pass) = &index.first_pass
            && (1..=scores.len()).contains(&k)
        {
            passed += index.candidates(level, pass, queries, k, filters).iter().flatten().count();
        }
    }
    passed
}

fn normal(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seed(seed).stream("exact/normal").rng();
    (0..n).map(|_| rng.normal() as f32).collect()
}

#[test]
fn every_path_equals_brute_force_at_register_edges() {
    let mut passed = 0;
    for (n, dim) in [
        (0, 4),
        (1, 1),
        (15, 3),
        (16, 4),
        (17, 5),
        (47, 8),
        (48, 15),
        (49, 16),
        (500, 17),
        (700, 33),
        (2000, 64),
        (1300, 130),
    ] {
        let rows = normal(n * dim, 1);
        let asked = normal(19 * dim, 2);
        let queries: Vec<&[f32]> = asked.chunks(dim).collect();
        let seen: Vec<ItemId> = (0..n as u32).step_by(3).map(ItemId).collect();
        let (all, seen) = (ItemFilter::all(), ItemFilter::seen(&seen).unwrap());
        for k in [0, 1, 10, n, n + 1] {
            for take in [1, 2, 4, 5, 8, 9, 19] {
                let filters: Vec<&ItemFilter<'_>> = (0..take).map(|q| if q % 2 == 0 { &all } else { &seen }).collect();
                passed += check(&rows, &queries[..take], k, &filters);
            }
        }
    }
    assert!(passed > 300, "the first pass answered only {passed} queries: it was not tested");
}

/// Values that break careless bounds: zeros of both signs, denormals, huge and tiny numbers, heavy ties.
fn value() -> impl Strategy<Value = f32> + Clone {
    prop_oneof![
        3 => -1.0f32..1.0,
        2 => prop::sample::select(vec![0.0f32, -0.0, 1.0, -1.0, 0.5, 0.25]),
        1 => prop::sample::select(vec![1e-42f32, -1e-45, 1e-38, 1e-20, 1e12, -1e12]),
    ]
}

/// Values whose products overflow.
fn wild() -> impl Strategy<Value = f32> + Clone {
    prop_oneof![value(), prop::sample::select(vec![f32::MAX, f32::MIN, 3e38, -2e38, 1e30, 1e19, f32::MIN_POSITIVE])]
}

fn case(value: impl Strategy<Value = f32> + Clone) -> impl Strategy<Value = (Vec<f32>, Vec<f32>, usize)> {
    (1usize..20, 1usize..10).prop_flat_map(move |(dim, n_queries)| {
        (
            prop::collection::vec(prop::collection::vec(value.clone(), dim), 0..200).prop_map(|rows| rows.concat()),
            prop::collection::vec(value.clone(), dim * n_queries),
            Just(dim),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn hard_values_and_any_filter_give_the_answer_of_brute_force(
        (rows, asked, dim) in case(value()),
        k in 0usize..12,
        seen in prop::collection::btree_set(0u32..200, 0..20),
        allow in prop::collection::vec(any::<bool>(), 0..200),
        deny in prop::collection::vec(prop::bool::weighted(0.2), 0..200),
    ) {
        let queries: Vec<&[f32]> = asked.chunks(dim).collect();
        let seen: Vec<ItemId> = seen.into_iter().map(ItemId).collect();
        let allow: bitvec::vec::BitVec<u64> = allow.into_iter().collect();
        let deny: bitvec::vec::BitVec<u64> = deny.into_iter().collect();
        let all = ItemFilter::all();
        let strict = ItemFilter::seen(&seen).unwrap().and_allow(&allow).and_deny(&deny);
        for filter in [&all, &strict] {
            check(&rows, &queries, k, &vec![filter; queries.len()]);
        }
    }

    #[test]
    fn sums_that_overflow_stay_ordered((rows, asked, dim) in case(wild()), k in 1usize..12) {
        let queries: Vec<&[f32]> = asked.chunks(dim).collect();
        check(&rows, &queries, k, &vec![&ItemFilter::all(); queries.len()]);
    }

    #[test]
    fn copies_of_few_rows_come_in_the_order_of_their_ids(
        distinct in prop::collection::vec(prop::collection::vec(-1.0f32..1.0, 6), 1..4),
        choice in prop::collection::vec(any::<prop::sample::Index>(), 200..600),
        query in prop::collection::vec(-1.0f32..1.0, 6),
        k in 1usize..10,
    ) {
        let rows: Vec<f32> = choice.iter().flat_map(|i| i.get(&distinct).clone()).collect();
        check(&rows, &[&query], k, &[&ItemFilter::all()]);
    }

    #[test]
    fn neighbouring_floats_are_told_apart(base in prop::collection::vec(0.5f32..1.0, 8), seed in any::<u64>(), k in 1usize..10) {
        // Scores that differ in the last bits only, far below what int8 can see.
        let mut rng = Seed(seed).rng();
        let rows: Vec<f32> = (0..400)
            .flat_map(|_| base.iter().map(|x| f32::from_bits(x.to_bits() + rng.below(3))).collect::<Vec<_>>())
            .collect();
        check(&rows, &[&base], k, &[&ItemFilter::all()]);
    }
}

#[test]
fn the_first_pass_keeps_about_twice_the_list_and_the_filter_does_not_hurt_it() {
    let (n, dim, k) = (20_000, 32, 100);
    let index = ExactIndex::build(normal(n * dim, 3), dim, &ExactConfig::default()).unwrap();
    let asked = normal(8 * dim, 4);
    let queries: Vec<&[f32]> = asked.chunks(dim).collect();
    let deny: bitvec::vec::BitVec<u64> = (0..n).map(|i| i % 2 == 0).collect();
    for filter in [ItemFilter::all(), ItemFilter::all().and_deny(&deny)] {
        for kept in index.candidates(Level::best(), index.first_pass.as_ref().unwrap(), &queries, k, &[&filter; 8]) {
            let kept = kept.unwrap().len();
            // Usual values: 120 to 160.
            assert!((k..3 * k).contains(&kept), "{kept} candidates");
        }
    }
}

/// What the first pass keeps for the best five.
fn candidates(index: &ExactIndex, query: &[f32]) -> Vec<Option<Vec<ItemId>>> {
    index.candidates(Level::best(), index.first_pass.as_ref().unwrap(), &[query], 5, &[&ItemFilter::all()])
}

#[test]
fn the_first_pass_gives_up_when_it_can_tell_nothing_apart() {
    let rows = vec![1.0; 5000 * 4];
    let index = ExactIndex::build(rows, 4, &ExactConfig::default()).unwrap();
    let query: &[f32] = &[0.3, 0.1, -0.7, 0.2];
    assert_eq!(candidates(&index, query), [None]);
    let mut top = TopK::new();
    index.top_k(query, 5, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(top.items().map(|item| item.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn every_score_lies_in_its_certified_interval_and_all_levels_keep_the_same_items() {
    for (scale, dim) in [(1.0f32, 7), (1e-8, 64), (1e12, 33), (1.0, 1024)] {
        let n = 600;
        let rows: Vec<f32> = normal(n * dim, 5).iter().map(|x| x * scale).collect();
        let asked = normal(dim, 6);
        let longest = FirstPass::longest(&rows, dim).unwrap();
        let pass = FirstPass::build(&rows, dim, longest);
        let coded = [CodedQuery::new(&asked).unwrap()];
        let all = ItemFilter::all();
        let mut answers = Vec::new();
        for level in Level::available() {
            // As many as there are: nothing is pruned, every interval is kept.
            let mut candidates = [Candidates::new(n, n, &all)];
            level.run(Prune::new(&pass, n, &coded, &mut candidates));
            let [candidates] = candidates;
            let intervals = candidates.intervals();
            assert_eq!(intervals.len(), n);
            for &(item, lower, upper) in &intervals {
                let score = naive_score(&asked, &rows[item.index() * dim..][..dim]);
                assert!(lower <= score && score <= upper, "{level:?}: {score} outside {lower}..={upper}");
            }
            answers.push(intervals);
        }
        assert!(answers.windows(2).all(|w| w[0] == w[1]), "levels disagree");
    }
}

#[test]
fn a_query_or_catalogue_of_extreme_length_is_answered_without_the_first_pass() {
    for factor in [1e-20f32, 1e20] {
        let rows: Vec<f32> = normal(400 * 4, 7).iter().map(|x| x * factor).collect();
        let index = ExactIndex::build(rows.clone(), 4, &ExactConfig::default()).unwrap();
        assert!(!index.has_first_pass());
        let asked: Vec<f32> = normal(4, 8).iter().map(|x| x * factor).collect();
        check(&rows, &[&asked], 5, &[&ItemFilter::all()]);
        let index = ExactIndex::build(normal(400 * 4, 7), 4, &ExactConfig::default()).unwrap();
        assert!(index.has_first_pass());
        assert_eq!(candidates(&index, &asked), [None]);
    }
    for rows in [vec![], vec![0.0; 40]] {
        assert!(!ExactIndex::build(rows, 4, &ExactConfig::default()).unwrap().has_first_pass());
    }
    assert!(!ExactIndex::build(vec![1.0; 4097], 4097, &ExactConfig::default()).unwrap().has_first_pass());
}

#[test]
fn the_first_pass_serves_where_it_is_the_faster_way() {
    let index = ExactIndex::build(normal(20_000 * 16, 10), 16, &ExactConfig::default()).unwrap();
    assert!(index.pass_for(1, 100).is_some());
    assert!(index.pass_for(256, 10).is_some());
    assert!(index.pass_for(256, 100).is_none());
    assert!(index.pass_for(1, 20_000).is_none());
    assert!(index.pass_for(usize::MAX / 64, usize::MAX).is_none());
}

#[test]
fn rows_that_cannot_be_an_index_are_refused_by_name() {
    let build = |rows: Vec<f32>, dim| ExactIndex::build(rows, dim, &ExactConfig::default()).err();
    assert_eq!(build(vec![], 0), Some(ExactError::ZeroDim));
    assert_eq!(build(vec![1.0; 7], 3), Some(ExactError::Shape { expected: 3, got: 7 }));
    let error = build(vec![0.0, 0.0, 0.0, f32::NEG_INFINITY], 2).unwrap();
    assert_eq!(error.to_string(), "row of item 1 is not finite at position 1: -inf");
    assert!(matches!(
        build(vec![f32::NAN], 1),
        Some(ExactError::NotFinite { item: ItemId(0), position: 0, value }) if value.is_nan()
    ));
}

/// Saves arrays under the index's kind and opens them as an index.
fn open_forged(config: &serde_json::Value, write: impl FnOnce(&mut ArtifactWriter<'static>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forged");
    let mut writer = ArtifactWriter::new("exact-index", 1);
    writer.config(config);
    write(&mut writer);
    writer.save(&path, Overwrite::Refuse).unwrap();
    let error = ExactIndex::open(&path).unwrap_err().to_string();
    error.replace(&path.display().to_string(), "FILE")
}

#[test]
fn a_sound_file_that_is_no_sound_index_is_refused_by_the_array_at_fault() {
    let plain = serde_json::json!({"first_pass": false});
    let pass = serde_json::json!({"first_pass": true});
    assert_eq!(open_forged(&plain, |_| {}), "FILE: field rows: array is missing");
    let error = open_forged(&plain, |w| {
        w.array("rows", &[4], &[1.0f32; 4]);
    });
    assert_eq!(error, "FILE: field rows: array has shape [4], expected [n, dim]");
    let error = open_forged(&plain, |w| {
        w.array("rows", &[2, 2], &[1.0f64; 4]);
    });
    assert_eq!(error, "FILE: field rows: array has element type F64, expected F32");
    let error = open_forged(&plain, |w| {
        w.array::<f32>("rows", &[4, 0], &[]);
    });
    assert!(error.contains("dim at least 1"), "{error}");
    let error = open_forged(&plain, |w| {
        w.array("rows", &[2, 2], &[1.0, 2.0, f32::NAN, 3.0]);
    });
    assert_eq!(error, "FILE is not a valid exact-index: rows: item 1 is not finite at position 0: NaN");
    let error = open_forged(&serde_json::json!({"first_pas": true}), |w| {
        w.array("rows", &[1, 1], &[1.0f32]);
    });
    assert!(error.contains("unknown field `first_pas`"), "{error}");
    let error = open_forged(&pass, |w| {
        w.array("rows", &[1, 1], &[1.0f32]);
    });
    assert_eq!(error, "FILE: field first_pass: array is missing");
}

#[test]
fn a_first_pass_that_promises_too_much_is_refused() {
    let (n, dim) = (40, 6);
    let rows = normal(n * dim, 9);
    let lines = FirstPass::build(&rows, dim, FirstPass::longest(&rows, dim).unwrap()).lines;
    let words: Vec<u64> = bytemuck::cast_slice(&lines).to_vec();
    let shape = [3, 5, 8];
    let open = |words: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("forged");
        let mut writer = ArtifactWriter::new("exact-index", 1);
        writer.config(&ExactConfig { first_pass: true });
        writer.array("rows", &[n, dim], &rows).array("first_pass", &shape, words);
        writer.save(&path, Overwrite::Refuse).unwrap();
        ExactIndex::open(&path)
    };
    open(&words).unwrap();
    // Smaller residuals (second line of a block), a longer row, another code: each would lose items unseen.
    for at in [8, 16 + 3, 24 + 1, 5 * 8 * 2 + 9] {
        let mut forged = words.clone();
        forged[at] -= 1;
        let error = open(&forged).unwrap_err().to_string();
        let block = at / 40;
        let expected =
            format!("first_pass: does not belong to the rows of items {} to {}", 16 * block, 16 * block + 15);
        assert!(error.ends_with(&expected), "{error}");
    }
}

#[test]
fn an_index_of_any_width_is_mapped_without_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    for dim in [1, 3, 6, 16] {
        let path = folder.path().join(dim.to_string());
        ExactIndex::build(normal(100 * dim, 1), dim, &ExactConfig::default())
            .unwrap()
            .save(&path, Overwrite::Refuse)
            .unwrap();
        let index = ExactIndex::open(&path).unwrap();
        assert!(matches!(index.rows, Array::Mapped(_)));
        assert!(matches!(index.first_pass.unwrap().lines, lines::Lines::File(_)));
    }
}
