//! A recommender in a line, and a small one in another.

use rectify::train::{Candidate, distil, settings};
use rectify::{Goal, IdMap, Overwrite, Recommender, train};
use rectify_core::rng::Seed;
use rectify_data::{Dataset, SyntheticConfig};

fn data() -> Dataset {
    SyntheticConfig::tiny().generate("tiny", Seed(3)).unwrap()
}

#[test]
fn the_best_of_the_candidates_is_served_with_what_was_measured() {
    let data = data();
    let model = train(&data, &Goal::default()).unwrap();
    assert_ne!(model.kind().name, "pop-rank", "there is something to learn here");
    let provenance = model.provenance();
    let facts = provenance.data.as_ref().unwrap();
    assert_eq!(facts.n_interactions, data.interactions.n_interactions() as u64);
    let parts: Vec<&str> = provenance.measured.iter().map(|one| one.part.as_str()).collect();
    assert_eq!(parts, ["validation", "test"]);
    assert!(provenance.measured[1].ci95.is_some_and(|[low, high]| low < provenance.measured[1].value && high > low));

    let user = data.ids.users.name(0).unwrap();
    let list = model.recommend(&user, 10).unwrap();
    let has = data.interactions.items_of(rectify_core::UserId(0));
    assert!(list.iter().all(|one| !has.contains(&rectify_core::ItemId(data.ids.items.find(&one.item).unwrap()))));
}

#[test]
fn a_recommender_becomes_a_small_one_that_keeps_most_of_its_lists() {
    let data = data();
    let goal = Goal {
        candidates: vec![Candidate {
            kind: "ials".into(),
            settings: vec![serde_json::from_str(r#"{"embedding_dim": 16}"#).unwrap()],
            most_items: None,
        }],
        ..Goal::default()
    };
    let teacher = train(&data, &goal).unwrap();
    let settings = serde_json::from_str(r#"{"n_codebooks": 4, "n_codewords": 16}"#).unwrap();
    let small = distil(&teacher, &data, "rvq", &settings, &goal).unwrap();
    assert!(small.model().item_bytes() < teacher.model().item_bytes());
    let kept = small.provenance().measured.iter().find(|one| one.metric.starts_with("overlap@20")).unwrap();
    assert!(kept.value > 0.4, "usually .6 or more, a random list has .2: {}", kept.value);
    assert_eq!(small.provenance().teacher.as_ref().unwrap().model, "ials");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.rectify");
    small.save(&path, Overwrite::Refuse).unwrap();
    let user = data.ids.users.name(1).unwrap();
    assert_eq!(Recommender::open(&path).unwrap().recommend(&user, 5).unwrap(), small.recommend(&user, 5).unwrap());
}

#[test]
fn codebooks_are_sized_to_the_catalogue_and_larger_ones_are_remarked_on() {
    let data = SyntheticConfig { n_items: 300, ..SyntheticConfig::tiny() }.generate("tiny", Seed(3)).unwrap();
    let ials = settings(r#"{"embedding_dim": 16}"#).unwrap();
    let teacher = train(&data, &Goal::of("ials", &ials)).unwrap();
    let distilled = |codes: &str| distil(&teacher, &data, "rvq", &settings(codes).unwrap(), &Goal::default()).unwrap();
    let sized = distilled(r#"{"n_codebooks": 4}"#);
    assert_eq!(sized.provenance().settings["n_codewords"], 16);
    assert!(sized.remarks().is_empty(), "{:?}", sized.remarks());
    let large = distilled(r#"{"n_codebooks": 4, "n_codewords": 128}"#).remarks();
    assert_eq!(large.len(), 1);
    assert!(large[0].contains("16-dimensional vectors would take 19200: choose fewer codewords"), "{large:?}");
}

#[test]
fn people_with_six_items_each_are_enough_to_choose_by() {
    let pairs: Vec<(u32, u32)> =
        (0..40).flat_map(|user| (0..6).map(move |at| (user, (user % 4) * 10 + (user + at) % 10))).collect();
    let interactions = rectify_data::Interactions::from_pairs(40, 40, &pairs).unwrap();
    let ids = rectify_data::IdMaps { users: IdMap::numbered(40), items: IdMap::numbered(40) };
    let data = Dataset { interactions, ids, categories: None, text: None, fixed: None, ..data() };
    let model = train(&data, &Goal::default()).unwrap();
    assert_eq!(model.provenance().measured.len(), 2);
    assert!(model.provenance().data.as_ref().unwrap().split.as_ref().unwrap().starts_with("an item of each user"));
}

#[test]
fn one_seed_gives_the_same_file_whatever_the_number_of_threads() {
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let file = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let path = folder.path().join(format!("{threads}"));
        pool.install(|| train(&data, &Goal::default()).unwrap().save(&path, Overwrite::Refuse).unwrap());
        std::fs::read(path).unwrap()
    };
    assert!(file(1) == file(2));
}
