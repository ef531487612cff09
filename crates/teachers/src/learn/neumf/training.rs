//! The walk over the samples of an epoch, and what is learned from them.

use rectify_core::artifact::Array;
use rectify_core::rng::Seed;
use rectify_core::{ConfigError, HiddenWidths, Scorer, UserId};
use rectify_data::Interactions;
use rectify_data::samplers::UniformNegatives;
use rectify_tensor::ParamStore;
use rectify_tensor::train::{BoxError, EpochStats, Guides, Step, TrainError};

use super::network::{Batch, Network};
use super::params::{Keys, parameters};
use crate::serve::neumf::parts::Parts;
use crate::{FitError, NeuMf, NeuMfConfig};

/// A model in training, on the CPU.
pub(super) struct Training<'a, 'g> {
    data: &'a Interactions,
    pub(super) config: &'a NeuMfConfig,
    pub(super) params: ParamStore,
    pub(super) keys: Keys,
    network: Network,
    /// User of each interaction, in the order of `data.all_items()`.
    user_of: Vec<u32>,
    negatives: UniformNegatives<'a>,
    shuffle: Seed,
    order: Vec<u32>,
    guides: Guides<'g>,
}

impl<'a, 'g> Training<'a, 'g> {
    pub(super) fn new(
        data: &'a Interactions,
        config: &'a NeuMfConfig,
        seed: Seed,
        mut guides: Guides<'g>,
    ) -> Result<Self, FitError> {
        config.validate()?;
        FitError::check_not_empty(data)?;
        let samples = data.n_interactions().checked_mul(config.n_negatives + 1).filter(|n| u32::try_from(*n).is_ok());
        let expected = "fewer than 2^32 samples an epoch";
        ConfigError::check_of(samples.is_some(), config.model(), "n_negatives", expected, config.n_negatives)?;
        let (n_users, n_items) = (data.n_users(), data.n_items());
        let (mut params, keys) = parameters(config, n_users, n_items, seed);
        for guide in &mut guides {
            let widths = HiddenWidths { user: 0, item: 0, pair: config.joint_dim() };
            guide.prepare(widths, &mut params).map_err(FitError::Guide)?;
        }
        Ok(Self {
            data,
            config,
            params,
            keys,
            network: Network::new(config, n_users, n_items),
            user_of: data.users().flat_map(|u| std::iter::repeat_n(u.0, data.items_of(u).len())).collect(),
            negatives: UniformNegatives::new(data, seed.stream("negatives"))?,
            shuffle: seed.stream("order"),
            order: Vec::new(),
            guides,
        })
    }

    pub(super) fn start_from(&mut self, start: &NeuMf) -> Result<(), FitError> {
        let (model, ours, theirs) = (self.config.model(), self.config, start.config());
        let widths = |c: &NeuMfConfig| format!("{}, {}, {:?}", c.gmf_dim, c.mlp_dim, c.hidden);
        let expected = "the widths (gmf_dim, mlp_dim, hidden) of the model to start from";
        ConfigError::check_of(widths(ours) == widths(theirs), model, "gmf_dim", expected, widths(ours))?;
        let Parts { users, items, layers, output, bias } = &start.parts;
        let [user_table, item_table] = self.params.rows_mut([self.keys.users, self.keys.items]);
        let dim = ours.embedding_dim();
        let shapes = [(user_table.n_rows(), users.len() / dim), (item_table.n_rows(), items.len() / dim)];
        for (expected, got) in shapes {
            let what = format!("a model of {got} rows where the data has {expected}");
            ConfigError::check_of(expected == got, model, "start", "users and items of the data", what)?;
        }
        user_table.values_mut().copy_from_slice(users);
        item_table.values_mut().copy_from_slice(items);
        for (keys, (weight, layer_bias)) in self.keys.layers.iter().zip(layers) {
            let [to_weight, to_bias] = self.params.dense_mut([keys.0, keys.1]);
            to_weight.values_mut().copy_from_slice(weight);
            to_bias.values_mut().copy_from_slice(layer_bias);
        }
        let [to_output, to_bias] = self.params.dense_mut([self.keys.output, self.keys.bias]);
        to_output.values_mut().copy_from_slice(output);
        to_bias.values_mut()[0] = *bias;
        Ok(())
    }

    pub(super) fn model(&self) -> Result<NeuMf, FitError> {
        let (model, dim) = (self.config.model(), self.config.embedding_dim());
        for (side, key) in [("user", self.keys.users), ("item", self.keys.items)] {
            if let Some(at) = self.params.rows(key).values().iter().position(|x| !x.is_finite()) {
                return Err(FitError::NotFinite { model, what: format!("{side} {}", at / dim) });
            }
        }
        Ok(frozen(self.config, &self.params, &self.keys))
    }

    /// The batches of an epoch; `step` returns the sum of a batch's losses.
    pub(super) fn for_each_batch(
        &mut self,
        epoch: u32,
        mut step: impl FnMut(&mut Self, &Batch) -> Result<f64, TrainError>,
    ) -> Result<EpochStats, TrainError> {
        let per_positive = self.config.n_negatives + 1;
        let n = self.data.n_interactions() * per_positive;
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..n as u32);
        self.shuffle.at(epoch, 0).shuffle(&mut order);
        let (mut batch, mut loss) = (Batch::default(), 0.0);
        for samples in order.chunks(self.config.batch_size) {
            batch.clear();
            for sample in samples {
                let (at, draw) = (*sample as usize / per_positive, *sample as usize % per_positive);
                let user = self.user_of[at];
                if draw == 0 {
                    batch.push(user, self.data.all_items()[at].0, 1.0);
                } else {
                    batch.push(user, self.negatives.draw(epoch, u64::from(*sample), user.into()).0, 0.0);
                }
            }
            loss += step(self, &batch)?;
        }
        self.order = order;
        Ok(EpochStats { loss: loss / n as f64, samples: n as u64 })
    }

    fn begin_epoch(&mut self, epoch: u32) -> Result<(), BoxError> {
        let mut guides = std::mem::take(&mut self.guides);
        let mut student = || -> Result<Box<dyn Scorer<Query = UserId>>, BoxError> { Ok(Box::new(self.model()?)) };
        let begun = guides.iter_mut().try_for_each(|guide| guide.begin_epoch(epoch, &mut student));
        self.guides = guides;
        begun
    }
}

impl Step for Training<'_, '_> {
    fn run_epoch(&mut self, epoch: u32) -> Result<EpochStats, TrainError> {
        let failed = |source| TrainError::Model { epoch, source };
        self.begin_epoch(epoch).map_err(failed)?;
        self.for_each_batch(epoch, |training, batch| {
            let Self { network, params, keys, config, guides, .. } = training;
            network.step(params, keys, batch, config, guides).map_err(failed)
        })
    }

    fn params(&self) -> &ParamStore {
        &self.params
    }

    fn params_mut(&mut self) -> &mut ParamStore {
        &mut self.params
    }
}

/// The model that these parameters make.
pub(super) fn frozen(config: &NeuMfConfig, store: &ParamStore, keys: &Keys) -> NeuMf {
    let dense = |key| Array::from(store.dense(key).values().to_vec());
    let parts = Parts {
        users: store.rows(keys.users).values().to_vec().into(),
        items: store.rows(keys.items).values().to_vec().into(),
        layers: keys.layers.iter().map(|(weight, bias)| (dense(*weight), dense(*bias))).collect(),
        output: dense(keys.output),
        bias: store.dense(keys.bias).values()[0],
    };
    NeuMf::from_parts(config.clone(), parts)
}
