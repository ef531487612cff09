//! The index keeps every promise of core's traits, and refuses what it cannot serve.

use proptest::prelude::*;
use rectify_cascade::{CascadeError, CascadeIndex, CascadeParts, PartName, Rejection, RejectionRatios};
use rectify_core::artifact::{Artifact, ArtifactWriter, Overwrite};
use rectify_core::{
    Catalogue, Exhaustive, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId, testing,
};

use super::random_parts as parts;

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

        // The same cascade, asked by vectors.
        let items = index.items();
        let vectors = users.map(|user| index.user(*user).unwrap());
        testing::scorer(&items, &vectors);
        testing::retriever(&items, &vectors, &testing::Oracle::scorer(&items));
        let wide = vec![0.5; shape[2] + 1];
        let (mut endless, mut long) = (wide[1..].to_vec(), wide[1..].to_vec());
        (endless[0], long[0]) = (f32::INFINITY, 1e30);
        for refused in [&wide[..], &endless, &long] {
            testing::scorer_refuses(&items, refused);
            testing::retriever_refuses(&items, vectors[0], refused);
        }

        let order: Vec<ItemId> = (0..shape[1] as u32).rev().map(ItemId).collect();
        let batches = index.batch_wise(&order, 7).unwrap();
        testing::retriever(&batches, &users, &testing::Oracle::scorer(&index));
        testing::retriever_refuses(&batches, &UserId(1), &UserId(shape[0] as u32));
    }
}

#[test]
fn a_users_vector_gets_the_bits_of_the_user() {
    let shares = Rejection::Share(RejectionRatios::new(&[0.3, 0.6]).unwrap());
    let seen: Vec<ItemId> = (0..200).step_by(3).map(ItemId).collect();
    for rejection in [Rejection::learned(2), Rejection::Above(vec![-0.4, 0.1]), Rejection::Never, shares] {
        let index = CascadeIndex::new(parts(3, [5, 200, 12, 2]), rejection).unwrap();
        // Nobody known: what a file without people holds.
        let nobody = CascadeParts { users: vec![].into(), ..index.parts() };
        let nobody = CascadeIndex::new(nobody, index.rejection().clone()).unwrap();
        assert_eq!(nobody.n_users(), 0);
        let (mut by_user, mut by_vector) = (TopK::new(), TopK::new());
        for user in (0..5).map(UserId) {
            let vector = index.user(user).unwrap().to_vec();
            for items in [index.items(), nobody.items()] {
                for (k, filter) in [(10, ItemFilter::all()), (150, ItemFilter::seen(&seen).unwrap())] {
                    let cost = index.search(user, k, &filter, &mut by_user).unwrap();
                    assert_eq!(items.search(&vector, k, &filter, &mut by_vector).unwrap(), cost);
                    assert_eq!(by_vector, by_user);
                }
                let item = ItemId(7 * user.0);
                assert_eq!(items.values(&vector, item), index.values(user, item));
                let (mut want, mut got) = ([0.0; 200], [0.0; 200]);
                match index.score_all_into(&user, &mut want) {
                    Ok(()) => items.score_all_into(&vector, &mut got).unwrap(),
                    // By share there are lists alone.
                    Err(error) => assert_eq!(items.score_all_into(&vector, &mut got), Err(error)),
                }
                assert_eq!(got, want);
            }
        }
    }
}

#[test]
fn a_vector_that_cannot_be_scored_is_refused_with_what_is_wrong() {
    let index = CascadeIndex::new(parts(1, [2, 30, 4, 2]), Rejection::learned(2)).unwrap();
    let refused = |vector: &[f32]| index.items().values(vector, ItemId(0)).unwrap_err();
    assert_eq!(refused(&[0.0; 3]), QueryError::Length { what: "query", expected: 4, got: 3 });
    let position = |error| if let QueryError::NotFinite { position, .. } = error { Some(position) } else { None };
    let nan = [0.0, 0.0, f32::NAN, 0.0];
    assert_eq!(position(refused(&nan)), Some(2));
    testing::scorer_refuses(&index.items(), &nan[..]);
    // Not by the kit: an error that holds a NaN does not equal itself.
    let mut top = TopK::new();
    index.items().top_k(&[0.5; 4], 3, &ItemFilter::all(), &mut top).unwrap();
    assert!(!top.hits().is_empty());
    assert!(index.items().top_k(&nan, 3, &ItemFilter::all(), &mut top).is_err() && top.hits().is_empty());
    let long = refused(&[0.0, 0.0, 1e19, 0.0]).to_string();
    assert!(long.contains("this vector's values can reach") && long.ends_with("scale it down"), "{long}");
    // A component of no item, times a head, would leave the range by itself.
    let mut parts = index.parts();
    parts.items = (0..120).map(|at| if at % 4 == 2 { 0.0 } else { parts.items[at] }).collect::<Vec<f32>>().into();
    let index = CascadeIndex::new(parts, Rejection::learned(2)).unwrap();
    assert!(index.items().values(&[0.0, 0.0, 1e38, 0.0], ItemId(0)).is_err());
    assert!(index.items().values(&[0.0, 0.0, 1e18, 0.0], ItemId(0)).is_ok());
    assert_eq!(
        index.items().values(&[0.0; 4], ItemId(30)),
        Err(QueryError::UnknownItem { item: ItemId(30), n_items: 30 })
    );
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

/// The arrays of a cascade by the names that they have in files, after a prefix.
fn write_version_1(index: &CascadeIndex, writer: &mut ArtifactWriter<'_>, prefix: &str, rejection: &str) {
    let (parts, d, n) = (index.parts(), index.embedding_dim(), index.n_items());
    let name = |name: &str| format!("{prefix}{name}");
    let mut lanes = vec![0.0; n.div_ceil(16) * d * 16];
    for (at, x) in parts.items.iter().enumerate() {
        let (item, j) = (at / d, at % d);
        lanes[(item / 16 * d + j) * 16 + item % 16] = *x;
    }
    writer.array_owned(&name("users"), &[index.n_users(), d], &parts.users);
    writer.array_owned(&name("items"), &[n, d], &parts.items);
    writer.array_owned(&name("items_by_lane"), &[n.div_ceil(16), d, 16], &lanes);
    let mut biases = Vec::new();
    for (n, module) in parts.modules.iter().enumerate() {
        let input = module.decision.len();
        writer.array_owned(&name(&format!("module{n}/decision")), &[input], &module.decision);
        writer.array_owned(&name(&format!("module{n}/weight")), &[input, d], &module.weight);
        biases.push(module.bias);
    }
    biases.push(parts.score_bias);
    writer.array_owned(&name("score"), &[parts.score.len()], &parts.score);
    writer.array_owned(&name("biases"), &[biases.len()], &biases);
    if let Rejection::Above(thresholds) = index.rejection() {
        writer.array_owned(&name("thresholds"), &[thresholds.len()], thresholds);
    }
    let config = format!(
        r#"{{"n_users":{},"n_items":{n},"embedding_dim":{d},"n_modules":{},"rejection":{rejection}}}"#,
        index.n_users(),
        index.n_modules()
    );
    let key = if prefix.is_empty() { "rectify.config".to_owned() } else { format!("rectify.config:{prefix}") };
    writer.text(&key, &config);
}

#[test]
fn a_file_has_the_names_and_the_bytes_of_version_1_alone_and_within_another() {
    let folder = tempfile::tempdir().unwrap();
    let (path, by_hand) = (folder.path().join("cascade"), folder.path().join("by-hand"));
    let shares = Rejection::Share(RejectionRatios::new(&[0.25, 0.5]).unwrap());
    for (rejection, name) in [
        (Rejection::Above(vec![0.1, -0.5]), r#""above""#),
        (shares, r#"{"share":[0.25,0.5]}"#),
        (Rejection::Never, r#""never""#),
    ] {
        let index = CascadeIndex::new(parts(4, [3, 35, 5, 2]), rejection).unwrap();
        index.save(&path, Overwrite::Replace).unwrap();
        let mut writer = ArtifactWriter::new("cascade-index", 1);
        write_version_1(&index, &mut writer, "", name);
        writer.save(&by_hand, Overwrite::Replace).unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&by_hand).unwrap(), "{name}");

        let mut writer = ArtifactWriter::new("served", 1);
        index.write(&mut writer, "index/");
        writer.save(&path, Overwrite::Replace).unwrap();
        let mut writer = ArtifactWriter::new("served", 1);
        write_version_1(&index, &mut writer, "index/", name);
        writer.save(&by_hand, Overwrite::Replace).unwrap();
        assert!(std::fs::read(&path).unwrap() == std::fs::read(&by_hand).unwrap(), "{name}");
        let within = CascadeIndex::read(&Artifact::open(&path, "served", 1).unwrap(), "index/").unwrap();
        assert_eq!((within.rejection(), within.validate()), (index.rejection(), vec![]));
        let (mut a, mut b) = (TopK::new(), TopK::new());
        index.top_k(&UserId(1), 30, &ItemFilter::all(), &mut a).unwrap();
        within.top_k(&UserId(1), 30, &ItemFilter::all(), &mut b).unwrap();
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
    let short = refused(&|p| p.score.truncate(4));
    assert!(matches!(short, CascadeError::Length { what: PartName::Score, expected: 8, got: 4, .. }));
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
