//! Small data and checks that the tests of several models share.

use std::cell::RefCell;
use std::rc::Rc;

use rectify_core::artifact::Overwrite;
use rectify_core::rng::Seed;
use rectify_core::{HiddenWidths, Index, ItemId, Scorer, UserId};
use rectify_data::Interactions;
use rectify_tensor::ParamStore;
use rectify_tensor::train::{BoxError, Entities, Guide, Lists, TrainRun};

/// The one user of [`clusters`] without items.
pub(crate) const EMPTY_USER: UserId = UserId(7);

/// Users and items in four groups: a user has half of the items of the own group and a twentieth of the others.
pub(crate) fn clusters(n_users: u32, n_items: u32) -> Interactions {
    let mut rng = Seed(1).stream("clusters").rng();
    let mut pairs = Vec::new();
    for user in (0..n_users).filter(|user| *user != EMPTY_USER.0) {
        for item in 0..n_items {
            let share = if user % 4 == item % 4 { 0.5 } else { 0.05 };
            if rng.unit_f32() < share {
                pairs.push((user, item));
            }
        }
    }
    Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap()
}

/// Holds out one item of the own group per user: (training data, held-out item of each user).
pub(crate) fn held_out(n_users: u32, n_items: u32) -> (Interactions, Vec<Option<ItemId>>) {
    let all = clusters(n_users, n_items);
    let target = |user: UserId| {
        let own: Vec<_> = all.items_of(user).iter().copied().filter(|item| item.0 % 4 == user.0 % 4).collect();
        own.get(user.index() * 7 % own.len().max(1)).copied()
    };
    let targets: Vec<_> = all.users().map(target).collect();
    let pairs: Vec<(u32, u32)> =
        all.pairs().filter(|(user, item)| targets[user.index()] != Some(*item)).map(|(u, i)| (u.0, i.0)).collect();
    (Interactions::from_pairs(n_users as usize, n_items as usize, &pairs).unwrap(), targets)
}

/// Mean over users of the share of unseen items that score below the held-out one.
pub(crate) fn auc(model: &dyn Scorer<Query = UserId>, train: &Interactions, targets: &[Option<ItemId>]) -> f64 {
    let mut out = vec![0.0; train.n_items()];
    let mut sum = (0.0, 0.0);
    for user in train.users() {
        let Some(target) = targets[user.index()] else { continue };
        model.score_all_into(&user, &mut out).unwrap();
        let seen = train.items_of(user);
        let others = (0..train.n_items() as u32).map(ItemId).filter(|i| *i != target && seen.binary_search(i).is_err());
        let (mut below, mut n) = (0.0, 0.0);
        for other in others {
            n += 1.0;
            below += f64::from(u8::from(out[other.index()] < out[target.index()]));
        }
        sum = (sum.0 + below / n, sum.1 + 1.0);
    }
    sum.0 / sum.1
}

fn with_threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

/// Fits on 1 and 3 threads and compares the files byte for byte.
pub(crate) fn same_file_for_any_threads<M: Index>(fit: impl Fn() -> M + Sync) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |threads: usize| {
        let path = folder.path().join("model");
        with_threads(threads, || fit().save(&path, Overwrite::Replace)).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(bytes(1) == bytes(3), "another number of threads gave other bytes");
}

/// So many epochs, without validation.
pub(crate) fn run<'a, M>(epochs: u32) -> TrainRun<'a, M> {
    TrainRun::new(Seed(3)).epochs(epochs)
}

/// A guide whose loss is easy to write down, and what it was shown: `Σ ½ (s - 1)²` over items 0 and 2 of each user of the
/// batch, `Σ ½ c |v|²` over hidden vectors, with c = 1, 2, 3, 4 for users, positives, negatives, pairs.
#[derive(Clone, Default)]
pub(crate) struct Quadratic(pub(crate) Rc<RefCell<Shown>>);

/// The factor c, 0 for lists, with the ids of each call.
type Shown = Vec<(f64, Vec<u32>)>;

impl Guide for Quadratic {
    fn prepare(&mut self, _: HiddenWidths, _: &mut ParamStore) -> Result<(), BoxError> {
        Ok(())
    }

    fn lists(&mut self, users: &[u32], lists: &mut Lists) {
        lists.clear(2);
        lists.places.extend(0..users.len() as u32);
        lists.items.extend(users.iter().flat_map(|_| [0, 2]));
        self.0.borrow_mut().push((0.0, users.to_vec()));
    }

    fn score_loss(
        &mut self,
        _: &[u32],
        lists: &Lists,
        scores: &[f32],
        scale: f32,
        grads: &mut [f32],
    ) -> Result<f64, BoxError> {
        assert_eq!(lists.items.len(), scores.len());
        grads.iter_mut().zip(scores).for_each(|(g, s)| *g = scale * (s - 1.0));
        Ok(scores.iter().map(|s| 0.5 * (f64::from(*s) - 1.0).powi(2)).sum())
    }

    fn wants_hidden(&self) -> bool {
        true
    }

    fn hidden_loss(
        &mut self,
        of: Entities<'_>,
        vectors: &[f32],
        scale: f32,
        _: &ParamStore,
        grads: &mut [f32],
    ) -> Result<f64, BoxError> {
        let (c, ids) = match of {
            Entities::Users(ids) => (1.0, ids.to_vec()),
            Entities::Positives(ids) => (2.0, ids.to_vec()),
            Entities::Negatives(ids) => (3.0, ids.to_vec()),
            Entities::Pairs { users, items } => (4.0, users.iter().zip(items).flat_map(|(u, i)| [*u, *i]).collect()),
        };
        self.0.borrow_mut().push((c, ids));
        grads.iter_mut().zip(vectors).for_each(|(g, v)| *g += scale * c as f32 * v);
        Ok(vectors.iter().map(|v| 0.5 * c * f64::from(*v).powi(2)).sum())
    }
}

/// Gradient by central differences, in double precision.
pub(crate) fn numeric_gradient(x: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let (kept, step) = (x[i], 1e-5);
            x[i] = kept + step;
            let above = loss(&x);
            x[i] = kept - step;
            let below = loss(&x);
            x[i] = kept;
            (above - below) / (2.0 * step)
        })
        .collect()
}
