use rectify_core::artifact::{ArtifactWriter, Overwrite};
use rectify_core::{Index, ItemId, QueryError, Scorer, UserId};

use super::model::Parts;
use super::network::positions;
use super::{ConvNcf, ConvNcfConfig};

fn of_filter(filter: f32) -> ConvNcf {
    let config = ConvNcfConfig { embedding_dim: 2, channels: 1, ..ConvNcfConfig::default() };
    let parts = Parts {
        users: vec![1.0, 2.0].into(),
        items: vec![0.5, -1.0].into(),
        layers: vec![(vec![filter; 4].into(), vec![0.0].into())],
        output: vec![2.0].into(),
        bias: 0.25,
    };
    ConvNcf::from_parts(config, parts)
}

#[test]
fn the_forward_pass_is_that_of_the_worked_example() {
    // (1, 2) ⊗ (.5, -1) = [[.5, -1], [1, -2]], whose sum is -1.5; ReLU makes it 0.
    let score = |filter: f32| {
        let mut out = [0.0];
        of_filter(filter).score_all_into(&UserId(0), &mut out).unwrap();
        out
    };
    assert_eq!((score(1.0), score(-1.0)), ([0.25], [3.25]));
    // 32, 16, 8, 4, 2, 1.
    assert_eq!(ConvNcfConfig::default().layers(), [(4, 32), (128, 32), (128, 32), (128, 32), (128, 32)]);
    assert_eq!(positions(2), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    // The second patch of a 4 × 4 map is the upper right one.
    assert_eq!(positions(4)[4..8], [(0, 2), (0, 3), (1, 2), (1, 3)]);
}

#[test]
fn unknown_items_and_files_of_other_shapes_are_named() {
    let error = of_filter(1.0).score_into(&UserId(0), &[ItemId(1)], &mut [0.0]).unwrap_err();
    assert_eq!(error, QueryError::UnknownItem { item: ItemId(1), n_items: 1 });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let config = ConvNcfConfig { embedding_dim: 8, ..ConvNcfConfig::default() };
    let mut writer = ArtifactWriter::new("conv-ncf", 1);
    writer.config(&config).array("users", &[1, 4], &[1.0f32; 4]).array("items", &[1, 8], &[1.0f32; 8]);
    writer.save(&path, Overwrite::Refuse).unwrap();
    let error = ConvNcf::open(&path).unwrap_err().to_string();
    assert!(error.contains("users: array has shape [1, 4], expected [rows, 8]"), "{error}");
    let broken = of_filter(f32::NAN).validate();
    assert_eq!(broken[0].to_string(), "layers: value 0 is NaN, expected a finite number");
}
