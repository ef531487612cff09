//! What a step reads of users and items: each distinct row once, whatever the number of pairs it is in.
//!
//! The tower's first layer reads `[p'_u ; q'_i]`, so `W₁ [p'_u ; q'_i] + b₁` is the sum of a share of the user and a share of the item;
//! a row's share is computed once, and a pair costs an addition. Lists have many pairs for each distinct item.

use rectify_tensor::RowTable;
use rectify_tensor::kernels::{Activation, Op, bias_act, column_sums_add, gemm};

use super::kernels::{Reads, Writes, join_rows, split_rows};

/// Widths of what a row is made of: product vector, tower vector, share of the first layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) gmf: usize,
    pub(super) mlp: usize,
    pub(super) first: usize,
}

/// The distinct users or items of a step, and the gradients of what was read of them.
#[derive(Debug)]
pub(super) struct Shares {
    widths: Widths,
    n_rows: usize,
    /// (rows, gmf).
    products: Vec<f32>,
    /// (rows, mlp).
    towers: Vec<f32>,
    /// (rows, first).
    shares: Vec<f32>,
    d_products: Vec<f32>,
    d_shares: Vec<f32>,
    d_towers: Vec<f32>,
    /// Gradients of whole rows (rows, gmf + mlp).
    d_rows: Vec<f32>,
}

impl Shares {
    pub(super) fn new(widths: Widths) -> Self {
        let empty = Vec::new;
        Self {
            widths,
            n_rows: 0,
            products: empty(),
            towers: empty(),
            shares: empty(),
            d_products: empty(),
            d_shares: empty(),
            d_towers: empty(),
            d_rows: empty(),
        }
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.n_rows = 0;
        for values in [&mut self.products, &mut self.towers, &mut self.shares, &mut self.d_products, &mut self.d_shares]
        {
            values.clear();
        }
    }

    /// Reads the rows behind those it has; `weight` (mlp, first) is this side's half of the first layer, `bias` (first) is added to
    /// its shares, or empty.
    pub(super) fn read(&mut self, table: &mut RowTable, rows: &[u32], weight: &[f32], bias: &[f32]) {
        let Widths { gmf, mlp, first } = self.widths;
        let new = &rows[self.n_rows..];
        self.products.resize(rows.len() * gmf, 0.0);
        self.towers.resize(rows.len() * mlp, 0.0);
        let (products, towers) = (&mut self.products[self.n_rows * gmf..], &mut self.towers[self.n_rows * mlp..]);
        split_rows(table.refresh(new), new, (gmf, mlp), products, towers);
        self.d_products.resize(rows.len() * gmf, 0.0);
        self.shares.resize(rows.len() * first, 0.0);
        self.d_shares.resize(rows.len() * first, 0.0);
        let (towers, shares) = (&self.towers[self.n_rows * mlp..], &mut self.shares[self.n_rows * first..]);
        gemm((new.len(), first, mlp), 1.0, towers, Op::Plain, weight, Op::Plain, 0.0, shares);
        bias_act(shares, bias, Activation::Identity);
        self.n_rows = rows.len();
    }

    /// For pairs whose rows are `slots`.
    pub(super) fn reads<'a>(&'a mut self, slots: &'a [u32]) -> (Reads<'a>, Writes<'a>) {
        let reads = Reads { products: &self.products, shares: &self.shares, slots };
        (reads, Writes { products: &mut self.d_products, shares: &mut self.d_shares })
    }

    /// From the gradients of what was read to those of the rows (rows, gmf + mlp); **adds** those of the weight and, unless it is empty,
    /// of the bias.
    pub(super) fn gradients(&mut self, weight: &[f32], d_weight: &mut [f32], d_bias: &mut [f32]) -> &[f32] {
        let (n, Widths { gmf, mlp, first }) = (self.n_rows, self.widths);
        gemm((mlp, first, n), 1.0, &self.towers, Op::Transposed, &self.d_shares, Op::Plain, 1.0, d_weight);
        column_sums_add(&self.d_shares, d_bias);
        self.d_towers.resize(n * mlp, 0.0);
        gemm((n, mlp, first), 1.0, &self.d_shares, Op::Plain, weight, Op::Transposed, 0.0, &mut self.d_towers);
        self.d_rows.resize(n * (gmf + mlp), 0.0);
        join_rows(&self.d_products, &self.d_towers, (gmf, mlp), &mut self.d_rows);
        &self.d_rows
    }
}
