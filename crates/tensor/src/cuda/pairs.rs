//! Pairs of a user and an item, as neural collaborative filtering reads them.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Groups, Places, check_matrix};

pub(super) static SOURCE: Source = Source {
    name: "pairs",
    text: include_str!("../../kernels/pairs.cu"),
    kernels: &["read_pairs", "pair_logits", "outer", "pair_gradients", "product_gradients"],
};

/// Widths of a row: what the product reads, then what the tower reads; each may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairWidths {
    /// Of the product.
    pub gmf: usize,
    /// Of the tower.
    pub mlp: usize,
}

/// Whose rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The left half of the tower's input.
    Users,
    /// The right half.
    Items,
}

impl GpuOps {
    /// `product[s] = u ⊙ i` of the first parts, `tower[s] = [u ; i]` of the second ones.
    ///
    /// **Shapes**: users and items (rows, gmf + mlp), product (n, gmf), tower (n, 2·mlp).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn read_pairs(
        &self,
        (users, items): (&Buffer<f32>, &Buffer<f32>),
        (u, i): (&Places, &Places),
        w: PairWidths,
        product: &mut Buffer<f32>,
        tower: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let n = u.len();
        assert_eq!(i.len(), n, "each pair needs a user and an item");
        check_matrix("users", users, u.below, w.gmf + w.mlp);
        check_matrix("items", items, i.below, w.gmf + w.mlp);
        check_matrix("product", product, n, w.gmf);
        check_matrix("tower", tower, n, 2 * w.mlp);
        let args = Args::new().read(users).read(items).read(&u.buffer).read(&i.buffer).size(n).size(w.gmf).size(w.mlp);
        self.run(&SOURCE, "read_pairs", Shape::warps_for(n), args.write(product).write(tower))
    }

    /// `logits[s] = weights · [product[s] ; top[s]] + bias`.
    ///
    /// **Shapes**: product (n, gmf), top (n, the rest of the weights), bias (1).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn pair_logits(
        &self,
        product: &Buffer<f32>,
        top: &Buffer<f32>,
        gmf: usize,
        (weights, bias): (&Buffer<f32>, &Buffer<f32>),
        logits: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let (n, width) = (logits.len(), weights.len() - gmf);
        check_matrix("product", product, n, gmf);
        check_matrix("top", top, n, width);
        check_matrix("bias", bias, 1, 1);
        let args = Args::new().read(product).read(top).read(weights).read(bias).size(n).size(gmf).size(width);
        self.run(&SOURCE, "pair_logits", Shape::warps_for(n), args.write(logits))
    }

    /// `out[s] = slopes[s] · weights[from..]`; out (n, weights.len() − from).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn outer(
        &self,
        slopes: &Buffer<f32>,
        weights: &Buffer<f32>,
        from: usize,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let (n, width) = (slopes.len(), weights.len() - from);
        check_matrix("out", out, n, width);
        let args = Args::new().read(slopes).read(weights).size(n).size(width).size(from).write(out);
        self.run(&SOURCE, "outer", Shape::threads_for(n * width), args)
    }

    /// Gradients of one side's rows from `slopes`, those of the logits, and `d_tower`, that of the tower's input: what
    /// [`read_pairs`](Self::read_pairs) and [`pair_logits`](Self::pair_logits) owe them.
    ///
    /// **Shapes**: others (rows, gmf + mlp), the other side's; weights (gmf or more); d_tower (n, 2·mlp); d (groups, gmf + mlp).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    #[expect(clippy::too_many_arguments, reason = "two sides, two parts, and where the gradient goes")]
    pub fn pair_gradients(
        &self,
        side: Side,
        others: &Buffer<f32>,
        other_of: &Places,
        groups: &Groups,
        slopes: &Buffer<f32>,
        weights: &Buffer<f32>,
        d_tower: &Buffer<f32>,
        w: PairWidths,
        d: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let n = slopes.len();
        check_matrix("others", others, other_of.below, w.gmf + w.mlp);
        check_matrix("d_tower", d_tower, n, 2 * w.mlp);
        check_matrix("d", d, groups.n_groups, w.gmf + w.mlp);
        assert!(weights.len() >= w.gmf, "{} weights for products of width {}", weights.len(), w.gmf);
        assert_eq!([other_of.len(), groups.below], [n, n], "each sample needs both sides");
        let start = match side {
            Side::Users => 0,
            Side::Items => w.mlp,
        };
        let args = Args::new().read(others).read(&other_of.buffer).read(&groups.offsets).read(&groups.at);
        let args = args.size(groups.n_groups).read(slopes).read(weights).read(d_tower).size(w.gmf).size(w.mlp);
        self.run(&SOURCE, "pair_gradients", Shape::warps_for(groups.n_groups), args.size(start).write(d))
    }

    /// Gradients of one side's rows from `d_product`, that of the products of [`read_pairs`](Self::read_pairs) for rows that are read by
    /// the product alone.
    ///
    /// **Shapes**: others (rows, dim), the other side's; d_product (n, dim); d (groups, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn product_gradients(
        &self,
        others: &Buffer<f32>,
        other_of: &Places,
        groups: &Groups,
        dim: usize,
        d_product: &Buffer<f32>,
        d: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        let n = other_of.len();
        check_matrix("others", others, other_of.below, dim);
        check_matrix("d_product", d_product, n, dim);
        check_matrix("d", d, groups.n_groups, dim);
        assert_eq!(groups.below, n, "each sample needs both sides");
        let args = Args::new().read(others).read(&other_of.buffer).read(&groups.offsets).read(&groups.at);
        let args = args.size(groups.n_groups).read(d_product).size(dim).write(d);
        self.run(&SOURCE, "product_gradients", Shape::warps_for(groups.n_groups), args)
    }
}
