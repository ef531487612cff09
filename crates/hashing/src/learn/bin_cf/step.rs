//! One step of training, written out: loss and gradient at the rows of a batch.

use rayon::prelude::*;
use rectify_core::rng::Seed;
use rectify_core::{ItemId, QueryError, Scorer, UserId};
use rectify_distill::list_distillation;
use rectify_tensor::kernels::{self, Activation, bias_act, logistic};
use rectify_tensor::{Csr, parallel};

use super::batch::Batch;
use super::kernels::{list_scores, rounding};
use super::{BinCfConfig, Relaxation};

/// Losses of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Losses {
    /// Mean over interactions of `-ln σ(s_ui - s_uj)`.
    pub(super) bpr: f64,
    /// Mean over users of both lists' cross-entropy.
    pub(super) ranking: f64,
    /// Sums over entries of the rows of the batch, divided by its interactions.
    pub(super) noise: f64,
    pub(super) corner: f64,
}

impl Losses {
    pub(super) fn total(&self, config: &BinCfConfig) -> f64 {
        let ranking = config.ranking_weight * config.temperature * config.temperature;
        let corner = if config.relaxation == Relaxation::Corners { config.corner_weight } else { 0.0 };
        self.bpr + ranking * self.ranking + config.noise_weight * self.noise + corner * self.corner
    }
}

/// What the rows of a batch hold, and their gradients; (rows, dim).
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Parameters p.
    pub(super) users: Vec<f32>,
    pub(super) items: Vec<f32>,
    pub(super) d_users: Vec<f32>,
    pub(super) d_items: Vec<f32>,
}

/// The teacher's scores of the distilled items of a batch, positives and negatives.
pub(super) fn teacher_scores(teacher: &dyn Scorer<Query = UserId>, batch: &Batch) -> Result<[Vec<f32>; 2], QueryError> {
    let n = batch.chosen.len();
    let mut items = [vec![ItemId(0); n], vec![ItemId(0); n]];
    let id = |at: usize| ItemId(batch.items()[batch.slots[at] as usize]);
    batch.for_each_chosen(|at, positive, negative| {
        items[0][at] = id(positive);
        items[1][at] = id(negative);
    });
    let score = |items: &[ItemId]| -> Result<Vec<f32>, QueryError> {
        let lists: Vec<Result<Vec<f32>, QueryError>> = batch
            .users
            .par_iter()
            .zip(batch.list_offsets.par_windows(2))
            .map(|(user, list)| {
                let items = &items[list[0]..list[1]];
                let mut scores = vec![0.0; items.len()];
                teacher.score_into(user, items, &mut scores)?;
                match scores.iter().position(|score| !score.is_finite()) {
                    Some(at) => Err(QueryError::NotFinite { position: items[at].index(), value: scores[at] }),
                    None => Ok(scores),
                }
            })
            .collect();
        Ok(lists.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    };
    Ok([score(&items[0])?, score(&items[1])?])
}

/// Losses of a batch, and the gradient of their weighted sum in `rows`.
///
/// `noise` gives the draws of [`Relaxation::Stochastic`], a place for each row of the tables.
pub(super) fn step(
    config: &BinCfConfig,
    dim: usize,
    batch: &Batch,
    teacher: Option<&[Vec<f32>; 2]>,
    noise: (Seed, u32),
    rows: &mut Rows,
) -> Losses {
    let Rows { users, items, d_users, d_items } = rows;
    let zeros = vec![0.0; dim];
    for x in [&mut *users, &mut *items] {
        parallel::fill_rows(x, dim, PIECE, |_, x| bias_act(x, &zeros, Activation::Tanh));
    }
    let drawn = (config.relaxation == Relaxation::Stochastic).then(|| {
        let user_ids: Vec<u32> = batch.users.iter().map(|user| user.0).collect();
        let bits = |name, x: &[f32], ids: &[u32]| draw(noise.0.stream(name), noise.1, config, x, dim, ids);
        (bits("user bits", users, &user_ids), bits("item bits", items, batch.items()))
    });
    let (u, v) = drawn.as_ref().map_or((&*users, &*items), |(u, v)| (u, v));

    let factor = config.score_scale as f32;
    let scores = scores(batch, u, v, dim, factor);
    let mut slopes = vec![0.0; scores.len()];
    let mut losses = Losses { bpr: bpr(batch, &scores, &mut slopes), ..Losses::default() };
    if let Some(teacher) = teacher {
        losses.ranking = ranking(config, batch, &scores, teacher, &mut slopes);
    }

    slopes.iter_mut().for_each(|slope| *slope *= factor);

    // Gradients of scores to those of rows: two sparse products, with sums in a fixed order.
    let offsets = batch.offsets.iter().map(|at| *at as u64).collect();
    let slopes = Csr::new(batch.items().len(), offsets, batch.slots.clone(), slopes).expect("slots are in range");
    d_users.resize(users.len(), 0.0);
    d_items.resize(items.len(), 0.0);
    slopes.spmm(v, dim, d_users);
    slopes.transpose().spmm(u, dim, d_items);

    let corner = if config.relaxation == Relaxation::Corners { config.corner_weight } else { 0.0 };
    let scale = 1.0 / batch.n_triples() as f64;
    let weights = [config.noise_weight * scale, corner * scale].map(|x| x as f32);
    for (x, d) in [(&*users, d_users), (&*items, d_items)] {
        let (noise, corner) = penalties(x, d, dim, config.noise_temperature as f32, weights);
        losses.noise += noise * scale;
        losses.corner += corner * scale;
        parallel::fill_rows(d, dim, PIECE, |first, d| {
            kernels::activation_backward(&x[first * dim..][..d.len()], d, Activation::Tanh);
        });
    }
    losses
}

/// Rows that a thread takes at a time.
const PIECE: usize = 128;

/// Bits with `P(+1) = σ(x / τ)`, as ±1.
pub(super) fn draw(seed: Seed, place: u32, config: &BinCfConfig, x: &[f32], dim: usize, ids: &[u32]) -> Vec<f32> {
    let mut bits = x.to_vec();
    let inverse = 1.0 / config.noise_temperature as f32;
    parallel::fill_rows(&mut bits, dim, PIECE, |first, bits| {
        for (row, id) in bits.chunks_exact_mut(dim).zip(&ids[first..]) {
            let mut rng = seed.at(place, u64::from(*id));
            for x in row {
                *x = if rng.unit_f32() < kernels::sigmoid(*x * inverse) { 1.0 } else { -1.0 };
            }
        }
    });
    bits
}

/// Scores of all lists, `factor x_u · x_i`.
fn scores(batch: &Batch, users: &[f32], items: &[f32], dim: usize, factor: f32) -> Vec<f32> {
    let lists: Vec<Vec<f32>> = users
        .par_chunks(dim)
        .zip(batch.offsets.par_windows(2))
        .map(|(user, list)| {
            let slots = &batch.slots[list[0]..list[1]];
            let mut out = vec![0.0; slots.len()];
            list_scores(user, items, slots, &mut out);
            out.iter_mut().for_each(|score| *score *= factor);
            out
        })
        .collect();
    lists.concat()
}

/// Mean BPR over the interactions; writes its slopes.
fn bpr(batch: &Batch, scores: &[f32], slopes: &mut [f32]) -> f64 {
    let n = batch.n_triples();
    let mut margins = Vec::with_capacity(n);
    for (u, list) in batch.offsets.windows(2).enumerate() {
        let (positives, negatives) = scores[list[0]..list[1]].split_at(batch.length(u));
        margins.extend(positives.iter().zip(negatives).map(|(i, j)| i - j));
    }
    let mut d = vec![0.0; n];
    let loss = logistic(&margins, 1.0 / n as f32, &mut d) / n as f64;
    let mut rest = &d[..];
    for (u, list) in batch.offsets.windows(2).enumerate() {
        let (d, after) = rest.split_at(batch.length(u));
        rest = after;
        let (positives, negatives) = slopes[list[0]..list[1]].split_at_mut(d.len());
        for ((positive, negative), d) in positives.iter_mut().zip(negatives).zip(d) {
            (*positive, *negative) = (*d, -d);
        }
    }
    loss
}

/// Mean over users of the distillation loss of both lists; adds its weighted slopes.
fn ranking(config: &BinCfConfig, batch: &Batch, scores: &[f32], teacher: &[Vec<f32>; 2], slopes: &mut [f32]) -> f64 {
    let (n, n_users) = (batch.chosen.len(), batch.users.len() as f64);
    let mut student = [vec![0.0; n], vec![0.0; n]];
    batch.for_each_chosen(|at, positive, negative| {
        student[0][at] = scores[positive];
        student[1][at] = scores[negative];
    });
    let weight = (config.ranking_weight * config.temperature * config.temperature / n_users) as f32;
    let mut d = [vec![0.0; n], vec![0.0; n]];
    let mut loss = 0.0;
    for ((student, teacher), d) in student.iter().zip(teacher).zip(&mut d) {
        let temperature = config.temperature as f32;
        loss += list_distillation(student, teacher, &batch.list_offsets, temperature, weight, d)
            .expect("lists of one length, and a temperature that was checked");
    }
    batch.for_each_chosen(|at, positive, negative| {
        slopes[positive] += d[0][at];
        slopes[negative] += d[1][at];
    });
    loss / n_users
}

/// Sums of the rounding penalties of rows x; adds their weighted slopes to `d`.
fn penalties(x: &[f32], d: &mut [f32], dim: usize, temperature: f32, weights: [f32; 2]) -> (f64, f64) {
    let width = PIECE * dim;
    let parts: Vec<(f64, f64)> = x
        .par_chunks(width)
        .zip(d.par_chunks_mut(width))
        .map(|(x, d)| rounding(x, temperature, weights[0], weights[1], d))
        .collect();
    parts.into_iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
}
