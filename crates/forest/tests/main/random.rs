//! Random forests, written by hand: names and shapes of arrays are those that files of every version have.

use rectify_core::Index;
use rectify_core::artifact::{ArtifactWriter, Overwrite};
use rectify_core::rng::Seed;
use rectify_forest::{ForestIndex, PreferenceShape, SearchConfig, Tree};

pub(crate) fn odd_shape() -> PreferenceShape {
    PreferenceShape { embedding_dim: 5, windows: vec![1, 2, 4], attention_dim: 7, layers: vec![17, 3] }
}

/// Adds two random trees with random models to a file, as a forest's own arrays.
pub(crate) fn write_trees(seed: u64, n_items: usize, shape: &PreferenceShape, writer: &mut ArtifactWriter<'_>) {
    let mut rng = Seed(seed).stream("models").rng();
    let trees = ["first", "second"].map(|name| Tree::random(n_items, Seed(seed).stream(name)).unwrap());
    let (e, a) = (shape.embedding_dim, shape.attention_dim);
    let mut arrays: Vec<(String, [usize; 2], Vec<f32>)> = Vec::new();
    let codes: Vec<Vec<u32>> = trees.iter().map(Tree::leaf_codes).collect();
    for (t, tree) in trees.iter().enumerate() {
        let last = *shape.layers.last().unwrap();
        let mut sizes = vec![
            ("nodes".to_owned(), [tree.layout().n_nodes(), e]),
            ("attention/history".to_owned(), [e, a]),
            ("attention/product".to_owned(), [e, a]),
            ("attention/node".to_owned(), [e, a]),
            ("attention/bias".to_owned(), [1, a]),
            ("attention/slope".to_owned(), [1, a]),
            ("attention/out".to_owned(), [1, a]),
            ("attention/out_bias".to_owned(), [1, 1]),
            ("head/weight".to_owned(), [1, last]),
            ("head/bias".to_owned(), [1, 1]),
        ];
        let mut inputs = (shape.windows.len() + 1) * e;
        for (l, outputs) in shape.layers.iter().enumerate() {
            sizes.push((format!("layer{}/weight", l + 1), [inputs, *outputs]));
            sizes.push((format!("layer{}/bias", l + 1), [1, *outputs]));
            sizes.push((format!("layer{}/slope", l + 1), [1, *outputs]));
            inputs = *outputs;
        }
        for (name, size) in sizes {
            let std = if name == "nodes" { 0.5 } else { 1.0 / (size[0] as f64).sqrt() };
            let values = (0..size[0] * size[1]).map(|_| (std * rng.normal()) as f32).collect();
            arrays.push((format!("tree{t}/{name}"), size, values));
        }
    }
    for (t, codes) in codes.iter().enumerate() {
        writer.array_owned(&format!("tree{t}/leaf_codes"), &[n_items], codes);
    }
    for (name, size, values) in &arrays {
        writer.array_owned(name, size, values);
    }
}

/// What a forest's file says of two such trees.
pub(crate) fn config(n_items: usize, shape: &PreferenceShape, search: SearchConfig) -> serde_json::Value {
    serde_json::json!({ "n_items": n_items, "n_trees": 2, "search": search, "shape": shape })
}

/// Random trees with random models, as a file holds them.
pub(crate) fn random_forest(seed: u64, n_items: usize, shape: &PreferenceShape, search: SearchConfig) -> ForestIndex {
    let mut writer = ArtifactWriter::new("forest-index", 1);
    writer.config(&config(n_items, shape, search));
    write_trees(seed, n_items, shape, &mut writer);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forest");
    writer.save(&path, Overwrite::Refuse).unwrap();
    ForestIndex::open(&path).unwrap()
}
