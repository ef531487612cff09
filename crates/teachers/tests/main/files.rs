//! Files of older layouts open and answer as they did.

use std::path::Path;

use rectify_core::artifact::{Artifact, ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemId, Provenance, Scorer, UserId};
use rectify_teachers::{Ease, ItemCf};

/// What users 0 and 2 have; user 1 has nothing.
const OFFSETS: [u64; 4] = [0, 2, 2, 3];
const ITEMS: [ItemId; 3] = [ItemId(0), ItemId(2), ItemId(1)];

fn scores(model: &dyn Scorer<Query = UserId>, user: u32) -> Vec<f32> {
    let mut out = vec![f32::NAN; model.n_items()];
    model.score_all_into(&UserId(user), &mut out).unwrap();
    out
}

/// Saves what was opened in the newest layout, which must open, too.
fn resaved<M: Index>(model: &M, path: &Path) -> M {
    model.save(path, Overwrite::Replace).unwrap();
    assert_eq!(Artifact::open_any(path).unwrap().version(), 2);
    M::open(path).unwrap()
}

#[test]
fn a_file_of_the_first_layout_of_ease_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ease");
    let settings = serde_json::json!({"l2": 10.0, "memory_limit_bytes": 1024});
    let mut writer = ArtifactWriter::new("ease", 1);
    writer.config(&settings).array("weights", &[3, 3], &[0.0f32, 0.5, 0.25, 1.0, 0.0, 2.0, 4.0, 8.0, 0.0]);
    writer.array("history.offsets", &[4], &OFFSETS).array("history.items", &[3], &ITEMS);
    writer.save(&path, Overwrite::Refuse).unwrap();

    let opened = Ease::open(&path).unwrap();
    for model in [opened.clone(), resaved(&opened, &path)] {
        assert_eq!(
            [0, 1, 2].map(|user| scores(&model, user)),
            [vec![4.0, 8.5, 0.25], vec![0.0; 3], vec![1.0, 0.0, 2.0]]
        );
        assert_eq!(model.provenance(), &Provenance::new("ease", &settings));
        assert_eq!(model.user(UserId(0)).unwrap(), [ItemId(0), ItemId(2)]);
    }
}

#[test]
fn a_file_of_the_first_layout_of_item_cf_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("item-cf");
    let settings = serde_json::json!({"similarity": "cosine", "n_neighbours": 2});
    let mut writer = ArtifactWriter::new("item-cf", 1);
    writer.config(&settings).array("offsets", &[4], &[0u64, 1, 3, 4]);
    writer.array("neighbours", &[4], &[ItemId(2), ItemId(0), ItemId(2), ItemId(1)]);
    writer.array("similarities", &[4], &[0.5f32, 0.25, 0.125, 1.0]);
    writer.array("history.offsets", &[4], &OFFSETS).array("history.items", &[3], &ITEMS);
    writer.save(&path, Overwrite::Refuse).unwrap();

    let opened = ItemCf::open(&path).unwrap();
    for model in [opened.clone(), resaved(&opened, &path)] {
        assert_eq!(
            [0, 1, 2].map(|user| scores(&model, user)),
            [vec![0.0, 1.0, 0.5], vec![0.0; 3], vec![0.25, 0.0, 0.125]]
        );
        assert_eq!(model.provenance().settings, settings);
    }
}

#[test]
fn a_file_without_its_histories_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ease");
    let mut writer = ArtifactWriter::new("ease", 1);
    writer.config(&serde_json::json!({})).array("weights", &[1, 1], &[0.0f32]);
    writer.array("history.offsets", &[2], &[0u64, 0]);
    writer.save(&path, Overwrite::Refuse).unwrap();
    let error = Ease::open(&path).unwrap_err().to_string();
    assert!(error.contains("histories/items: array is missing"), "{error}");
}
