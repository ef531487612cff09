//! A small shop.

use rectify::{Catalogue, IdMap, People, Recommender};
use rectify_core::ItemId;

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
