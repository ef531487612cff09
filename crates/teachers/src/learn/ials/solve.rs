//! One half of an epoch: every row of one side, given the other.

use std::ops::Range;

use rayon::prelude::*;
use rectify_core::as_u32s;
use rectify_data::Interactions;
use rectify_tensor::kernels::{add_assign, axpy, cholesky_solve, dot, gram_add, padded, squared_norm};
use rectify_tensor::parallel::map_reduce;

use super::{IalsConfig, Solver};

/// Rows of one side, each with the rows of the other side it interacted with.
pub(super) struct Side<'a> {
    offsets: &'a [u64],
    partners: &'a [u32],
    n_others: usize,
    config: &'a IalsConfig,
}

/// Rows that are gathered before their outer products are added.
const BLOCK: usize = 128;
/// Rows of a partial Gram matrix of a whole table; fixes the order of the sum.
const PIECE: usize = 2048;
/// Rows that a thread solves at a time.
const ROWS: usize = 16;

impl<'a> Side<'a> {
    pub(super) fn users(data: &'a Interactions, config: &'a IalsConfig) -> Self {
        let (offsets, partners) = (data.user_offsets(), as_u32s(data.all_items()));
        Self { offsets, partners, n_others: data.n_items(), config }
    }

    pub(super) fn items(data: &'a Interactions, config: &'a IalsConfig) -> Self {
        let (offsets, partners) = (data.item_offsets(), as_u32s(data.all_users()));
        Self { offsets, partners, n_others: data.n_users(), config }
    }

    fn partners_of(&self, row: usize) -> &'a [u32] {
        &self.partners[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// λ (n + α₀ N)^ν.
    fn l2_of(&self, row: usize) -> f64 {
        let weight = self.partners_of(row).len() as f64 + self.config.unobserved_weight * self.n_others as f64;
        self.config.l2 * weight.powf(self.config.frequency_exponent)
    }

    /// Solves all rows of `own` given `others`.
    ///
    /// # Errors
    /// The number of a row that f32 cannot solve.
    pub(super) fn solve(&self, others: &[f32], own: &mut [f32]) -> Result<(), usize> {
        let dim = self.config.embedding_dim;
        let mut base = gram(others, dim, self.config.unobserved_weight as f32);
        if self.config.solver != Solver::Cholesky {
            mirror(&mut base, dim);
        }
        let solve = |scratch: &mut Scratch, (chunk, rows): (usize, &mut [f32])| -> Option<usize> {
            for (row, vector) in (chunk * ROWS..).zip(rows.chunks_exact_mut(dim)) {
                let partners = self.partners_of(row);
                if partners.is_empty() {
                    vector.fill(0.0);
                    continue;
                }
                let l2 = self.l2_of(row) as f32;
                let solved = match self.config.solver {
                    Solver::Cholesky => scratch.cholesky(&base, others, partners, l2, vector),
                    Solver::ConjugateGradient { steps } => {
                        scratch.conjugate_gradient(&base, others, partners, l2, steps, vector)
                    }
                };
                if !solved {
                    return Some(row);
                }
            }
            None
        };
        let chunks = own.par_chunks_mut(dim * ROWS).enumerate();
        let failed: Vec<Option<usize>> = chunks.map_init(|| Scratch::new(dim), solve).collect();
        failed.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// `λ Σ (n + α₀ N)^ν ‖row‖²`.
    pub(super) fn penalty(&self, own: &[f32]) -> f64 {
        let dim = self.config.embedding_dim;
        let row = |row: usize| self.l2_of(row) * f64::from(squared_norm(&own[row * dim..(row + 1) * dim]));
        map_reduce(own.len() / dim, PIECE, |rows| rows.map(row).sum::<f64>(), 0.0, |a, b| a + b)
    }

    /// The objective without the penalty of the other side.
    pub(super) fn objective(&self, others: &[f32], own: &[f32]) -> f64 {
        let dim = self.config.embedding_dim;
        let errors = |row: usize| -> f64 {
            let vector = &own[row * dim..(row + 1) * dim];
            let error = |&partner: &u32| 1.0 - f64::from(dot(vector, row_of(others, dim, partner)));
            self.partners_of(row).iter().map(|partner| error(partner).powi(2)).sum()
        };
        let observed = map_reduce(own.len() / dim, PIECE, |rows| rows.map(errors).sum::<f64>(), 0.0, |a, b| a + b);
        // Σ_u Σ_i (p_u·q_i)² is the inner product of the two Gram matrices.
        let (mut a, mut b) = (gram(others, dim, 1.0), gram(own, dim, 1.0));
        mirror(&mut a, dim);
        mirror(&mut b, dim);
        let all: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        observed + self.config.unobserved_weight * all + self.penalty(own)
    }
}

fn row_of(table: &[f32], dim: usize, row: u32) -> &[f32] {
    &table[row as usize * dim..][..dim]
}

/// `scale · XᵀX`, its upper triangle, `[dim, padded(dim)]`.
fn gram(table: &[f32], dim: usize, scale: f32) -> Vec<f32> {
    let stride = padded(dim);
    let piece = |rows: Range<usize>| {
        let mut gram = vec![0.0; dim * stride];
        let mut block = vec![0.0; BLOCK * stride];
        for rows in table[rows.start * dim..rows.end * dim].chunks(BLOCK * dim) {
            for (padded, row) in block.chunks_exact_mut(stride).zip(rows.chunks_exact(dim)) {
                padded[..dim].copy_from_slice(row);
            }
            gram_add(&block[..rows.len() / dim * stride], stride, scale, &mut gram);
        }
        gram
    };
    let add = |mut sum: Vec<f32>, part: Vec<f32>| {
        add_assign(&mut sum, &part);
        sum
    };
    map_reduce(table.len() / dim, PIECE, piece, vec![0.0; dim * stride], add)
}

/// Fills the lower triangle from the upper one.
fn mirror(gram: &mut [f32], dim: usize) {
    let stride = padded(dim);
    for i in 0..dim {
        for j in 0..i {
            gram[i * stride + j] = gram[j * stride + i];
        }
    }
}

/// Memory of one thread.
struct Scratch {
    dim: usize,
    matrix: Vec<f32>,
    block: Vec<f32>,
    residual: Vec<f32>,
    direction: Vec<f32>,
    image: Vec<f32>,
}

impl Scratch {
    fn new(dim: usize) -> Self {
        let stride = padded(dim);
        let vector = || vec![0.0; dim];
        Self {
            dim,
            matrix: vec![0.0; dim * stride],
            block: vec![0.0; BLOCK * stride],
            residual: vector(),
            direction: vector(),
            image: vector(),
        }
    }

    /// Solves `(base + Σ qqᵀ + λI) x = Σ q`, the sums over the partners' vectors q; false if f32 cannot.
    fn cholesky(&mut self, base: &[f32], others: &[f32], partners: &[u32], l2: f32, x: &mut [f32]) -> bool {
        let (dim, stride) = (self.dim, padded(self.dim));
        self.matrix.copy_from_slice(base);
        x.fill(0.0);
        for partners in partners.chunks(BLOCK) {
            for (padded, &partner) in self.block.chunks_exact_mut(stride).zip(partners) {
                let row = row_of(others, dim, partner);
                padded[..dim].copy_from_slice(row);
                add_assign(x, row);
            }
            gram_add(&self.block[..partners.len() * stride], stride, 1.0, &mut self.matrix);
        }
        for k in 0..dim {
            self.matrix[k * stride + k] += l2;
        }
        cholesky_solve(&mut self.matrix, stride, x)
    }

    /// Some steps towards the solution of the same system, from `x`; `base` is whole.
    fn conjugate_gradient(
        &mut self,
        base: &[f32],
        others: &[f32],
        partners: &[u32],
        l2: f32,
        steps: u32,
        x: &mut [f32],
    ) -> bool {
        let (dim, stride) = (self.dim, padded(self.dim));
        let Self { residual, direction, image, .. } = self;
        let apply = |x: &[f32], out: &mut [f32]| {
            for (out, row) in out.iter_mut().zip(base.chunks_exact(stride)) {
                *out = dot(&row[..dim], x);
            }
            axpy(l2, x, out);
            for &partner in partners {
                let row = row_of(others, dim, partner);
                axpy(dot(row, x), row, out);
            }
        };
        apply(x, image);
        residual.fill(0.0);
        for &partner in partners {
            add_assign(residual, row_of(others, dim, partner));
        }
        axpy(-1.0, image, residual);
        direction.copy_from_slice(residual);
        let mut norm = squared_norm(residual);
        for _ in 0..steps {
            // Solved as well as f32 can tell.
            if norm < 1e-20 {
                break;
            }
            apply(direction, image);
            let step = norm / dot(direction, image);
            axpy(step, direction, x);
            axpy(-step, image, residual);
            let next = squared_norm(residual);
            direction.iter_mut().zip(&*residual).for_each(|(d, r)| *d = r + next / norm * *d);
            norm = next;
        }
        x.iter().all(|x| x.is_finite())
    }
}
