//! Everybody gets what most people took.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{ItemId, QueryError, Scorer, Teacher, UserId, Violation};
use rectify_data::Interactions;

use crate::FitError;
use crate::scores::pick;

const KIND: &str = "pop-rank";
const VERSION: u32 = 1;

/// Popularity: `score(u, i)` = number of users who have item i, the same for every user.
///
/// No parameters, no personalisation: the floor that every other model has to clear. Counts are exact up to 2²⁴.
#[derive(Clone, Debug)]
pub struct PopRank {
    n_users: usize,
    counts: Array<f32>,
}

impl PopRank {
    /// Counts.
    ///
    /// # Errors
    /// [`FitError::Empty`] without any interaction.
    pub fn fit(train: &Interactions) -> Result<Self, FitError> {
        FitError::check_not_empty(train)?;
        let counts: Vec<f32> = train.item_counts().into_iter().map(|count| count as f32).collect();
        Ok(Self { n_users: train.n_users(), counts: counts.into() })
    }

    /// Number of users.
    #[must_use]
    pub const fn n_users(&self) -> usize {
        self.n_users
    }

    /// Bytes of the arrays that answer queries.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// As [`ArtifactWriter::save`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.text("n_users", &self.n_users.to_string());
        writer.array("counts", &[self.counts.len()], &self.counts);
        writer.save(path, overwrite)
    }

    /// Maps a model that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file that is not such a model, or is damaged.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let n_users = artifact.text("n_users")?;
        let n_users: u32 =
            n_users.parse().map_err(|_| artifact.field_error("n_users", format!("{n_users:?} is not a number")))?;
        let (counts, _) = artifact.array::<f32>("counts")?;
        if let Some(at) = counts.iter().position(|c| !(c.is_finite() && *c >= 0.0)) {
            let problem = format!("item {at} has count {}", counts[at]);
            artifact.reject(vec![Violation { field: "counts".into(), problem }])?;
        }
        Ok(Self { n_users: n_users as usize, counts })
    }

    fn check(&self, user: UserId) -> Result<(), QueryError> {
        if user.index() < self.n_users {
            return Ok(());
        }
        Err(QueryError::UnknownUser { user, n_users: self.n_users })
    }
}

impl Scorer for PopRank {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.counts.len()
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.check(*user)?;
        pick(&self.counts, items, out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        self.check(*user)?;
        rectify_core::check_len("out", self.counts.len(), out.len())?;
        out.copy_from_slice(&self.counts);
        Ok(())
    }
}

impl Teacher for PopRank {}

#[cfg(test)]
mod tests {
    use rectify_core::{Exhaustive, testing};

    use super::*;

    fn data() -> Interactions {
        Interactions::from_pairs(4, 3, &[(0, 1), (1, 1), (2, 1), (2, 2)]).unwrap()
    }

    #[test]
    fn the_score_is_the_number_of_users() {
        let model = PopRank::fit(&data()).unwrap();
        let mut out = [9.0; 3];
        // User 3 has no items and gets the same list.
        model.score_all_into(&UserId(3), &mut out).unwrap();
        assert_eq!(out, [0.0, 3.0, 1.0]);
    }

    #[test]
    fn pop_rank_keeps_every_promise_of_a_scorer() {
        let model = PopRank::fit(&data()).unwrap();
        testing::scorer(&model, &[&UserId(0), &UserId(3)]);
        testing::scorer_refuses(&model, &UserId(4));
        let retriever = Exhaustive::new(&model);
        testing::retriever(&retriever, &[&UserId(0)], &testing::Oracle::scorer(&model));
    }

    #[test]
    fn no_interactions_are_an_error() {
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        let error = PopRank::fit(&empty).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no interactions to learn from (2 users, 3 items); check the input and the split"
        );
    }

    #[test]
    fn a_saved_model_answers_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pop");
        let model = PopRank::fit(&data()).unwrap();
        model.save(&path, Overwrite::Refuse).unwrap();
        assert!(matches!(model.save(&path, Overwrite::Refuse), Err(ArtifactError::Exists { .. })));
        let opened = PopRank::open(&path).unwrap();
        assert_eq!((&*opened.counts, opened.n_users), (&*model.counts, 4));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 1);
        std::fs::write(&path, &bytes).unwrap();
        assert!(PopRank::open(&path).is_err());
    }
}
