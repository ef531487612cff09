//! The index keeps every promise of core's traits, and refuses what it cannot serve.

use proptest::prelude::*;
use rectify_cascade::{CascadeError, CascadeIndex, CascadeParts, ModuleParts, Rejection, RejectionRatios};
use rectify_core::artifact::{Artifact, ArtifactWriter, Overwrite};
use rectify_core::rng::Seed;
use rectify_core::{Exhaustive, Index, ItemFilter, QueryError, Retriever, TopK, UserId, testing};

fn parts(seed: u64, [n_users, n_items, d, n_modules]: [usize; 4]) -> CascadeParts {
    let mut rng = Seed(seed).stream("parts").rng();
    let mut draw = |n: usize| (0..n).map(|_| (0.5 * rng.normal()) as f32).collect::<Vec<f32>>();
    let wide = |n: usize| if n == 0 { d } else { 2 * d };
    CascadeParts {
        embedding_dim: d,
        users: draw(n_users * d).into(),
        items: draw(n_items * d).into(),
        modules: (0..n_modules)
            .map(|n| ModuleParts { decision: draw(wide(n)), bias: draw(1)[0], weight: draw(wide(n) * d) })
            .collect(),
        score: draw(wide(n_modules)),
        score_bias: draw(1)[0],
    }
}

#[test]
fn a_cascade_keeps_every_promise_of_a_scorer_retriever_and_index() {
    for (shape, rejection) in [
        ([4, 300, 16, 3], Rejection::learned(3)),
        ([3, 1500, 5, 1], Rejection::Above(vec![-0.2])),
        ([3, 130, 33, 2], Rejection::Above(vec![f32::NEG_INFINITY, 0.0])),
        ([3, 70, 8, 2], Rejection::Never),
        ([3, 40, 8, 0], Rejection::learned(0)),
        ([3, 1, 8, 2], Rejection::learned(2)),
    ] {
        let index = CascadeIndex::new(parts(1, shape), rejection).unwrap();
        let users = [&UserId(0), &UserId(2)];
        testing::scorer(&index, &users);
        testing::scorer_refuses(&index, &UserId(shape[0] as u32));
        testing::retriever(&index, &users, &testing::Oracle::scorer(&index));
        testing::retriever_refuses(&index, &UserId(1), &UserId(shape[0] as u32));
        testing::index(&index, &users);
    }
}

#[test]
fn every_rule_comes_back_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cascade");
    let shares = RejectionRatios::new(&[0.1, 0.7000000000000001]).unwrap();
    for rejection in
        [Rejection::Above(vec![0.1, f32::INFINITY]), Rejection::learned(2), Rejection::Share(shares), Rejection::Never]
    {
        let index = CascadeIndex::new(parts(2, [2, 60, 4, 2]), rejection.clone()).unwrap();
        index.save(&path, Overwrite::Replace).unwrap();
        let opened = CascadeIndex::open(&path).unwrap();
        assert_eq!(opened.rejection(), &rejection);
        let (mut a, mut b) = (TopK::new(), TopK::new());
        index.top_k(&UserId(1), 30, &ItemFilter::all(), &mut a).unwrap();
        opened.top_k(&UserId(1), 30, &ItemFilter::all(), &mut b).unwrap();
        assert_eq!(a, b);
    }
}

#[test]
fn nobody_and_nothing_have_empty_answers() {
    let index = CascadeIndex::new(parts(1, [1, 0, 4, 2]), Rejection::learned(2)).unwrap();
    let mut top = TopK::new();
    index.top_k(&UserId(0), 10, &ItemFilter::all(), &mut top).unwrap();
    assert!(top.hits().is_empty() && index.is_empty());
    let error = index.top_k(&UserId(1), 10, &ItemFilter::all(), &mut top).unwrap_err();
    assert_eq!(error, QueryError::UnknownUser { user: UserId(1), n_users: 1 });
}

#[test]
fn impossible_parts_are_named() {
    let good = parts(1, [2, 3, 4, 2]);
    let refused = |change: &dyn Fn(&mut CascadeParts)| {
        let mut parts = good.clone();
        change(&mut parts);
        CascadeIndex::new(parts, Rejection::learned(2)).unwrap_err()
    };
    let message = |change: &dyn Fn(&mut CascadeParts)| refused(change).to_string();
    assert_eq!(message(&|p| p.embedding_dim = 0), "embedding_dim is 0, expected 1 to 4096");
    assert_eq!(message(&|p| p.users = vec![1.0; 5].into()), "users has 5 values, expected 8 (rows of embedding_dim)");
    assert!(
        message(&|p| p.modules[1].decision.truncate(4)).starts_with("decision of module 2 has 4 values, expected 8")
    );
    assert!(message(&|p| p.modules[0].weight.push(0.0)).starts_with("weight of module 1 has 17 values, expected 16"));
    assert!(message(&|p| p.score.truncate(4)).starts_with("score has 4 values, expected 8"));
    for value in [f32::NAN, f32::INFINITY, 1e20] {
        assert!(matches!(refused(&|p| p.modules[1].weight[3] = value), CascadeError::Value { position: 3, .. }));
        assert!(matches!(refused(&|p| p.score_bias = value), CascadeError::Value { position: 2, .. }));
        let items = |p: &mut CascadeParts| p.items = [&p.items[..11], &[value]].concat().into();
        assert!(message(&items).starts_with("items has"));
    }
    let large = |p: &mut CascadeParts| p.modules.iter_mut().for_each(|m| m.weight.fill(1e10));
    assert!(matches!(refused(&large), CascadeError::Overflow { stage: 1, .. }));
    assert!(matches!(refused(&|p| p.modules.truncate(1)), CascadeError::Rule { expected: 1, got: 2 }));
    let rule = |rejection| CascadeIndex::new(good.clone(), rejection).unwrap_err().to_string();
    assert_eq!(rule(Rejection::learned(3)), "the cascade has 2 modules, the rejection rule is for 3");
    assert!(rule(Rejection::Share(RejectionRatios::default())).contains("rule is for 0"));
    assert!(rule(Rejection::Above(vec![0.0, f32::NAN])).contains("the threshold of module 2 is NaN"));
}

#[test]
fn a_file_whose_arrays_do_not_fit_is_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let (path, spoiled) = (folder.path().join("good"), folder.path().join("spoiled"));
    CascadeIndex::new(parts(1, [2, 3, 4, 1]), Rejection::learned(1)).unwrap().save(&path, Overwrite::Refuse).unwrap();
    let artifact = Artifact::open(&path, "cascade-index", 1).unwrap();
    // Every array again, one of them changed; checksums are right.
    let refused = |changed: &str, change: &dyn Fn(&mut Vec<f32>)| {
        let arrays: Vec<(String, Vec<usize>, Vec<f32>)> = artifact
            .arrays()
            .map(|(name, shape)| {
                let mut values = artifact.array::<f32>(name).unwrap().0.to_vec();
                let before = values.len();
                if name == changed {
                    change(&mut values);
                }
                let shape = if values.len() == before { shape.to_vec() } else { vec![values.len()] };
                (name.to_owned(), shape, values)
            })
            .collect();
        let mut writer = ArtifactWriter::new("cascade-index", 1);
        writer.config(&artifact.config::<serde_json::Value>().unwrap());
        for (name, shape, values) in &arrays {
            writer.array(name, shape, values);
        }
        writer.save(&spoiled, Overwrite::Replace).unwrap();
        CascadeIndex::open(&spoiled).unwrap_err().to_string()
    };
    assert!(refused("module0/weight", &|v| v[5] = f32::NAN).contains("weight of module 1 has NaN at position 5"));
    assert!(refused("users", &|v| v[5] = f32::INFINITY).contains("users has inf at position 5"));
    assert!(refused("items_by_lane", &|v| v[5] += 1.0).contains("items_by_lane: holds other items"));
    assert!(refused("items", &|v| v.truncate(4)).contains("items: array has shape [4], expected [3, 4]"));
    assert!(refused("thresholds", &|v| v[0] = f32::NAN).contains("the threshold of module 1 is NaN"));
    assert!(refused("score", &|v| v.truncate(4)).contains("score: array has shape [4], expected [8]"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn search_equals_scoring_every_item(
        seed in any::<u64>(),
        n_items in 1usize..400,
        d in 1usize..40,
        n_modules in 0usize..4,
        threshold in -1.0f32..1.0,
        k in 0usize..500,
    ) {
        let parts = parts(seed, [1, n_items, d, n_modules]);
        let index = CascadeIndex::new(parts, Rejection::Above(vec![threshold; n_modules])).unwrap();
        let (mut got, mut want) = (TopK::new(), TopK::new());
        let cost = index.search(UserId(0), k, &ItemFilter::all(), &mut got).unwrap();
        Exhaustive::new(&index).top_k(&UserId(0), k, &ItemFilter::all(), &mut want).unwrap();
        prop_assert_eq!(got, want);
        prop_assert!(cost.entered.is_sorted_by(|a, b| a >= b));
    }
}
