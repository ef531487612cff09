//! PRM-BASE: a list put in a new order by self-attention over its items.
//!
//! Pei et al., "Personalized re-ranking for recommendation", RecSys 2019, without the vectors of a pre-trained click model. A token is
//! `[p_u ; q_i]` of the first stage, projected, plus a learned vector of its position; blocks of multi-head self-attention and two-layer
//! feed-forward networks follow, each with residual and layer norm; `w · x_i` under a softmax over the list is the probability that item
//! i is clicked, and the loss of a list is `− Σ_{i clicked} ln p_i`.
//!
//! **Reading**: lists to learn from are the first stage's best over all items, those of the user's own training among them; clicked are
//! these. The output has no bias, which a softmax would not see. Inner layers are as wide as a token.

mod backward;

use rectify_core::rng::Seed;
use rectify_core::{Catalogue, ItemFilter, ItemId, Retriever, TopK, UserId};
use rectify_data::Interactions;
use rectify_tensor::kernels::{axpy, softmax_rows};
use rectify_tensor::parallel::map_reduce;
use rectify_tensor::train::{EpochStats, FitReport, Step, TrainError, TrainRun};
use rectify_tensor::{DenseKey, ParamStore};

use crate::serve::prm::config::MODEL;
use crate::serve::prm::model::tokens;
use crate::serve::prm::network::{Pass, arrays};
pub use crate::serve::{Prm, PrmConfig};
use crate::{ConfigError, Factors, FitError};

/// Lists that a thread takes at a time.
const PIECE: usize = 4;

/// Fits PRM-BASE over the lists of `first`, which stays as it is.
///
/// An epoch visits the list of every user once, in a fresh order; users none of whose items made it into their list are left out. `run`
/// says how many epochs and where to checkpoint. Its `validate` gets the model after an epoch. The loss reported is the mean over lists.
/// Gradients are closed-form. The same seed gives the same bits on any number of threads, and after a resume.
///
/// # Errors
/// [`FitError::Config`] (also for a first stage of other users or items), [`FitError::Empty`], [`FitError::Train`],
/// [`FitError::NotFinite`].
pub fn fit(
    train: &Interactions,
    first: &Factors,
    config: &PrmConfig,
    run: TrainRun<'_, Prm>,
) -> Result<(Prm, FitReport), FitError> {
    let mut training = Training::new(train, first, config, run.seed)?;
    let report = run.drive(&mut training, |training| training.model())?;
    Ok((training.model()?, report))
}

/// The list of a user, and which of its items are clicked.
struct List {
    user: UserId,
    items: Vec<ItemId>,
    clicked: Vec<bool>,
}

struct Training<'a> {
    config: &'a PrmConfig,
    first: &'a Factors,
    lists: Vec<List>,
    params: ParamStore,
    keys: Vec<DenseKey>,
    order: Vec<u32>,
    shuffle: Seed,
    dropout: Seed,
}

impl<'a> Training<'a> {
    fn new(data: &Interactions, first: &'a Factors, config: &'a PrmConfig, seed: Seed) -> Result<Self, FitError> {
        config.validate()?;
        FitError::check_not_empty(data)?;
        let (got, expected) = ([first.n_users(), first.n_items()], [data.n_users(), data.n_items()]);
        let fitting = "a first stage of the data's users and items";
        ConfigError::check_of(got == expected, MODEL, "first", fitting, format!("{got:?}, the data has {expected:?}"))?;
        let users: Vec<UserId> = data.users().filter(|user| !data.items_of(*user).is_empty()).collect();
        let mut tops = vec![TopK::new(); users.len()];
        let queries: Vec<&UserId> = users.iter().collect();
        let listed = first.top_k_batch(&queries, config.list_len, &[ItemFilter::all()], &mut tops);
        listed.expect("a first stage of these users lists items for each");
        let lists = users.iter().zip(&tops).map(|(user, top)| {
            let items: Vec<ItemId> = top.items().collect();
            let clicked = items.iter().map(|item| data.items_of(*user).binary_search(item).is_ok()).collect();
            List { user: *user, items, clicked }
        });
        let mut params = ParamStore::new(seed);
        let keys = arrays(config, 2 * first.dim())
            .into_iter()
            .map(|(name, rows, columns, init)| params.add_dense(&name, rows, columns, init))
            .collect();
        Ok(Self {
            config,
            first,
            lists: lists.filter(|list| list.clicked.contains(&true)).collect(),
            params,
            keys,
            order: Vec::new(),
            shuffle: seed.stream("order"),
            dropout: seed.stream("dropout"),
        })
    }

    fn model(&self) -> Result<Prm, FitError> {
        let mut weights = Vec::new();
        for key in &self.keys {
            let values = self.params.dense(*key).values();
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return Err(FitError::NotFinite { model: MODEL, what: format!("array {} at {at}", weights.len()) });
            }
            weights.push(values.to_vec().into());
        }
        Ok(Prm::from_parts(self.config.clone(), self.first.clone(), weights))
    }

    /// Sum of the losses of some lists, and the gradient of their mean.
    fn gradients(&self, epoch: u32, lists: &[u32]) -> (f64, Vec<Vec<f32>>) {
        let weights: Vec<&[f32]> = self.keys.iter().map(|key| self.params.dense(*key).values()).collect();
        let zeros = || weights.iter().map(|weight| vec![0.0; weight.len()]).collect::<Vec<_>>();
        let piece = |range: std::ops::Range<usize>| {
            let (mut loss, mut to, mut pass) = (0.0, zeros(), Pass::default());
            for at in &lists[range] {
                let list = &self.lists[*at as usize];
                let tokens = tokens(self.first, list.user, &list.items).expect("its items were listed");
                pass.forward(self.config, &weights, tokens, Some(&mut self.dropout.at(epoch, u64::from(*at))));
                let n = pass.scores.len();
                let mut slopes = vec![0.0; n];
                softmax_rows(&pass.scores, n, 1.0, &mut slopes);
                let clicks = list.clicked.iter().filter(|clicked| **clicked).count() as f32;
                for (slope, clicked) in slopes.iter_mut().zip(&list.clicked) {
                    if *clicked {
                        loss -= f64::from(slope.max(f32::MIN_POSITIVE)).ln();
                    }
                    let target = if *clicked { 1.0 } else { 0.0 };
                    *slope = (clicks * *slope - target) / lists.len() as f32;
                }
                pass.backward(self.config, &weights, &slopes, &mut to);
            }
            (loss, to)
        };
        map_reduce(lists.len(), PIECE, piece, (0.0, zeros()), |(loss, mut sums), (more, gradients)| {
            sums.iter_mut().zip(&gradients).for_each(|(sum, gradient)| axpy(1.0, gradient, sum));
            (loss + more, sums)
        })
    }
}

impl Step for Training<'_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        self.order.clear();
        self.order.extend(0..self.lists.len() as u32);
        self.shuffle.at(epoch, 0).shuffle(&mut self.order);
        let (order, mut loss) = (std::mem::take(&mut self.order), 0.0);
        for lists in order.chunks(self.config.batch_size) {
            let (sum, gradients) = self.gradients(epoch, lists);
            loss += sum;
            for (key, gradient) in self.keys.iter().zip(&gradients) {
                self.params.dense_mut([*key])[0].apply(gradient, &self.config.optimizer);
            }
        }
        self.order = order;
        let samples = self.lists.len() as u64;
        Ok(EpochStats { loss: loss / samples.max(1) as f64, samples })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

#[cfg(test)]
mod tests;
