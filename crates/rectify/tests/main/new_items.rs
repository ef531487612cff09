//! Items that came later.

use rectify::{Encoder, Overwrite, Recommender};

use crate::common::{ids, shop};

#[test]
fn a_new_item_is_recommended_and_the_old_ones_stay() {
    let shop = shop();
    assert_eq!(shop.new_item_dim(), Some(2));
    let later = shop.with_items(&["SKU-07", "SKU-08"], &[0.0, 2.0, 0.95, 0.1]).unwrap();
    assert_eq!(later.n_items(), 8);
    assert_eq!(ids(&later.recommend("boris", 1).unwrap()), ["SKU-07"]);
    assert_eq!(ids(&later.recommend("anna", 2).unwrap()), ["SKU-08", "SKU-06"]);
    assert_eq!(later.score("anna", &["SKU-03"]).unwrap(), shop.score("anna", &["SKU-03"]).unwrap());
    assert_eq!(ids(&later.recommend_for(&["SKU-07"], 1).unwrap()), ["SKU-05"]);
    assert!(shop.with_items(&["SKU-07"], &[0.0]).unwrap_err().to_string().contains("1 given, expected 2"));
    assert!(shop.with_items(&["SKU-01"], &[0.0, 1.0]).unwrap_err().to_string().contains("comes twice"));
}

#[test]
fn an_encoder_maps_the_teachers_vectors_and_lies_in_the_file() {
    // Three coordinates of a teacher, of which the first is both of ours.
    let encoder = Encoder::new(vec![1.0, 1.0, 0.0, 0.0, 0.0, 0.0], 3, 2).unwrap();
    let shop = shop().with_encoder(encoder);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.rectify");
    shop.save(&path, Overwrite::Refuse).unwrap();
    let opened = Recommender::open(&path).unwrap();
    assert_eq!(opened.new_item_dim(), Some(3));
    let later = opened.with_items(&["SKU-07"], &[3.0, 8.0, 9.0]).unwrap();
    assert_eq!(later.score("anna", &["SKU-07"]).unwrap(), [3.0]);
    assert_eq!(later.score("boris", &["SKU-07"]).unwrap(), [3.0 * 0.1 + 3.0]);
}

#[cfg(feature = "train")]
#[test]
fn students_of_every_coder_take_items_in_that_their_teacher_knows() {
    use rectify::train::{Candidate, distil};
    use rectify::{Goal, train};
    use rectify_core::rng::Seed;
    use rectify_core::{ItemId, ItemVectors};
    use rectify_data::SyntheticConfig;

    let data = SyntheticConfig::tiny().generate("tiny", Seed(3)).unwrap();
    let settings = vec![serde_json::from_str(r#"{"embedding_dim": 16}"#).unwrap()];
    let candidates = vec![Candidate { kind: "ials".into(), settings, most_items: None }];
    let goal = Goal { candidates, max_epochs: 12, ..Goal::default() };
    let teacher = train(&data, &goal).unwrap();
    let codes = r#"{"n_codebooks": 8, "n_codewords": 16}"#;
    let itq = r#"{"rotation_rounds": 10}"#;
    // LightRec's items leave the teacher's space while they learn, and no linear map follows them all the way; by chance it would be 2.
    let kinds =
        [("rvq", codes, 12), ("pq", codes, 12), ("opq", codes, 12), ("light-rec", codes, 5), ("signs", itq, 10)];
    for (kind, settings, least) in kinds {
        let settings = serde_json::from_str(settings).unwrap();
        let small = distil(&teacher, &data, kind, &settings, &goal).unwrap();
        // The teacher's vectors of twenty items, as if they were new: each should stand near the item that it is.
        let vectors = teacher.model().factors().unwrap().index();
        let n = 20;
        let mut new = vec![0.0; n * vectors.dim()];
        for (item, row) in (0..).map(ItemId).zip(new.chunks_exact_mut(vectors.dim())) {
            vectors.item_vector_into(item, row).unwrap();
        }
        let names: Vec<String> = (0..n).map(|item| format!("new {item}")).collect();
        let later = small.with_items(&names, &new).unwrap();
        let found = (0..n).filter(|item| {
            let own = small.items().ids().name(*item as u32).unwrap();
            later.similar(&names[*item], 10).unwrap().iter().any(|one| one.item == own)
        });
        let found = found.count();
        assert!(found >= least, "{kind}: {found} of {n} find themselves among ten of 100, expected {least}");
    }
}
