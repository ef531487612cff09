//! What it is asked, and what it refuses.

use rectify::{RecommendError, RidgeConfig};

use crate::common::{ids, shop};

#[test]
fn known_users_get_what_they_do_not_have() {
    let shop = shop();
    assert_eq!(ids(&shop.recommend("anna", 2).unwrap()), ["SKU-06", "SKU-03"]);
    assert_eq!(ids(&shop.recommend("boris", 9).unwrap()), ["SKU-04", "SKU-03", "SKU-02", "SKU-01", "SKU-06"]);
    let all = shop.filter().include_seen();
    assert_eq!(ids(&shop.recommend_with("anna", 2, &all).unwrap()), ["SKU-01", "SKU-02"]);
}

#[test]
fn filters_work_inside_the_search() {
    let shop = shop();
    let drinks = shop.filter().category("drink").unwrap();
    assert_eq!(ids(&shop.recommend_with("boris", 5, &drinks).unwrap()), ["SKU-02", "SKU-01", "SKU-06"]);
    let new_drinks = shop.filter().category("drink").unwrap().category("new").unwrap();
    assert_eq!(ids(&shop.recommend_with("boris", 5, &new_drinks).unwrap()), ["SKU-06"]);
    let few = shop.filter().allow(["SKU-02", "SKU-03"]).unwrap().deny(["SKU-03"]).unwrap();
    assert_eq!(ids(&shop.recommend_with("boris", 5, &few).unwrap()), ["SKU-02"]);
    let text = shop.filter().category("drinks").unwrap_err().to_string();
    assert!(text.contains("did you mean 'drink'"), "{text}");
}

#[test]
fn new_people_are_asked_for_by_what_they_liked() {
    let shop = shop();
    assert_eq!(ids(&shop.recommend_for(&["SKU-01"], 2).unwrap()), ["SKU-02", "SKU-06"]);
    assert_eq!(ids(&shop.recommend_for(&["SKU-05"], 1).unwrap()), ["SKU-04"]);
    // Neither order nor repetition of likes matters to vectors.
    let (a, b) = (["SKU-05", "SKU-03"], ["SKU-03", "SKU-05", "SKU-03"]);
    assert_eq!(shop.recommend_for(&a, 3).unwrap(), shop.recommend_for(&b, 3).unwrap());
    assert_eq!(shop.recommend_for::<&str>(&[], 2).unwrap().len(), 2);
}

#[test]
fn similar_items_are_near_by_angle_and_not_the_item_itself() {
    let shop = shop();
    assert_eq!(ids(&shop.similar("SKU-05", 2).unwrap()), ["SKU-04", "SKU-03"]);
    let list = shop.similar("SKU-01", 9).unwrap();
    assert_eq!(list.len(), 5);
    assert!(list.iter().all(|one| one.item != "SKU-01" && one.score <= 1.0 + 1e-6));
}

#[test]
fn many_people_get_the_lists_that_each_would_get() {
    let shop = shop();
    let lists = shop.recommend_batch(&["boris", "anna", "boris"], 3, &shop.filter()).unwrap();
    assert_eq!(lists[0], shop.recommend("boris", 3).unwrap());
    assert_eq!(lists[1], shop.recommend("anna", 3).unwrap());
    assert_eq!(lists[2], lists[0]);
    assert!(shop.recommend_batch(&["boris", "nobody"], 3, &shop.filter()).is_err());
}

#[test]
fn unknown_ids_are_named_with_what_can_be_done() {
    let shop = shop();
    let said = |error: RecommendError| error.to_string();
    assert!(said(shop.recommend("carla", 1).unwrap_err()).contains("\"carla\" is unknown"));
    assert!(said(shop.recommend_for(&["SKU-99"], 1).unwrap_err()).contains("\"SKU-99\""));
    assert!(said(shop.score("anna", &["SKU-1"]).unwrap_err()).contains("\"SKU-1\""));
    assert!(said(shop.without_users().unwrap().recommend("anna", 1).unwrap_err()).contains("holds no people"));
}

#[test]
fn scores_are_inner_products() {
    let scores = shop().score("boris", &["SKU-05", "SKU-01"]).unwrap();
    assert!((scores[0] - 1.02).abs() < 1e-6 && (scores[1] - 0.2).abs() < 1e-6, "{scores:?}");
}

#[test]
fn what_people_did_since_moves_them_and_nobody_else() {
    let shop = shop();
    let later = shop.update([("anna", "SKU-05"), ("carla", "SKU-04"), ("carla", "SKU-05")]).unwrap();
    assert_eq!(later.n_users(), 3);
    assert_eq!(later.recommend("boris", 3).unwrap(), shop.recommend("boris", 3).unwrap());
    assert_eq!(ids(&later.recommend("carla", 9).unwrap())[0], "SKU-03");
    assert!(!ids(&later.recommend("anna", 9).unwrap()).contains(&"SKU-05"));
    // Carla is who `recommend_for` would have answered.
    assert_eq!(later.recommend("carla", 4).unwrap(), shop.recommend_for(&["SKU-04", "SKU-05"], 4).unwrap());
    assert!(shop.update([("anna", "SKU-77")]).is_err());
}

#[test]
fn settings_of_the_fold_in_are_checked() {
    let config = RidgeConfig { l2: -1.0, ..RidgeConfig::default() };
    assert!(shop().with_fold_in(config).unwrap_err().to_string().contains("fold-in: l2 is -1"));
}
