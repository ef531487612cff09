//! Counting who took what.

use rectify_data::Interactions;

use super::FitError;
use crate::PopRank;

/// Counts the users of each item.
///
/// # Errors
/// [`FitError::Empty`] without any interaction.
pub fn fit(train: &Interactions) -> Result<PopRank, FitError> {
    FitError::check_not_empty(train)?;
    let counts: Vec<f32> = train.item_counts().into_iter().map(|count| count as f32).collect();
    Ok(PopRank::from_counts(train.n_users(), counts).expect("counts are finite"))
}

#[cfg(test)]
mod tests {
    use rectify_core::{Scorer, UserId};

    use super::*;

    #[test]
    fn the_score_is_the_number_of_users() {
        let data = Interactions::from_pairs(4, 3, &[(0, 1), (1, 1), (2, 1), (2, 2)]).unwrap();
        let model = fit(&data).unwrap();
        let mut out = [9.0; 3];
        // User 3 has no items and gets the same list.
        model.score_all_into(&UserId(3), &mut out).unwrap();
        assert_eq!((out, model.n_users()), ([0.0, 3.0, 1.0], 4));
    }

    #[test]
    fn no_interactions_are_an_error() {
        let empty = Interactions::from_pairs(2, 3, &[]).unwrap();
        let error = fit(&empty).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no interactions to learn from (2 users, 3 items); check the input and the split"
        );
    }
}
