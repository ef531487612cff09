//! Item-based collaborative filtering: people who took this also took that.

mod config;

pub use config::{ItemCfConfig, Similarity};

use rayon::prelude::*;
use rectify_core::{Hit, ItemId, Provenance, TopK};
use rectify_data::Interactions;

use super::FitError;
use super::co_counts::CoCounts;
pub use crate::serve::{ItemCf, ItemNeighbours};

const MODEL: &str = "item-cf";

/// Finds each item's `n_neighbours` most similar ones (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004).
///
/// Only positive similarities count, no item is its own neighbour, and ties go to the lower id. The same for any number of
/// threads.
///
/// # Errors
/// [`FitError::Config`]; [`FitError::Empty`] without any interaction.
pub fn fit(train: &Interactions, config: &ItemCfConfig) -> Result<ItemCf, FitError> {
    config.validate()?;
    FitError::check_not_empty(train)?;
    let counts = train.item_counts();
    let nearest = |scratch: &mut CoCounts, item: u32| {
        let item = ItemId(item);
        scratch.count(train, item);
        let hits = scratch.iter().filter(|(other, _)| *other != item).filter_map(|(other, shared)| {
            let (n_i, n_j) = (counts[item.index()], counts[other.index()]);
            let similarity = config.similarity.of(shared, n_i, n_j, train.n_users()) as f32;
            (similarity > 0.0).then(|| Hit::new(other, similarity))
        });
        let mut best = TopK::new();
        best.assign(config.n_neighbours, hits);
        let mut best = best.hits().to_vec();
        best.sort_unstable_by_key(|hit| hit.item);
        best
    };
    let items = (0..train.n_items() as u32).into_par_iter().with_min_len(16);
    let rows: Vec<Vec<Hit>> = items.map_init(|| CoCounts::new(train.n_items()), nearest).collect();
    let neighbours = ItemNeighbours::from_rows(rows).expect("neighbours are items of the data");
    Ok(ItemCf::new(super::histories(train), neighbours, Provenance::new(MODEL, config))
        .expect("histories hold the data's items"))
}

#[cfg(test)]
mod tests {
    use rectify_core::{Scorer, UserId, testing};

    use super::*;
    use crate::learn::fixture;

    #[test]
    fn pearson_and_cosine_of_two_columns_are_the_worked_example() {
        // (1,1,0,0,1) and (1,0,0,0,1): 0.6666667 and 0.8164966.
        let train = Interactions::from_pairs(5, 2, &[(0, 0), (1, 0), (4, 0), (0, 1), (4, 1)]).unwrap();
        for (similarity, want) in [(Similarity::Pearson, 0.666_666_7), (Similarity::Cosine, 0.816_496_6)] {
            let model = fit(&train, &ItemCfConfig { similarity, n_neighbours: 5 }).unwrap();
            let row: Vec<Hit> = model.index().neighbours(ItemId(0)).unwrap().collect();
            assert!(row.len() == 1 && row[0].item == ItemId(1) && (row[0].score - want).abs() < 1e-6, "{row:?}");
        }
    }

    #[test]
    fn with_every_neighbour_kept_the_score_is_the_plain_sum_over_the_history() {
        let train = fixture::clusters(60, 40);
        let columns: Vec<Vec<f64>> = (0..40)
            .map(|i| (0..60).map(|u| f64::from(u8::from(train.contains(UserId(u), ItemId(i))))).collect())
            .collect();
        let pearson = |a: &[f64], b: &[f64]| {
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
            let (ma, mb) = (mean(a), mean(b));
            let cov =
                |x: &[f64], mx: f64, y: &[f64], my: f64| x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>();
            cov(a, ma, b, mb) / (cov(a, ma, a, ma) * cov(b, mb, b, mb)).sqrt()
        };
        let config = ItemCfConfig { similarity: Similarity::Pearson, n_neighbours: 40 };
        let model = fit(&train, &config).unwrap();
        let mut out = [0.0; 40];
        for user in [0, 31, 59] {
            model.score_all_into(&UserId(user), &mut out).unwrap();
            for i in 0..40 {
                let want: f64 = train
                    .items_of(UserId(user))
                    .iter()
                    .filter(|a| a.index() != i)
                    .map(|a| pearson(&columns[a.index()], &columns[i]))
                    .filter(|s| *s > 0.0)
                    .sum();
                assert!((f64::from(out[i]) - want).abs() < 1e-5, "user {user} item {i}: {} {want}", out[i]);
            }
        }
    }

    #[test]
    fn the_neighbourhood_holds_the_most_similar_items() {
        let train = fixture::clusters(60, 40);
        let all = fit(&train, &ItemCfConfig { n_neighbours: 40, ..ItemCfConfig::default() }).unwrap();
        let few = fit(&train, &ItemCfConfig { n_neighbours: 3, ..ItemCfConfig::default() }).unwrap();
        for item in (0..40).map(ItemId) {
            let mut want: Vec<Hit> = all.index().neighbours(item).unwrap().collect();
            want.sort();
            want.truncate(3);
            want.sort_by_key(|hit| hit.item);
            assert_eq!(few.index().neighbours(item).unwrap().collect::<Vec<_>>(), want);
        }
        assert!(all.index().neighbours(ItemId(40)).is_err());
    }

    #[test]
    fn an_item_that_everybody_has_correlates_with_nothing() {
        let train = Interactions::from_pairs(3, 2, &[(0, 0), (1, 0), (2, 0), (1, 1)]).unwrap();
        let config = ItemCfConfig { similarity: Similarity::Pearson, ..ItemCfConfig::default() };
        assert_eq!(fit(&train, &config).unwrap().index().neighbours(ItemId(0)).unwrap().count(), 0);
    }

    #[test]
    fn item_cf_keeps_every_promise_for_users_with_and_without_items() {
        let train = fixture::clusters(60, 40);
        let model = fit(&train, &ItemCfConfig::default()).unwrap();
        let users = [&UserId(0), &fixture::EMPTY_USER];
        testing::scorer(&model, &users);
        testing::scorer_refuses(&model, &UserId(60));
        testing::retriever(&model, &users, &testing::Oracle::scorer(&model));
        testing::index(&model, &users);
        assert_eq!(model.provenance().settings["n_neighbours"], 100);
        let mut out = [1.0; 40];
        model.score_all_into(&fixture::EMPTY_USER, &mut out).unwrap();
        assert_eq!(out, [0.0; 40]);
    }

    #[test]
    fn files_are_the_same_for_any_number_of_threads_and_answer_the_same() {
        let train = fixture::clusters(300, 200);
        fixture::same_file_for_any_threads(|| fit(&train, &ItemCfConfig::default()).unwrap());
    }

    #[test]
    fn bad_settings_and_empty_data_are_named() {
        let train = fixture::clusters(60, 40);
        let error = fit(&train, &ItemCfConfig { n_neighbours: 0, ..ItemCfConfig::default() }).unwrap_err();
        assert_eq!(error.to_string(), "item-cf: n_neighbours is 0, expected at least 1");
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        assert!(matches!(fit(&empty, &ItemCfConfig::default()), Err(FitError::Empty { n_users: 2, n_items: 3 })));
        let unknown = serde_json::from_str::<ItemCfConfig>(r#"{"neighbours": 3}"#).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `neighbours`"), "{unknown}");
    }
}
