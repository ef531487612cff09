//! Made-up data that the tests of the evaluation share.

use rectify_core::rng::Seed;
use rectify_core::{Catalogue, ItemId, QueryError, Scorer, UserId, check_len};
use rectify_data::{Holdout, Interactions, Ragged};
use rectify_eval::Metric;

pub(crate) const N_USERS: usize = 70;
pub(crate) const N_ITEMS: usize = 40;

/// A table of scores with many ties.
pub(crate) struct Table(pub(crate) Vec<f32>);

impl Table {
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = Seed(seed).stream("table").rng();
        Self((0..N_USERS * N_ITEMS).map(|_| rng.below(25) as f32 - 9.0).collect())
    }

    pub(crate) fn row(&self, user: UserId) -> &[f32] {
        &self.0[user.index() * N_ITEMS..][..N_ITEMS]
    }
}

impl Catalogue for Table {
    fn n_items(&self) -> usize {
        N_ITEMS
    }
}

impl Scorer for Table {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        out.iter_mut().zip(items).for_each(|(score, item)| *score = self.row(*user)[item.index()]);
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        out.copy_from_slice(self.row(*user));
        Ok(())
    }
}

/// Random interactions: (training, held out, validation); some users hold nothing out, one held-out pair is in training.
pub(crate) fn data() -> (Interactions, Holdout, Ragged<ItemId>) {
    let mut rng = Seed(3).stream("data").rng();
    let mut parts = [vec![(5, 7)], vec![(5, 7)], Vec::new()];
    for user in 0..N_USERS as u32 {
        let items = rng.sample_distinct(N_ITEMS as u32, 20);
        for (at, item) in items.into_iter().enumerate() {
            let held = if user % 9 == 0 { at % 2 * 2 } else { at % 3 };
            parts[held].push((user, item));
        }
    }
    let [train, test, validation] = parts.map(|pairs| Interactions::from_pairs(N_USERS, N_ITEMS, &pairs).unwrap());
    let rows = |from: &Interactions| Ragged::from_rows(from.users().map(|user| from.items_of(user).to_vec()));
    let candidates = Ragged::from_rows(train.users().map(|user| {
        let taken = |item: &ItemId| train.contains(user, *item) || test.contains(user, *item);
        (0..N_ITEMS as u32).map(ItemId).filter(|item| !taken(item)).take(9).collect::<Vec<_>>()
    }));
    let validation = rows(&validation);
    (train, Holdout::new(rows(&test)).with_candidates(candidates), validation)
}

/// Metrics by name.
pub(crate) fn metrics(names: &[&str]) -> Vec<Metric> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Asserts equality but for rounding.
#[track_caller]
pub(crate) fn near(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() < 1e-12, "{what}: got {got}, expected {expected}");
}
