//! Files: of the version before, and several indexes in one.

use rectify_core::artifact::{Artifact, ArtifactWriter};
use rectify_core::rng::Seed;
use rectify_quantize::{
    CodeIndex, CodedFactors, Composition, Index, InvertedIndex, ItemFilter, Overwrite, Provenance, Retriever, Scorer,
    TopK, UserId,
};

use crate::conformance::{random_index, random_queries, shape};

#[test]
fn users_with_coded_items_of_version_1_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes");
    // One codebook of two codewords, stored dimension by dimension; two codes share a byte.
    let mut writer = ArtifactWriter::new("coded-factors", 1);
    writer.config(&serde_json::json!({
        "items": {
            "shape": {"embedding_dim": 2, "n_codebooks": 1, "n_codewords": 2, "composition": "sum"},
            "n_items": 3,
        }
    }));
    writer.array("users", &[2, 2], &[2.0f32, -1.0, -1.0, 3.0]);
    writer.array("codes", &[3], &[0u8, 1, 1]).array("codebooks", &[1, 2, 2], &[1.0f32, 10.0, 0.0, 20.0]);
    writer.save(&path, Overwrite::Refuse).unwrap();

    let model = CodedFactors::open(&path).unwrap();
    assert_eq!(model.provenance(), &Provenance::default());
    assert_eq!((model.index().codes(), model.index().codebooks()), (vec![0, 1, 1], vec![1.0, 0.0, 10.0, 20.0]));
    let mut scores = [0.0; 3];
    model.score_all_into(&UserId(1), &mut scores).unwrap();
    assert_eq!(scores, [-1.0, 50.0, 50.0]);

    // Saved again it is of the newest version, with the same arrays.
    let again = folder.path().join("again");
    model.save(&again, Overwrite::Refuse).unwrap();
    let file = Artifact::open_any(&again).unwrap();
    assert_eq!((file.kind(), file.version()), ("coded-factors", 2));
    let arrays: Vec<(&str, &[usize])> = file.arrays().collect();
    assert_eq!(arrays, [("codebooks", &[1, 2, 2][..]), ("codes", &[3]), ("users", &[2, 2])]);
    let opened = CodedFactors::open(&again).unwrap();
    assert_eq!((opened.users(), opened.index().codes()), (model.users(), model.index().codes()));
}

#[test]
fn users_of_another_width_than_their_items_are_refused_by_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes");
    let mut writer = ArtifactWriter::new("coded-factors", 1);
    let shape = serde_json::json!({"embedding_dim": 1, "n_codebooks": 1, "n_codewords": 2, "composition": "sum"});
    writer.config(&serde_json::json!({"items": {"shape": shape, "n_items": 1}}));
    writer.array("users", &[1, 2], &[2.0f32, -1.0]);
    writer.array("codes", &[1], &[0u8]).array("codebooks", &[1, 1, 2], &[1.0f32, 10.0]);
    writer.save(&path, Overwrite::Refuse).unwrap();
    let refused = CodedFactors::open(&path).unwrap_err().to_string();
    assert!(refused.contains("users: array has shape [1, 2], expected [n_users, 1]"), "{refused}");
}

#[test]
fn two_indexes_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both");
    let codes = random_index(3, 70, shape(3, 32, Composition::Sum), 70);
    let lists = InvertedIndex::new(&random_index(4, 90, shape(2, 8, Composition::Product), 90), 2).unwrap();
    let mut writer = ArtifactWriter::new("a pair of indexes", 1);
    codes.write(&mut writer, "a/");
    lists.write(&mut writer, "b/");
    writer.save(&path, Overwrite::Refuse).unwrap();

    let file = Artifact::open(&path, "a pair of indexes", 1).unwrap();
    let opened = (CodeIndex::read(&file, "a/").unwrap(), InvertedIndex::read(&file, "b/").unwrap());
    assert!(opened.0.validate().is_empty() && opened.1.validate().is_empty());
    assert_eq!((opened.0.codes(), opened.1.n_probes()), (codes.codes(), 2));
    let query = &random_queries(Seed(1).0, 1, 6)[0];
    let (mut got, mut want) = (TopK::new(), TopK::new());
    opened.1.top_k(query, 20, &ItemFilter::all(), &mut got).unwrap();
    lists.top_k(query, 20, &ItemFilter::all(), &mut want).unwrap();
    assert_eq!(got, want);
}
