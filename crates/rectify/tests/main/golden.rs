//! Files of version 1, kept in `tests/golden`: they open, answer as ever, and are written again byte for byte.
//!
//! After a change of the format that is meant: `RECTIFY_WRITE_GOLDEN=1 cargo test --workspace golden`, and a new version.

use std::path::PathBuf;

use rectify::{Overwrite, Provenance, Recommender};
use rectify_cascade::{CascadeIndex, CascadeParts, ModuleParts, Rejection};
use rectify_core::{ForUsers, Histories, Hit, ItemId};
use rectify_hashing::{BinaryCodes, BinaryFactors, HammingIndex};
use rectify_quantize::Composition;
use rectify_teachers::{EaseWeights, ItemNeighbours};

use crate::common::{coded, of_kind, saved, shop, values};

/// Opens the golden file, asks it and `model` the same, and compares the bytes of both.
#[track_caller]
fn golden(name: &str, model: &Recommender, user: &str, liked: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect();
    if std::env::var_os("RECTIFY_WRITE_GOLDEN").is_some() {
        model.save(&path, Overwrite::Replace).unwrap();
    }
    let golden = Recommender::open(&path).unwrap();
    assert_eq!(golden.recommend(user, 6).unwrap(), model.recommend(user, 6).unwrap());
    assert_eq!(golden.recommend_for(&[liked], 6).unwrap(), model.recommend_for(&[liked], 6).unwrap());
    let (_folder, written) = saved(model, name);
    assert!(std::fs::read(path).unwrap() == std::fs::read(written).unwrap(), "{name} is written otherwise today");
}

#[test]
fn vectors() {
    let shop = shop();
    assert_eq!(shop.items().name("SKU-04"), Some("Müsli"));
    golden("recommender-1.rectify", &shop, "anna", "SKU-05");
}

#[test]
fn codes() {
    golden("recommender-1-codes.rectify", &coded(Composition::Sum, 16), "u3", "item-9");
}

#[test]
fn bits() {
    let users = BinaryCodes::from_signs(&values(8 * 24), 24).unwrap();
    let items = HammingIndex::new(&BinaryCodes::from_signs(&values(70 * 24), 24).unwrap()).unwrap();
    let model = BinaryFactors::new(users, items, Provenance::default()).unwrap();
    golden("recommender-1-bits.rectify", &of_kind("signs", model), "u3", "item-9");
}

#[test]
fn histories() {
    let histories = || Histories::from_rows((0..8).map(|user| [ItemId(3 * user), ItemId(user)]));
    let weights = EaseWeights::new(values(24 * 24), 24).unwrap();
    let ease = ForUsers::new(histories(), weights, Provenance::default()).unwrap();
    golden("recommender-1-ease.rectify", &of_kind("ease", ease), "u3", "item-9");
    let rows = (0..24u32).map(|item| [Hit::new(ItemId((item + 1) % 24), 0.5), Hit::new(ItemId((item + 5) % 24), 0.25)]);
    let neighbours = ItemNeighbours::from_rows(rows).unwrap();
    let item_cf = ForUsers::new(histories(), neighbours, Provenance::default()).unwrap();
    golden("recommender-1-item-cf.rectify", &of_kind("item-cf", item_cf), "u3", "item-9");
}

#[test]
fn cascades() {
    let parts = CascadeParts {
        embedding_dim: 4,
        users: values(8 * 4).into(),
        items: values(40 * 4).into(),
        modules: vec![ModuleParts { decision: values(4), bias: -0.5, weight: values(16) }],
        score: values(8),
        score_bias: 0.25,
    };
    let index = CascadeIndex::new(parts, Rejection::learned(1)).unwrap();
    golden("recommender-1-cascade.rectify", &of_kind("hdn", index), "u3", "item-9");
}
