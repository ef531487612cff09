//! One step: loss, gradients, optimiser; closed form throughout.

use rayon::prelude::*;
use rectify_data::samplers::PositiveBatch;
use rectify_distill::{euclidean_hint, list_distillation};
use rectify_tensor::kernels::{self, Pairs, bpr};

use super::encoder::{Affine, Scratch, TILE, Tile, TowerGradients};
use super::{Distillation, Model};

/// Tiles whose gradients are added up before those of others; a fixed number, so that threads change no bits.
const TILES_OF_PIECE: usize = 4;
/// Items of a piece.
const PIECE: usize = TILES_OF_PIECE * TILE;

/// Some tiles, and the gradients they give.
#[derive(Default)]
struct Piece {
    tiles: Vec<Tile>,
    gradients: TowerGradients,
}

/// Everything between parameters and their gradients; reused from step to step.
#[derive(Default)]
pub(super) struct Workspace {
    affine: Affine,
    pieces: Vec<Piece>,
    tower: TowerGradients,
    /// Vectors of the batch's distinct items `[m, D]`: as they enter, decoded, and the gradients of both.
    entering: Vec<f32>,
    pub(super) decoded: Vec<f32>,
    pub(super) d_entering: Vec<f32>,
    d_decoded: Vec<f32>,
    /// Vectors of its distinct users, and their gradients.
    pub(super) user_rows: Vec<f32>,
    pub(super) d_users: Vec<f32>,
    /// Gradients of all users, where a loss reaches them all.
    pub(super) d_all_users: Vec<f32>,
    pub(super) d_codebooks: Vec<f32>,
    pub(super) d_forms: Vec<f32>,
    pub(super) d_bias: Vec<f32>,
    pub(super) d_recurrence: Vec<f32>,
    /// One vector an occurrence.
    occurrences: [Vec<f32>; 4],
    scores: [Vec<f32>; 3],
    offsets: Vec<usize>,
}

/// Makes `values` hold `n` zeros.
fn zeros(values: &mut Vec<f32>, n: usize) {
    values.clear();
    values.resize(n, 0.0);
}

impl Model<'_> {
    /// One step; returns the loss of the batch before it, L2 left out.
    pub(super) fn step(&mut self, drawn: PositiveBatch<'_>) -> f64 {
        self.batch.fill(drawn);
        let loss = self.gradients();
        self.apply();
        loss
    }

    /// The loss of the batch, L2 left out, and all gradients.
    pub(super) fn gradients(&mut self) -> f64 {
        self.gather();
        self.forward();
        let loss = self.rank() + self.distil();
        self.backward();
        loss
    }

    /// The batch's rows, as they are before the step.
    fn gather(&mut self) {
        let (dim, batch, work) = (self.teacher.dim(), &self.batch, &mut self.work);
        let [users] = self.params.rows_mut([self.users]);
        if self.hint.is_some() {
            users.settle();
        }
        work.user_rows.resize(batch.users.rows().len() * dim, 0.0);
        users.gather(batch.users.rows(), &mut work.user_rows);
        work.entering.resize(batch.items.rows().len() * dim, 0.0);
        match self.items {
            Some(key) => self.params.rows_mut([key])[0].gather(batch.items.rows(), &mut work.entering),
            None => kernels::gather_rows(self.teacher.items(), dim, batch.items.rows(), &mut work.entering),
        }
        zeros(&mut work.d_users, work.user_rows.len());
        zeros(&mut work.d_decoded, work.entering.len());
        zeros(&mut work.d_entering, if self.items.is_some() { work.entering.len() } else { 0 });
    }

    /// Encodes and decodes the batch's items.
    fn forward(&mut self) {
        let (dim, work) = (self.teacher.dim(), &mut self.work);
        work.affine.refresh(&self.encoder, &self.params);
        let tower = self.encoder.tower(&self.params, &work.affine);
        let n_pieces = work.entering.len().div_ceil(PIECE * dim);
        work.pieces.resize_with(n_pieces.max(work.pieces.len()), Piece::default);
        work.decoded.resize(work.entering.len(), 0.0);
        let items = work.entering.par_chunks(PIECE * dim).zip(work.decoded.par_chunks_mut(PIECE * dim));
        work.pieces[..n_pieces].par_iter_mut().zip(items).for_each_init(
            Scratch::default,
            |scratch, (piece, (items, decoded))| {
                piece.tiles.resize_with(TILES_OF_PIECE, Tile::default);
                let rows = items.chunks(TILE * dim).zip(decoded.chunks_mut(TILE * dim));
                for (tile, (items, decoded)) in piece.tiles.iter_mut().zip(rows) {
                    tile.forward(&tower, items, scratch);
                    decoded.copy_from_slice(tile.decoded());
                }
            },
        );
    }

    /// BPR and L2.
    fn rank(&mut self) -> f64 {
        let (dim, batch, work) = (self.teacher.dim(), &self.batch, &mut self.work);
        let pairs = Pairs {
            users: &batch.pair_users,
            positives: &batch.pair_positives,
            negatives: batch.negative_slots(),
            user_slots: &batch.pair_users,
            positive_slots: &batch.pair_positives,
            negative_slots: batch.negative_slots(),
        };
        let (p, y) = (&work.user_rows[..], &work.decoded[..]);
        let scale = 1.0 / batch.pair_users.len() as f32;
        let sum = bpr(p, y, dim, &pairs, scale, 0.0, &mut work.d_users, &mut work.d_decoded);
        let l2 = (self.config.l2 / batch.n as f64) as f32;
        if l2 > 0.0 {
            for (slots, rows, gradient) in
                [(&batch.user_slots, p, &mut work.d_users), (&batch.item_slots, y, &mut work.d_decoded)]
            {
                for &slot in slots {
                    let row = slot as usize * dim..(slot as usize + 1) * dim;
                    kernels::axpy(l2, &rows[row.clone()], &mut gradient[row]);
                }
            }
        }
        sum / batch.pair_users.len() as f64
    }

    /// What is learned from the teacher.
    fn distil(&mut self) -> f64 {
        match self.config.distillation {
            Distillation::None => 0.0,
            Distillation::Euclidean { weight } => self.euclidean(weight),
            Distillation::InnerProduct { weight } => self.inner_product(weight),
            Distillation::RankedInnerProduct { weight, ranking_weight, ranking_temperature } => {
                self.inner_product(weight) + self.ranking(ranking_weight, ranking_temperature)
            }
        }
    }

    /// E-KD over the batch's items; an item that comes twice counts twice.
    fn euclidean(&mut self, weight: f64) -> f64 {
        let (dim, slots, work) = (self.teacher.dim(), &self.batch.item_slots, &mut self.work);
        let [q, y, d_q, d_y] = &mut work.occurrences;
        for values in [&mut *q, y] {
            values.resize(slots.len() * dim, 0.0);
        }
        kernels::gather_rows(&work.entering, dim, slots, q);
        kernels::gather_rows(&work.decoded, dim, slots, y);
        zeros(d_y, y.len());
        zeros(d_q, if self.items.is_some() { q.len() } else { 0 });
        let weight = weight / slots.len() as f64;
        let d_teacher = self.items.is_some().then_some(&mut d_q[..]);
        let sum = euclidean_hint(q, y, weight as f32, d_y, d_teacher).expect("sizes made to fit");
        kernels::scatter_add_rows(d_y, dim, slots, &mut work.d_decoded);
        if self.items.is_some() {
            kernels::scatter_add_rows(d_q, dim, slots, &mut work.d_entering);
        }
        weight * sum
    }

    /// IP-KD over the batch's items and all users; the teacher's side is frozen.
    fn inner_product(&mut self, weight: f64) -> f64 {
        let (dim, batch, work) = (self.teacher.dim(), &self.batch, &mut self.work);
        let hint = self.hint.as_mut().expect("made for this distillation");
        let (p1, p) = (self.teacher.users(), self.params.rows(self.users).values());
        hint.refresh(p1, p).expect("sizes made to fit");
        let [q, y, _, d_y] = &mut work.occurrences;
        for values in [&mut *q, y] {
            values.resize(batch.item_slots.len() * dim, 0.0);
        }
        kernels::gather_rows(self.teacher.items(), dim, &batch.item_ids, q);
        kernels::gather_rows(&work.decoded, dim, &batch.item_slots, y);
        zeros(d_y, y.len());
        let weight = weight / (batch.item_slots.len() * self.teacher.n_users()) as f64;
        let sum = hint.loss(q, y, weight as f32, d_y, None).expect("sizes made to fit");
        kernels::scatter_add_rows(d_y, dim, &batch.item_slots, &mut work.d_decoded);
        zeros(&mut work.d_all_users, p.len());
        hint.user_gradient((p1, p), (q, y), weight as f32, &mut work.d_all_users).expect("sizes made to fit");
        weight * sum
    }

    /// R-KD over the negatives of each interaction.
    fn ranking(&mut self, weight: f64, temperature: f64) -> f64 {
        let (dim, batch, work) = (self.teacher.dim(), &self.batch, &mut self.work);
        let [student, teacher, slopes] = &mut work.scores;
        let row = |slot: u32| slot as usize * dim..(slot as usize + 1) * dim;
        let places = || batch.pair_users.iter().zip(batch.negative_slots());
        student.clear();
        student.extend(places().map(|(u, j)| kernels::dot(&work.user_rows[row(*u)], &work.decoded[row(*j)])));
        teacher.clear();
        for (user, items) in batch.user_ids.iter().zip(batch.item_ids[batch.n..].chunks_exact(batch.n_negatives)) {
            let user = self.teacher.user(*user as usize);
            teacher.extend(items.iter().map(|item| kernels::dot(user, self.teacher.item(*item as usize))));
        }
        zeros(slopes, student.len());
        work.offsets.clear();
        work.offsets.extend((0..=batch.n).map(|list| list * batch.n_negatives));
        let weight = weight / batch.n as f64;
        let sum = list_distillation(student, teacher, &work.offsets, temperature as f32, weight as f32, slopes)
            .expect("sizes made to fit");
        for ((u, j), slope) in places().zip(&*slopes) {
            kernels::axpy(*slope, &work.decoded[row(*j)], &mut work.d_users[row(*u)]);
            kernels::axpy(*slope, &work.user_rows[row(*u)], &mut work.d_decoded[row(*j)]);
        }
        weight * sum
    }

    /// From the decoded items back to the parameters of the encoder.
    fn backward(&mut self) {
        let (dim, work) = (self.teacher.dim(), &mut self.work);
        let tower = self.encoder.tower(&self.params, &work.affine);
        let n_pieces = work.decoded.len().div_ceil(PIECE * dim);
        let trained = self.items.is_some();
        // Where items are not trained, no piece has a place for their gradients.
        let mut d_items: Vec<Option<&mut [f32]>> = if trained {
            work.d_entering.chunks_mut(PIECE * dim).map(Some).collect()
        } else {
            (0..n_pieces).map(|_| None).collect()
        };
        let pieces = work.pieces[..n_pieces].par_iter_mut().zip(work.d_decoded.par_chunks(PIECE * dim));
        pieces.zip(d_items.par_iter_mut()).for_each_init(Scratch::default, |scratch, ((piece, d_decoded), d_items)| {
            piece.gradients.clear(&tower);
            for (t, (tile, d_decoded)) in piece.tiles.iter().zip(d_decoded.chunks(TILE * dim)).enumerate() {
                let d_items = d_items.as_mut().map(|all| &mut all[t * TILE * dim..][..d_decoded.len()]);
                tile.backward(&tower, d_decoded, &mut piece.gradients, d_items, scratch);
            }
        });
        work.tower.clear(&tower);
        for piece in &work.pieces[..n_pieces] {
            work.tower.add(&piece.gradients);
        }
        std::mem::swap(&mut work.d_codebooks, &mut work.tower.codebooks);
        std::mem::swap(&mut work.d_recurrence, &mut work.tower.recurrence);
        let size = |key: Option<_>| key.map_or(0, |key| self.params.dense(key).values().len());
        zeros(&mut work.d_forms, size(self.encoder.keys.forms));
        zeros(&mut work.d_bias, size(self.encoder.keys.bias));
        let d_affine = &work.tower.affine;
        let params = &self.params;
        Affine::backward(d_affine, &self.encoder, params, &mut work.d_codebooks, &mut work.d_forms, &mut work.d_bias);
        if self.hint.is_some() {
            let users = work.d_users.chunks_exact(dim).zip(self.batch.users.rows());
            for (gradient, user) in users {
                kernels::add_assign(&mut work.d_all_users[*user as usize * dim..][..dim], gradient);
            }
        }
    }

    /// Follows the gradients.
    fn apply(&mut self) {
        let (optimizer, batch, work) = (&self.config.optimizer, &self.batch, &self.work);
        let [users] = self.params.rows_mut([self.users]);
        if self.hint.is_some() {
            users.apply_dense(&work.d_all_users, optimizer);
        } else {
            users.apply(batch.users.rows(), &work.d_users, optimizer);
        }
        if let Some(key) = self.items {
            self.params.rows_mut([key])[0].apply(batch.items.rows(), &work.d_entering, optimizer);
        }
        let keys = self.encoder.keys;
        for (key, gradient) in [
            (Some(keys.codebooks), &work.d_codebooks),
            (keys.forms, &work.d_forms),
            (keys.bias, &work.d_bias),
            (keys.recurrence, &work.d_recurrence),
        ] {
            if let Some(key) = key {
                self.params.dense_mut([key])[0].apply(gradient, optimizer);
            }
        }
    }
}
