//! What a student keeps of its teacher.

use rayon::prelude::*;
use rectify_core::{ItemFilter, ItemId, Retriever, TopK, UserId, check_len};
use rectify_data::Interactions;

use crate::EvalError;

/// Users listed for in one call.
const BLOCK: usize = 64;

/// Mean share of the teacher's best `k` items that are among the student's best `k`, over `users`; in 0..=1.
///
/// Lists leave out the user's training items, and their order does not count. With fewer than `k` unseen items a teacher's list is
/// shorter, and the share is of what it has; users for whom it lists nothing are skipped. It says how faithful a student is, not how
/// good: a student may well rank better than its teacher. Same bits for any number of threads.
///
/// ```
/// use rectify_core::{Catalogue, Exhaustive, ItemId, QueryError, Scorer, UserId};
/// use rectify_data::Interactions;
///
/// /// Likes items whose ids are near a number.
/// struct Near(f32);
/// impl Catalogue for Near {
///     fn n_items(&self) -> usize { 6 }
/// }
/// impl Scorer for Near {
///     type Query = UserId;
///     fn score_into(&self, _: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
///         out.iter_mut().zip(items).for_each(|(score, item)| *score = -(item.0 as f32 - self.0).abs());
///         Ok(())
///     }
///     fn score_all_into(&self, _: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
///         out.iter_mut().enumerate().for_each(|(item, score)| *score = -(item as f32 - self.0).abs());
///         Ok(())
///     }
/// }
///
/// let train = Interactions::from_pairs(1, 6, &[(0, 0)])?;
/// let (teacher, student) = (Near(2.0), Near(3.5));
/// // The teacher lists 2, 1, 3, the student 3, 4, 2.
/// let overlap = rectify_eval::overlap(&Exhaustive::new(&teacher), &Exhaustive::new(&student), &train, &[UserId(0)], 3)?;
/// assert_eq!(overlap, 2.0 / 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Catalogues of different sizes, either one's refusal of a user, or no user with a list ([`EvalError::NoUsers`]).
pub fn overlap(
    teacher: &dyn Retriever<Query = UserId>,
    student: &dyn Retriever<Query = UserId>,
    train: &Interactions,
    users: &[UserId],
    k: usize,
) -> Result<f64, EvalError> {
    check_len("the student's catalogue", teacher.n_items(), student.n_items())?;
    check_len("the training part's catalogue", teacher.n_items(), train.n_items())?;
    let best = |model: &dyn Retriever<Query = UserId>, users: &[UserId]| -> Result<Vec<Vec<ItemId>>, EvalError> {
        let queries: Vec<&UserId> = users.iter().collect();
        let filters =
            users.iter().map(|user| ItemFilter::seen(train.items_of(*user))).collect::<Result<Vec<_>, _>>()?;
        let mut lists = vec![TopK::new(); users.len()];
        model.top_k_batch(&queries, k, &filters, &mut lists)?;
        let sorted = |list: &TopK| {
            let mut items: Vec<ItemId> = list.items().collect();
            items.sort_unstable();
            items
        };
        Ok(lists.iter().map(sorted).collect())
    };
    let share = |users: &[UserId]| -> Result<Vec<f64>, EvalError> {
        let pairs = best(teacher, users)?.into_iter().zip(best(student, users)?);
        let share = |(teacher, student): (Vec<ItemId>, Vec<ItemId>)| {
            let both = teacher.iter().filter(|item| student.binary_search(item).is_ok()).count();
            both as f64 / teacher.len() as f64
        };
        Ok(pairs.filter(|(teacher, _)| !teacher.is_empty()).map(share).collect())
    };
    let blocks: Vec<Result<Vec<f64>, EvalError>> = users.par_chunks(BLOCK).map(share).collect();
    let shares = blocks.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    if shares.is_empty() {
        return Err(EvalError::NoUsers);
    }
    Ok(shares.iter().sum::<f64>() / shares.len() as f64)
}

#[cfg(test)]
mod tests {
    use rectify_core::{Catalogue, Exhaustive, QueryError, Scorer};

    use super::*;

    /// Scores by a table, `[users, items]`.
    struct Table(Vec<Vec<f32>>);

    impl Catalogue for Table {
        fn n_items(&self) -> usize {
            self.0[0].len()
        }
    }

    impl Scorer for Table {
        type Query = UserId;

        fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            let n_users = self.0.len();
            let row = self.0.get(user.index()).ok_or(QueryError::UnknownUser { user: *user, n_users })?;
            out.iter_mut().zip(items).for_each(|(out, item)| *out = row[item.index()]);
            Ok(())
        }

        fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            let items: Vec<ItemId> = (0..self.n_items() as u32).map(ItemId).collect();
            self.score_into(user, &items, out)
        }
    }

    fn share(teacher: &Table, student: &Table, seen: &[(u32, u32)], k: usize) -> Result<f64, EvalError> {
        let train = Interactions::from_pairs(2, 4, seen).unwrap();
        let users = [UserId(0), UserId(1)];
        overlap(&Exhaustive::new(teacher), &Exhaustive::new(student), &train, &users, k)
    }

    #[test]
    fn the_share_is_of_what_the_teacher_lists() {
        let teacher = Table(vec![vec![4.0, 3.0, 2.0, 1.0], vec![4.0, 3.0, 2.0, 1.0]]);
        let student = Table(vec![vec![3.0, 4.0, 2.0, 1.0], vec![1.0, 2.0, 3.0, 4.0]]);
        assert_eq!(share(&teacher, &teacher, &[], 2).unwrap(), 1.0);
        // The first user's two are the same in another order, the second's are others.
        assert_eq!(share(&teacher, &student, &[], 2).unwrap(), 0.5);
        // Without items 0 and 1 both list the other two for the second user.
        assert_eq!(share(&teacher, &student, &[(1, 0), (1, 1)], 2).unwrap(), 1.0);
        // Only item 3 is unseen by the first user: a list of one.
        assert_eq!(share(&teacher, &student, &[(0, 0), (0, 1), (0, 2)], 2).unwrap(), 0.5);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let teacher = Table(vec![vec![1.0; 4]; 2]);
        let smaller = Table(vec![vec![1.0; 3]; 2]);
        assert!(matches!(share(&teacher, &smaller, &[], 2), Err(EvalError::Query(_))));
        assert!(matches!(share(&teacher, &Table(vec![vec![1.0; 4]]), &[], 2), Err(EvalError::Query(_))));
        assert!(matches!(share(&teacher, &teacher, &[], 0), Err(EvalError::NoUsers)));
    }
}
