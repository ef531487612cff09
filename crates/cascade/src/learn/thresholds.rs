//! Where a teacher would cut each user's ranking.

use rayon::prelude::*;
use rectify_core::{Hit, ItemId, QueryError, Scorer, UserId};

use crate::RejectionRatios;

/// For each user and each ratio, the last item that the teacher's ranking keeps: U · N hits, from which every label follows.
///
/// HDN, Section on decision distillation. Items are ranked by the teacher's score, equal scores by id; module n is to accept the first
/// [`K_n`](RejectionRatios::kept) of **all** items. A cut is an item with its score, not a score alone, so that a teacher which gives
/// equal scores still accepts just `K_n` items.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    n_modules: usize,
    cuts: Vec<Hit>,
}

impl Thresholds {
    /// Asks a teacher, any black box that scores, for users `0..n_users`; one user's scores are held at a time by each thread.
    ///
    /// # Errors
    /// [`QueryError::NotFinite`] for a score that is NaN or infinite, or why the teacher refuses a user; of several the lowest user's.
    pub fn of<S: Scorer<Query = UserId> + ?Sized>(
        teacher: &S,
        n_users: usize,
        ratios: &RejectionRatios,
    ) -> Result<Self, QueryError> {
        let n_modules = ratios.len();
        let n_items = teacher.n_items();
        let kept = ratios.kept(n_items);
        if n_items == 0 || n_modules == 0 {
            return Ok(Self { n_modules, cuts: Vec::new() });
        }
        let of_user = |(scores, hits): &mut (Vec<f32>, Vec<Hit>), user: u32| {
            scores.resize(n_items, 0.0);
            teacher.score_all_into(&UserId(user), scores)?;
            hits.clear();
            for (position, score) in scores.iter().enumerate() {
                if !score.is_finite() {
                    return Err(QueryError::NotFinite { position, value: *score });
                }
                hits.push(Hit { item: ItemId(position as u32), score: *score });
            }
            let mut cuts = Vec::with_capacity(n_modules);
            let mut left = n_items;
            for kept in &kept {
                // What is kept shrinks from module to module, and lies in front.
                let (_, cut, _) = hits[..left].select_nth_unstable(kept - 1);
                cuts.push(*cut);
                left = *kept;
            }
            Ok(cuts)
        };
        let cuts: Vec<Result<Vec<Hit>, QueryError>> =
            (0..n_users as u32).into_par_iter().map_init(Default::default, of_user).collect();
        Ok(Self { n_modules, cuts: cuts.into_iter().collect::<Result<Vec<_>, _>>()?.concat() })
    }

    /// The last item that module `module` (from 0) is to accept for a user.
    ///
    /// # Panics
    /// If there is no such user or module.
    #[must_use]
    pub fn cut(&self, user: UserId, module: usize) -> Hit {
        assert!(module < self.n_modules, "module {module} of {}", self.n_modules);
        self.cuts[user.index() * self.n_modules + module]
    }

    /// The label of a pair with its teacher's score: −1 to be accepted, +1 to be rejected.
    ///
    /// # Panics
    /// As [`cut`](Self::cut).
    #[must_use]
    pub fn label(&self, user: UserId, module: usize, hit: Hit) -> f32 {
        if hit <= self.cut(user, module) { -1.0 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rectify_core::Catalogue;

    use super::*;

    /// A teacher with the same scores for everyone.
    struct Fixed(Vec<f32>);

    impl Catalogue for Fixed {
        fn n_items(&self) -> usize {
            self.0.len()
        }
    }

    impl Scorer for Fixed {
        type Query = UserId;

        fn score_into(&self, _: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            out.iter_mut().zip(items).for_each(|(out, item)| *out = self.0[item.index()]);
            Ok(())
        }

        fn score_all_into(&self, _: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            out.copy_from_slice(&self.0);
            Ok(())
        }
    }

    fn labels(scores: &[f32], ratios: &[f64]) -> Vec<Vec<f32>> {
        let teacher = Fixed(scores.to_vec());
        let thresholds = Thresholds::of(&teacher, 2, &RejectionRatios::new(ratios).unwrap()).unwrap();
        let label = |module, item: usize| {
            thresholds.label(UserId(1), module, Hit { item: ItemId(item as u32), score: scores[item] })
        };
        (0..ratios.len()).map(|module| (0..scores.len()).map(|item| label(module, item)).collect()).collect()
    }

    #[test]
    fn labels_are_those_of_the_worked_example() {
        let scores = [0.9, 0.1, 0.5, 0.7, 0.3, 0.8, 0.2, 0.6];
        let got = labels(&scores, &[0.5, 0.75, 0.875]);
        assert_eq!(got[0], [-1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]);
        assert_eq!(got[1], [-1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0]);
        assert_eq!(got[2], [-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        let ratios = RejectionRatios::new(&[0.5, 0.75, 0.875]).unwrap();
        let thresholds = Thresholds::of(&Fixed(scores.to_vec()), 1, &ratios).unwrap();
        assert_eq!([0, 1, 2].map(|n| thresholds.cut(UserId(0), n).score), [0.6, 0.8, 0.9]);
    }

    #[test]
    fn equal_scores_are_cut_by_id_and_nothing_is_cut_of_nothing() {
        assert_eq!(labels(&[0.5; 4], &[0.5]), [[-1.0, -1.0, 1.0, 1.0]]);
        assert_eq!(labels(&[-0.0, 0.0], &[0.5]), [[-1.0, 1.0]]);
        assert_eq!(labels(&[0.5], &[0.5, 0.9]), [[-1.0], [-1.0]]);
        assert!(labels(&[], &[0.5])[0].is_empty());
    }

    #[test]
    fn a_teacher_that_gives_no_number_is_refused_at_its_item() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let teacher = Fixed(vec![0.0, value]);
            let error = Thresholds::of(&teacher, 1, &RejectionRatios::new(&[0.5]).unwrap()).unwrap_err();
            assert!(matches!(error, QueryError::NotFinite { position: 1, .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_a_later_module_accepts_an_earlier_one_does(
            scores in prop::collection::vec((-3i8..3).prop_map(f32::from), 1..60),
            mut ratios in prop::collection::btree_set(1u32..100, 1..5),
        ) {
            let ratios: Vec<f64> = std::mem::take(&mut ratios).into_iter().map(|r| f64::from(r) / 100.0).collect();
            let kept = RejectionRatios::new(&ratios).unwrap().kept(scores.len());
            let labels = labels(&scores, &ratios);
            for (labels, kept) in labels.iter().zip(&kept) {
                prop_assert_eq!(labels.iter().filter(|label| **label < 0.0).count(), *kept);
            }
            for pair in labels.windows(2) {
                prop_assert!(pair[0].iter().zip(&pair[1]).all(|(earlier, later)| earlier <= later));
            }
        }
    }
}
