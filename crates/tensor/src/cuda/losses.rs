//! Losses of samples, with their gradients.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Groups, Places, check_matrix};

pub(super) static SOURCE: Source = Source {
    name: "losses",
    text: include_str!("../../kernels/losses.cu"),
    kernels: &["bpr_slopes", "bpr_users", "bpr_items", "bce_with_logits", "hinge", "sum_blocks"],
};

/// Samples (user, positive item, negative item) by the rows of two gathered matrices, grouped by row too.
#[derive(Debug)]
pub struct DevicePairs {
    users: Places,
    positives: Places,
    negatives: Places,
    /// Samples of each user row.
    of_user: Groups,
    /// Twice the sample, plus one where the item is its negative, of each item row.
    of_item: Groups,
}

impl DevicePairs {
    /// Uploads samples; users are below `n_users`, items below `n_items`.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If lengths differ, or a row is out of range.
    pub fn new(
        ops: &GpuOps,
        [users, positives, negatives]: [&[u32]; 3],
        n_users: usize,
        n_items: usize,
    ) -> Result<Self, GpuError> {
        let n = users.len();
        assert_eq!([positives.len(), negatives.len()], [n, n], "each sample needs a user and two items");
        let entries = positives.iter().zip(negatives).zip(0..).flat_map(|((i, j), s)| [(*i, 2 * s), (*j, 2 * s + 1)]);
        Ok(Self {
            users: ops.places(users, n_users)?,
            positives: ops.places(positives, n_items)?,
            negatives: ops.places(negatives, n_items)?,
            of_user: ops.groups(users, n_users)?,
            of_item: ops.groups_of(entries, n_items, 2 * n)?,
        })
    }
}

impl GpuOps {
    /// BPR, as [`kernels::bpr`](crate::kernels::bpr), but the gradients are written, not added: returns `Σ -ln σ(u·(i - j))`;
    /// users and d_users (n_users, dim), items and d_items (n_items, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    #[expect(clippy::too_many_arguments, reason = "as on the processor")]
    pub fn bpr(
        &self,
        users: &Buffer<f32>,
        items: &Buffer<f32>,
        dim: usize,
        pairs: &DevicePairs,
        scale: f32,
        l2: f32,
        d_users: &mut Buffer<f32>,
        d_items: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        let (n, n_users, n_items) = (pairs.users.len(), pairs.users.below, pairs.positives.below);
        for (what, buffer, rows) in [("users", users, n_users), ("items", items, n_items)] {
            check_matrix(what, buffer, rows, dim);
        }
        check_matrix("d_users", d_users, n_users, dim);
        check_matrix("d_items", d_items, n_items, dim);
        let (mut losses, mut slopes) = (self.gpu.zeros::<f32>(n)?, self.gpu.zeros::<f32>(n)?);
        let (u, i, j) = (&pairs.users.buffer, &pairs.positives.buffer, &pairs.negatives.buffer);
        let args = Args::new().read(users).read(items).read(u).read(i).read(j).size(n).size(dim).float(scale);
        self.run(&SOURCE, "bpr_slopes", Shape::warps_for(n), args.write(&mut losses).write(&mut slopes))?;
        let groups = &pairs.of_user;
        let args = Args::new().read(users).read(items).read(i).read(j).read(&slopes).read(&groups.offsets);
        let args = args.read(&groups.at).size(n_users).size(dim).float(l2).write(d_users);
        self.run(&SOURCE, "bpr_users", Shape::warps_for(n_users), args)?;
        let groups = &pairs.of_item;
        let args = Args::new().read(users).read(items).read(u).read(&slopes).read(&groups.offsets);
        let args = args.read(&groups.at).size(n_items).size(dim).float(l2).write(d_items);
        self.run(&SOURCE, "bpr_items", Shape::warps_for(n_items), args)?;
        self.sum(&losses)
    }

    /// [`kernels::bce_with_logits`](crate::kernels::bce_with_logits).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn bce_with_logits(
        &self,
        logits: &Buffer<f32>,
        targets: &Buffer<f32>,
        scale: f32,
        d_logits: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        let n = logits.len();
        check_matrix("targets", targets, n, 1);
        check_matrix("d_logits", d_logits, n, 1);
        let mut losses = self.gpu.zeros(n)?;
        let args = Args::new().read(logits).read(targets).size(n).float(scale).write(&mut losses).write(d_logits);
        self.run(&SOURCE, "bce_with_logits", Shape::threads_for(n), args)?;
        self.sum(&losses)
    }

    /// [`kernels::hinge`](crate::kernels::hinge).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn hinge(
        &self,
        margins: &Buffer<f32>,
        target: f32,
        scale: f32,
        d_margins: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        let n = margins.len();
        check_matrix("d_margins", d_margins, n, 1);
        let mut losses = self.gpu.zeros(n)?;
        let args = Args::new().read(margins).size(n).float(target).float(scale).write(&mut losses).write(d_margins);
        self.run(&SOURCE, "hinge", Shape::threads_for(n), args)?;
        self.sum(&losses)
    }

    /// The sum, in double precision and in a fixed order.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn sum(&self, x: &Buffer<f32>) -> Result<f64, GpuError> {
        let n_blocks = x.len().div_ceil(256).clamp(1, 512);
        let mut sums = self.gpu.zeros::<f64>(n_blocks)?;
        let shape = Shape { blocks: [n_blocks as u32, 1], threads: 256 };
        self.run(&SOURCE, "sum_blocks", shape, Args::new().read(x).size(x.len()).write(&mut sums))?;
        Ok(self.gpu.download(&sums)?.iter().sum())
    }
}
