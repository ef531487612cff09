//! Item-based collaborative filtering: people who took this also took that.

use std::path::Path;

use rayon::prelude::*;
use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{Hit, ItemId, QueryError, Scorer, Teacher, TopK, UserId, Violation, check_len};
use rectify_data::Interactions;
use serde::{Deserialize, Serialize};

use crate::co_counts::CoCounts;
use crate::history::{History, offsets_violations};
use crate::scores::pick;
use crate::{ConfigError, FitError};

const KIND: &str = "item-cf";
const VERSION: u32 = 1;

/// How alike two items are; `c` users share them, `n_i` and `n_j` have each, of `n` users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Similarity {
    /// `c / √(n_i n_j)`.
    #[default]
    Cosine,
    /// Pearson's correlation of the binary columns: `(n c − n_i n_j) / √(n_i (n − n_i) n_j (n − n_j))`; 0 if an item is had
    /// by everybody, which tells nothing.
    Pearson,
}

impl Similarity {
    /// The similarity of two items; 0 if nobody has one of them.
    ///
    /// ```
    /// use rectify_teachers::Similarity;
    ///
    /// // Columns (1,1,0,0,1) and (1,0,0,0,1).
    /// assert!((Similarity::Pearson.of(2, 3, 2, 5) - 2.0 / 3.0).abs() < 1e-12);
    /// assert!((Similarity::Cosine.of(2, 3, 2, 5) - (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
    /// ```
    #[must_use]
    pub fn of(self, shared: u32, n_i: u32, n_j: u32, n_users: usize) -> f64 {
        let (c, i, j, n) = (f64::from(shared), f64::from(n_i), f64::from(n_j), n_users as f64);
        let (covariance, variance) = match self {
            Self::Cosine => (c, i * j),
            Self::Pearson => (n * c - i * j, i * (n - i) * j * (n - j)),
        };
        if variance > 0.0 { covariance / variance.sqrt() } else { 0.0 }
    }
}

/// Settings of [`ItemCf`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemCfConfig {
    /// Measure of similarity. Default cosine.
    pub similarity: Similarity,
    /// Most similar items kept for each item, at least 1. Default 100; tune it (20 to 500).
    pub n_neighbours: usize,
}

impl Default for ItemCfConfig {
    fn default() -> Self {
        Self { similarity: Similarity::Cosine, n_neighbours: 100 }
    }
}

impl ItemCfConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.n_neighbours >= 1, KIND, "n_neighbours", "at least 1", self.n_neighbours)
    }
}

/// Item-based collaborative filtering (Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004).
///
/// `score(u, i) = Σ sim(a, i)` over the items a of the user that have i among their `n_neighbours` most similar. Only
/// positive similarities count, no item is its own neighbour, and ties go to the lower id. A user without items scores
/// everything 0.
///
/// Scoring some items costs as much as scoring all.
#[derive(Clone, Debug)]
pub struct ItemCf {
    config: ItemCfConfig,
    offsets: Array<u64>,
    neighbours: Array<ItemId>,
    similarities: Array<f32>,
    history: History,
}

impl ItemCf {
    /// Counts shared users and keeps the nearest items; the same for any number of threads.
    ///
    /// # Errors
    /// [`FitError::Config`]; [`FitError::Empty`] without any interaction.
    pub fn fit(train: &Interactions, config: &ItemCfConfig) -> Result<Self, FitError> {
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
        let mut offsets = vec![0];
        let (mut neighbours, mut similarities) = (Vec::new(), Vec::new());
        for row in &rows {
            neighbours.extend(row.iter().map(|hit| hit.item));
            similarities.extend(row.iter().map(|hit| hit.score));
            offsets.push(neighbours.len() as u64);
        }
        Ok(Self {
            config: config.clone(),
            offsets: offsets.into(),
            neighbours: neighbours.into(),
            similarities: similarities.into(),
            history: History::of(train),
        })
    }

    /// The settings it was fitted with.
    #[must_use]
    pub const fn config(&self) -> &ItemCfConfig {
        &self.config
    }

    /// Number of users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.history.n_users()
    }

    /// The neighbours of an item by ascending id, with their similarities.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`].
    pub fn neighbours(&self, item: ItemId) -> Result<impl Iterator<Item = Hit> + '_, QueryError> {
        if item.index() >= self.n_items() {
            return Err(QueryError::UnknownItem { item, n_items: self.n_items() });
        }
        Ok(self.row(item))
    }

    fn row(&self, item: ItemId) -> impl Iterator<Item = Hit> + '_ {
        let range = self.offsets[item.index()] as usize..self.offsets[item.index() + 1] as usize;
        let pairs = self.neighbours[range.clone()].iter().zip(&self.similarities[range]);
        pairs.map(|(&item, &score)| Hit { item, score })
    }

    /// Bytes of the arrays that answer queries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of_val(&*self.offsets)
            + size_of_val(&*self.neighbours)
            + size_of_val(&*self.similarities)
            + self.history.size_bytes()
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// As [`ArtifactWriter::save`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.config);
        writer.array("offsets", &[self.offsets.len()], &self.offsets);
        writer.array("neighbours", &[self.neighbours.len()], &self.neighbours);
        writer.array("similarities", &[self.similarities.len()], &self.similarities);
        self.history.write(&mut writer);
        writer.save(path, overwrite)
    }

    /// Maps a model that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file that is not such a model, or is damaged.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let (offsets, _) = artifact.array::<u64>("offsets")?;
        let (neighbours, _) = artifact.array::<ItemId>("neighbours")?;
        let similarities = artifact.array_shaped::<f32>("similarities", &[neighbours.len()])?;
        artifact.reject(offsets_violations("offsets", &offsets, neighbours.len()))?;
        let n_items = offsets.len() - 1;
        if let Some(at) = neighbours.iter().position(|item| item.index() >= n_items) {
            let problem = format!("position {at} names item {}, expected less than {n_items}", neighbours[at]);
            artifact.reject(vec![Violation { field: "neighbours".into(), problem }])?;
        }
        if let Some(at) = similarities.iter().position(|s| !s.is_finite()) {
            let problem = format!("position {at} is {}", similarities[at]);
            artifact.reject(vec![Violation { field: "similarities".into(), problem }])?;
        }
        let history = History::read(&artifact, n_items)?;
        Ok(Self { config: artifact.config()?, offsets, neighbours, similarities, history })
    }
}

impl Scorer for ItemCf {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.offsets.len() - 1
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        let mut all = vec![0.0; self.n_items()];
        self.score_all_into(user, &mut all)?;
        pick(&all, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        let history = self.history.items_of(*user)?;
        check_len("out", self.n_items(), out.len())?;
        out.fill(0.0);
        for &item in history {
            for hit in self.row(item) {
                out[hit.item.index()] += hit.score;
            }
        }
        Ok(())
    }
}

impl Teacher for ItemCf {}

#[cfg(test)]
mod tests {
    use rectify_core::testing;

    use super::*;
    use crate::fixture;

    #[test]
    fn pearson_and_cosine_of_two_columns_are_the_worked_example() {
        // (1,1,0,0,1) and (1,0,0,0,1): 0.6666667 and 0.8164966.
        let train = Interactions::from_pairs(5, 2, &[(0, 0), (1, 0), (4, 0), (0, 1), (4, 1)]).unwrap();
        for (similarity, want) in [(Similarity::Pearson, 0.666_666_7), (Similarity::Cosine, 0.816_496_6)] {
            let model = ItemCf::fit(&train, &ItemCfConfig { similarity, n_neighbours: 5 }).unwrap();
            let row: Vec<Hit> = model.neighbours(ItemId(0)).unwrap().collect();
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
        let model = ItemCf::fit(&train, &config).unwrap();
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
        let all = ItemCf::fit(&train, &ItemCfConfig { n_neighbours: 40, ..ItemCfConfig::default() }).unwrap();
        let few = ItemCf::fit(&train, &ItemCfConfig { n_neighbours: 3, ..ItemCfConfig::default() }).unwrap();
        for item in (0..40).map(ItemId) {
            let mut want: Vec<Hit> = all.neighbours(item).unwrap().collect();
            want.sort();
            want.truncate(3);
            want.sort_by_key(|hit| hit.item);
            assert_eq!(few.neighbours(item).unwrap().collect::<Vec<_>>(), want);
        }
        assert!(all.neighbours(ItemId(40)).is_err());
    }

    #[test]
    fn an_item_that_everybody_has_correlates_with_nothing() {
        let train = Interactions::from_pairs(3, 2, &[(0, 0), (1, 0), (2, 0), (1, 1)]).unwrap();
        let config = ItemCfConfig { similarity: Similarity::Pearson, ..ItemCfConfig::default() };
        assert_eq!(ItemCf::fit(&train, &config).unwrap().neighbours(ItemId(0)).unwrap().count(), 0);
    }

    #[test]
    fn item_cf_keeps_every_promise_of_a_scorer_for_users_with_and_without_items() {
        let train = fixture::clusters(60, 40);
        let model = ItemCf::fit(&train, &ItemCfConfig::default()).unwrap();
        testing::scorer(&model, &[&UserId(0), &fixture::EMPTY_USER]);
        testing::scorer_refuses(&model, &UserId(60));
        let mut out = [1.0; 40];
        model.score_all_into(&fixture::EMPTY_USER, &mut out).unwrap();
        assert_eq!(out, [0.0; 40]);
    }

    #[test]
    fn files_are_the_same_for_any_number_of_threads_and_answer_the_same() {
        let train = fixture::clusters(300, 200);
        fixture::same_file_for_any_threads(
            || ItemCf::fit(&train, &ItemCfConfig::default()).unwrap(),
            |model, path| model.save(path, Overwrite::Refuse),
            ItemCf::open,
        );
    }

    #[test]
    fn bad_settings_and_empty_data_are_named() {
        let train = fixture::clusters(60, 40);
        let error = ItemCf::fit(&train, &ItemCfConfig { n_neighbours: 0, ..ItemCfConfig::default() }).unwrap_err();
        assert_eq!(error.to_string(), "item-cf: n_neighbours is 0, expected at least 1");
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        assert!(matches!(
            ItemCf::fit(&empty, &ItemCfConfig::default()),
            Err(FitError::Empty { n_users: 2, n_items: 3 })
        ));
        let unknown = serde_json::from_str::<ItemCfConfig>(r#"{"neighbours": 3}"#).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `neighbours`"), "{unknown}");
    }
}
