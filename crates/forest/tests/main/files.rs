//! Files of earlier versions, and a forest within a file of something else.

use rectify_core::artifact::{Artifact, ArtifactWriter, Overwrite};
use rectify_core::{ForUsers, Histories, Index, ItemFilter, ItemId, Provenance, QueryError, Retriever, TopK, UserId};
use rectify_forest::{ForestIndex, SearchConfig};
use serde_json::{Value, json};

use crate::random::{config, odd_shape, random_forest, write_trees};

const N_ITEMS: usize = 33;

fn search() -> SearchConfig {
    SearchConfig { beam_width: 6, ..SearchConfig::default() }
}

/// A file as version 1 wrote it: the histories of two users before a forest.
fn version_1(config: &Value, offsets: &[u64]) -> (tempfile::TempDir, std::path::PathBuf) {
    let mut writer = ArtifactWriter::new("forest-for-users", 1);
    writer.config(config);
    let items = [4, 30, 2].map(ItemId);
    writer.array("histories/offsets", &[offsets.len()], offsets).array("histories/items", &[3], &items);
    write_trees(7, N_ITEMS, &odd_shape(), &mut writer);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    writer.save(&path, Overwrite::Refuse).unwrap();
    (folder, path)
}

fn list(retriever: &impl Retriever<Query = [ItemId]>, history: &[ItemId]) -> TopK {
    let mut top = TopK::new();
    retriever.top_k(history, 5, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(top.hits().len(), 5);
    top
}

#[test]
fn a_file_of_version_1_opens_and_is_saved_as_version_2() {
    let forest = config(N_ITEMS, &odd_shape(), search());
    let (folder, path) = version_1(&json!({ "forest": forest, "n_users": 2, "n_history_items": 3 }), &[0, 2, 3]);
    let users: ForUsers<Histories, ForestIndex> = ForUsers::open(&path).unwrap();
    assert_eq!((users.provenance(), users.n_users()), (&Provenance::default(), 2));
    assert_eq!(
        (users.user(UserId(0)).unwrap(), users.user(UserId(1)).unwrap()),
        (&[4, 30].map(ItemId)[..], &[ItemId(2)][..])
    );
    assert_eq!(users.index().search_config(), search());
    let unknown = QueryError::UnknownUser { user: UserId(2), n_users: 2 };
    let mut top = TopK::new();
    assert_eq!(users.top_k(&UserId(2), 5, &ItemFilter::all(), &mut top), Err(unknown));
    users.top_k(&UserId(0), 5, &ItemFilter::all(), &mut top).unwrap();
    assert_eq!(top, list(&random_forest(7, N_ITEMS, &odd_shape(), search()), &[4, 30].map(ItemId)));

    let again = folder.path().join("again");
    users.save(&again, Overwrite::Refuse).unwrap();
    let (old, new) = (Artifact::open_any(&path).unwrap(), Artifact::open_any(&again).unwrap());
    assert_eq!((new.kind(), new.version()), ("forest-for-users", 2));
    assert!(old.arrays().eq(new.arrays()), "the same arrays");
    assert_eq!(new.config::<Value>().unwrap(), forest);
}

#[test]
fn a_file_of_version_1_whose_numbers_disagree_is_refused_by_field() {
    let of = |n_users: usize, n_history_items: usize, offsets: &[u64]| {
        let forest = config(N_ITEMS, &odd_shape(), search());
        let said = json!({ "forest": forest, "n_users": n_users, "n_history_items": n_history_items });
        let (_folder, path) = version_1(&said, offsets);
        ForUsers::<Histories, ForestIndex>::open(&path).unwrap_err().to_string()
    };
    let text = of(3, 3, &[0, 2, 3]);
    assert!(text.contains("histories/offsets: array has shape [3], expected [4]"), "{text}");
    let text = of(2, 4, &[0, 2, 3]);
    assert!(text.contains("histories/items: array has shape [3], expected [4]"), "{text}");
    let text = of(2, 3, &[0, 2, 1]);
    assert!(text.contains("histories/offsets: do not rise at position 2"), "{text}");
}

#[test]
fn a_forest_lies_under_a_prefix_of_another_file() {
    let forest = random_forest(7, N_ITEMS, &odd_shape(), search());
    let mut writer = ArtifactWriter::new("shop", 1);
    forest.write(&mut writer, "index/");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop");
    writer.save(&path, Overwrite::Refuse).unwrap();
    let read = ForestIndex::read(&Artifact::open(&path, "shop", 1).unwrap(), "index/").unwrap();
    assert_eq!(read.validate(), []);
    assert_eq!(list(&read, &[ItemId(9)]), list(&forest, &[ItemId(9)]));
}
