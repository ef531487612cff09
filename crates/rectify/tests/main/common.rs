//! Small recommenders, whose numbers are the same on every machine.

use std::path::PathBuf;

use rectify::{Catalogue, IdMap, Kinds, Overwrite, People, Provenance, Recommender};
use rectify_core::{ItemId, UserVectors};
use rectify_models::Model;
use rectify_quantize::{CodeIndex, CodeShape, CodedFactors, Composition};

/// Six items in three categories; users "anna" and "boris" with what they have.
pub(crate) fn shop() -> Recommender {
    let items = Catalogue::new(["SKU-01", "SKU-02", "SKU-03", "SKU-04", "SKU-05", "SKU-06"])
        .unwrap()
        .with_names(["Tea", "Coffee", "Cup", "Müsli", "Bread", "茶"].map(String::from).into())
        .unwrap()
        .with_categories(&[
            vec!["drink"],
            vec!["drink"],
            vec!["ware"],
            vec!["food"],
            vec!["food"],
            vec!["drink", "new"],
        ])
        .unwrap()
        .with_popularity(vec![9, 8, 7, 6, 5, 4])
        .unwrap();
    let people =
        People::new(IdMap::from_names(["anna", "boris"]).unwrap(), [vec![ItemId(1), ItemId(0)], vec![ItemId(4)]]);
    // Drinks point one way, food the other.
    let vectors = vec![1.0, 0.1, 0.9, 0.2, 0.5, 0.5, 0.1, 0.8, 0.2, 1.0, 0.8, 0.0];
    Recommender::from_vectors(items, vectors, people.unwrap(), vec![1.0, 0.0, 0.1, 1.0], 2).unwrap()
}

/// The ids of a list.
pub(crate) fn ids(list: &[rectify::Recommendation]) -> Vec<&str> {
    list.iter().map(|one| one.item.as_str()).collect()
}

/// `n` numbers from -1 to 1 in steps that every machine has exactly.
pub(crate) fn values(n: usize) -> Vec<f32> {
    (0..n).map(|x| ((x * 37 + x * x * 11) % 129) as f32 / 64.0 - 1.0).collect()
}

/// A model of a kind with eight users, `u0` to `u7`, and items `item-0`, `item-1`, …
pub(crate) fn of_kind(kind: &str, model: impl Model + 'static) -> Recommender {
    let people = IdMap::from_names((0..8).map(|user| format!("u{user}"))).unwrap();
    let people = People::new(people, (0..8).map(|user| [ItemId(user), ItemId(3 * user)])).unwrap();
    let n_items = model.answers().scorer.n_items();
    let items = Catalogue::new((0..n_items).map(|item| format!("item-{item}"))).unwrap();
    let kind = *Kinds::builtin().get(kind).unwrap();
    Recommender::new(kind, Box::new(model), items, people, Provenance::default()).unwrap()
}

/// 150 items of four codes.
pub(crate) fn coded(composition: Composition, n_codewords: usize) -> Recommender {
    let shape = CodeShape { embedding_dim: 8, n_codebooks: 4, n_codewords, composition };
    let codebooks = values(4 * n_codewords * shape.codeword_dim());
    let codes: Vec<u8> = (0..150 * 4).map(|x| (x * x * 7 % n_codewords) as u8).collect();
    let index = CodeIndex::from_codes(shape, &codebooks, &codes).unwrap();
    let users = UserVectors::new(values(8 * 8), 8).unwrap();
    of_kind("rvq", CodedFactors::new(users, index, Provenance::default()).unwrap())
}

/// A file of a recommender, in a folder that goes with it.
pub(crate) fn saved(model: &Recommender, name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    model.save(&path, Overwrite::Refuse).unwrap();
    (folder, path)
}
