//! Search on a device against search on the processor: the same ids and bits, on fresh random data around the edges of blocks.
//!
//! Where there is a GPU the tests run on it, and on the emulated one too; elsewhere on the emulated one alone.
#![cfg(feature = "cuda")]
#![expect(clippy::unwrap_used, reason = "a failure here is the message")]
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use rectify_core::artifact::{ArtifactWriter, Overwrite};
use rectify_core::rng::Seed;
use rectify_core::{Index, ItemFilter, ItemId, Retriever, TopK};
use rectify_cuda::testing::{check_ptx, devices, fresh_seed};

use rectify_forest::device::SOURCE;
use rectify_forest::{Candidates, ForestIndex, PreferenceShape, SearchConfig, Tree};

fn skip(why: &str) {
    eprintln!("{why}");
}

#[test]
fn the_kernel_becomes_ptx_for_hopper() {
    check_ptx(&[&SOURCE], skip);
}

fn odd_shape() -> PreferenceShape {
    PreferenceShape { embedding_dim: 5, windows: vec![1, 2, 4], attention_dim: 7, layers: vec![17, 3] }
}

/// Random trees with random models, as a file holds them.
fn random_forest(seed: u64, n_items: usize, shape: &PreferenceShape, search: SearchConfig) -> ForestIndex {
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
    let mut writer = ArtifactWriter::new("forest-index", 1);
    writer.config(&serde_json::json!({ "n_items": n_items, "n_trees": 2, "search": search, "shape": shape }));
    for (t, codes) in codes.iter().enumerate() {
        writer.array(&format!("tree{t}/leaf_codes"), &[n_items], codes);
    }
    for (name, size, values) in &arrays {
        writer.array(name, size, values);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forest");
    writer.save(&path, Overwrite::Refuse).unwrap();
    ForestIndex::open(&path).unwrap()
}

#[test]
fn beams_give_the_lists_of_the_processor() {
    for gpu in devices(skip) {
        for (n_items, shape, search) in [
            (1, odd_shape(), SearchConfig::default()),
            (33, odd_shape(), SearchConfig { beam_width: 4, candidates: Candidates::TopK }),
            (300, odd_shape(), SearchConfig { beam_width: 20, candidates: Candidates::Beam }),
            (150, PreferenceShape::default(), SearchConfig { beam_width: 8, candidates: Candidates::TopK }),
        ] {
            let seed = fresh_seed();
            let mut rng = Seed(seed).rng();
            let forest = random_forest(seed, n_items, &shape, search);
            let on_device = forest.on_device(&gpu).unwrap();
            let histories: Vec<Vec<ItemId>> =
                [0, 1, 7, 80].iter().map(|n| (0..*n).map(|_| ItemId(rng.below(n_items as u32))).collect()).collect();
            let queries: Vec<&[ItemId]> = histories.iter().map(Vec::as_slice).collect();
            let seen: Vec<ItemId> = (0..n_items as u32).step_by(3).map(ItemId).collect();
            for filter in [ItemFilter::all(), ItemFilter::seen(&seen).unwrap()] {
                for k in [0, 3, 10] {
                    let (mut got, mut want) = (vec![TopK::new(); 4], vec![TopK::new(); 4]);
                    on_device.top_k_batch(&queries, k, &[filter], &mut got).unwrap();
                    forest.top_k_batch(&queries, k, &[filter], &mut want).unwrap();
                    assert_eq!(got, want, "seed {seed}, {n_items} items, k {k}");
                }
            }
            let unknown = [ItemId(n_items as u32)];
            assert!(on_device.top_k(&unknown, 1, &ItemFilter::all(), &mut TopK::new()).is_err());
        }
    }
}
