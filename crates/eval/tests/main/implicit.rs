//! The values of implicit's `ranking_metrics_at_k`.

use super::common::{metrics, near};
use rectify_core::{Catalogue, ItemId, QueryError, Scorer, UserId};
use rectify_data::{Holdout, Interactions};
use rectify_eval::{Candidates, System, evaluate};

/// A factor model through implicit 0.7.3:
///
/// ```python
/// def seq(n):
///     x = 12345; out = []
///     for _ in range(n): x = (1103515245 * x + 12345) % 2**31; out.append(x / 2**31)
///     return out
/// s = np.array(seq(220), dtype=np.float32) - np.float32(0.5)
/// model = implicit.cpu.als.AlternatingLeastSquares(factors=4)
/// model.user_factors, model.item_factors = s[:120].reshape(30, 4), s[120:].reshape(25, 4)
/// train = [(u, i) for u in range(30) for i in range(25) if (7 * u + 3 * i) % 5 == 0]
/// test = [(u, i) for u in range(30) for i in range(25)
///         if (7 * u + 3 * i) % 5 == 1 and (u + i) % (1 + u % 4) == 0 and u % 6 != 0]
/// csr = lambda pairs: sp.csr_matrix((np.ones(len(pairs)), tuple(zip(*pairs))), shape=(30, 25))
/// ranking_metrics_at_k(model, csr(train), csr(test), K=K)
/// ```
#[test]
fn map_and_ndcg_are_those_of_implicit() {
    struct Factors(Vec<f32>);
    impl Catalogue for Factors {
        fn n_items(&self) -> usize {
            25
        }
    }

    impl Scorer for Factors {
        type Query = UserId;

        fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
            let (users, rows) = self.0.split_at(120);
            let query = &users[4 * user.index()..][..4];
            for (item, score) in items.iter().zip(out) {
                *score = query.iter().zip(&rows[4 * item.index()..][..4]).map(|(a, b)| a * b).sum();
            }
            Ok(())
        }

        fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
            self.score_into(user, &(0..25).map(ItemId).collect::<Vec<_>>(), out)
        }
    }
    let mut x = 12345u64;
    let factors = (0..220).map(|_| {
        x = (1_103_515_245 * x + 12345) % (1 << 31);
        (x as f64 / (1u64 << 31) as f64) as f32 - 0.5
    });
    let model = Factors(factors.collect());
    let grid: Vec<(u32, u32)> = (0..30).flat_map(|user| (0..25).map(move |item| (user, item))).collect();
    let part = |keep: &dyn Fn(u32, u32) -> bool| {
        let pairs: Vec<(u32, u32)> = grid.iter().copied().filter(|&(user, item)| keep(user, item)).collect();
        Interactions::from_pairs(30, 25, &pairs).unwrap()
    };
    let train = part(&|u, i| (7 * u + 3 * i) % 5 == 0);
    let test = part(&|u, i| (7 * u + 3 * i) % 5 == 1 && (u + i).is_multiple_of(1 + u % 4) && !u.is_multiple_of(6));
    let names = ["map_min@3", "ndcg@3", "map_min@8", "ndcg@8"];
    let expected = [0.15333333333333335, 0.20206818579243888, 0.19963333333333336, 0.3098336305319089];
    let got =
        evaluate(System::Scorer(&model), &train, &Holdout::of(&test), &metrics(&names), Candidates::Unseen).unwrap();
    for (name, expected) in names.iter().zip(expected) {
        near(got.value(name.parse().unwrap()).unwrap(), expected, name);
    }
}
