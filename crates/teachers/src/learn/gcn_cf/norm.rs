//! Batch normalisation over the nodes.

use rectify_tensor::kernels::{add_assign, column_sums_add};
use rectify_tensor::parallel;

use super::kernels::{combine, covariances, squares};
use crate::learn::convolution::PIECE;

/// Added to a variance before its root is taken.
const EPSILON: f64 = 1e-5;

/// Mean and inverse deviation of each column over all rows.
#[derive(Debug, Default)]
pub(super) struct Norm {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

/// `f` adds sums over a piece of rows to its second argument; pieces are added in double precision, in order.
fn column_sums(n: usize, width: usize, f: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync + Send) -> Vec<f64> {
    let map = |rows| {
        let mut sums = vec![0.0; width];
        f(rows, &mut sums);
        sums
    };
    parallel::map_reduce(n, PIECE, map, vec![0.0; width], |mut total: Vec<f64>, part| {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += f64::from(part));
        total
    })
}

impl Norm {
    /// Statistics of x (n, dim). The mean comes first: columns lie far from 0 compared with their spread.
    pub(super) fn of(x: &[f32], dim: usize) -> Self {
        let n = x.len() / dim;
        let rows = |r: std::ops::Range<usize>| &x[r.start * dim..r.end * dim];
        let sums = column_sums(n, dim, |r, sums| column_sums_add(rows(r), sums));
        let mean: Vec<f32> = sums.iter().map(|sum| (sum / n as f64) as f32).collect();
        let sums = column_sums(n, dim, |r, sums| squares(rows(r), &mean, sums));
        Self::from_squares(mean, sums.into_iter(), n)
    }

    /// From sums of squares around the mean.
    fn from_squares(mean: Vec<f32>, squares: impl Iterator<Item = f64>, n: usize) -> Self {
        let inverse = squares.map(|sum| (1.0 / (sum / n as f64 + EPSILON).sqrt()) as f32).collect();
        Self { mean, inverse }
    }

    /// From sums of squares around the mean that a device made.
    #[cfg(feature = "cuda")]
    pub(super) fn from_sums(mean: Vec<f32>, squares: &[f32], n: usize) -> Self {
        Self::from_squares(mean, squares.iter().map(|sum| f64::from(*sum)), n)
    }

    /// The normalisation as `a x + b`, column by column.
    pub(super) fn affine(&self, gamma: &[f32], beta: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let a: Vec<f32> = gamma.iter().zip(&self.inverse).map(|(gamma, inverse)| gamma * inverse).collect();
        let b = beta.iter().zip(&a).zip(&self.mean).map(|((beta, a), mean)| beta - a * mean).collect();
        (a, b)
    }

    /// `d` comes as the gradient of the normalised rows and leaves as that of x; those of scale and shift are added.
    pub(super) fn backward(&self, x: &[f32], gamma: &[f32], d: &mut [f32], d_gamma: &mut [f32], d_beta: &mut [f32]) {
        let dim = self.mean.len();
        let n = x.len() / dim;
        let sums = column_sums(n, 2 * dim, |r, sums| {
            let rows = r.start * dim..r.end * dim;
            let (sums, products) = sums.split_at_mut(dim);
            covariances(&x[rows.clone()], &self.mean, &d[rows], sums, products);
        });
        let Backward { scale, shift, d: a, x: b, constant: c } = self.factors(gamma, &sums[..dim], &sums[dim..], n);
        add_assign(d_beta, &shift);
        add_assign(d_gamma, &scale);
        parallel::fill_rows(d, dim, PIECE, |first, d| {
            combine(d, &x[first * dim..][..d.len()], &self.mean, &a, &b, &c);
        });
    }

    /// What the sums `Σ d` and `Σ d (x - mean)` over n rows say.
    pub(super) fn factors(&self, gamma: &[f32], sums: &[f64], products: &[f64], n: usize) -> Backward {
        // dx = a (d - mean(d) - x̂ mean(d x̂)) with x̂ = (x - mean) inverse and a = gamma inverse.
        let mut back = Backward::default();
        for ((gamma, inverse), (sum, product)) in gamma.iter().zip(&self.inverse).zip(sums.iter().zip(products)) {
            let inverse = f64::from(*inverse);
            let product = product * inverse;
            let gain = f64::from(*gamma) * inverse;
            back.shift.push(*sum as f32);
            back.scale.push(product as f32);
            back.d.push(gain as f32);
            back.x.push((-gain * inverse * product / n as f64) as f32);
            back.constant.push((-gain * sum / n as f64) as f32);
        }
        back
    }
}

/// Backward of a normalisation, column by column: the gradients of scale and shift, and `dx = d·δ + x·(x - mean) + constant`, δ being the
/// gradient of the normalised rows.
#[derive(Debug, Default)]
pub(super) struct Backward {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) d: Vec<f32>,
    pub(super) x: Vec<f32>,
    pub(super) constant: Vec<f32>,
}
