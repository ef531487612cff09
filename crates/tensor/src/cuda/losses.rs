//! Losses of samples, with their gradients.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Groups, Places, check_matrix};

pub(super) static SOURCE: Source = Source {
    name: "losses",
    text: include_str!("../../kernels/losses.cu"),
    kernels: &[
        "bpr_slopes",
        "bpr_users",
        "bpr_items",
        "bce_with_logits",
        "hinge",
        "labelled_hinge",
        "half_squares",
        "labelled_rows",
        "sum_blocks",
    ],
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

/// Samples (user, item, label) by the rows of two gathered matrices, grouped by row too.
#[derive(Debug)]
pub struct DeviceLabelled {
    users: Places,
    items: Places,
    labels: Buffer<f32>,
    /// Samples of each user row, and of each item row.
    of_user: Groups,
    of_item: Groups,
}

impl DeviceLabelled {
    /// Uploads samples; users are below `n_users`, items below `n_items`.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If lengths differ, or a row is out of range.
    pub fn new(
        ops: &GpuOps,
        [users, items]: [&[u32]; 2],
        labels: &[f32],
        n_users: usize,
        n_items: usize,
    ) -> Result<Self, GpuError> {
        let n = users.len();
        assert_eq!([items.len(), labels.len()], [n, n], "each sample needs a user, an item and a label");
        Ok(Self {
            users: ops.places(users, n_users)?,
            items: ops.places(items, n_items)?,
            labels: ops.gpu.upload(labels)?,
            of_user: ops.groups(users, n_users)?,
            of_item: ops.groups(items, n_items)?,
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
    #[expect(clippy::too_many_arguments, reason = "as on the CPU")]
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

    /// Cross-entropy of inner products, as [`kernels::bce`](crate::kernels::bce), but the gradients are written, not added: returns
    /// `Σ -y ln σ(u·i) - (1 - y) ln(1 - σ(u·i))`; users and d_users (n_users, dim), items and d_items (n_items, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    #[expect(clippy::too_many_arguments, reason = "as on the CPU")]
    pub fn bce(
        &self,
        users: &Buffer<f32>,
        items: &Buffer<f32>,
        dim: usize,
        samples: &DeviceLabelled,
        scale: f32,
        l2: f32,
        d_users: &mut Buffer<f32>,
        d_items: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        let DeviceLabelled { users: u, items: i, labels, of_user, of_item } = samples;
        let (mut scores, mut slopes) = (self.gpu.zeros(u.len())?, self.gpu.zeros(u.len())?);
        self.list_dots(users, items, dim, u, i, &mut scores)?;
        let loss = self.bce_with_logits(&scores, labels, scale, &mut slopes)?;
        for (own, others, other_of, groups, d) in
            [(users, items, i, of_user, d_users), (items, users, u, of_item, d_items)]
        {
            check_matrix("a gradient", d, groups.n_groups, dim);
            let args = Args::new().read(own).read(others).read(&other_of.buffer).read(&slopes).read(&groups.offsets);
            let args = args.read(&groups.at).size(groups.n_groups).size(dim).float(l2).write(d);
            self.run(&SOURCE, "labelled_rows", Shape::warps_for(groups.n_groups), args)?;
        }
        Ok(loss)
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
        self.each("bce_with_logits", logits, targets, scale, d_logits)
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

    /// Hinge of values x with labels of −1 or +1: returns `Σ max(0, 1 − label · x)`, and writes `d_values = −scale · label` where the
    /// hinge is active, else 0; all (n).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn labelled_hinge(
        &self,
        values: &Buffer<f32>,
        labels: &Buffer<f32>,
        scale: f32,
        d_values: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        self.each("labelled_hinge", values, labels, scale, d_values)
    }

    /// Returns `½ Σ (x − target)²`, and writes `d_values = scale · (x − target)`; all (n).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn half_squares(
        &self,
        values: &Buffer<f32>,
        targets: &Buffer<f32>,
        scale: f32,
        d_values: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        self.each("half_squares", values, targets, scale, d_values)
    }

    /// A loss of numbers that each have one beside them.
    fn each(
        &self,
        kernel: &'static str,
        values: &Buffer<f32>,
        beside: &Buffer<f32>,
        scale: f32,
        d_values: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        let n = values.len();
        check_matrix("labels or targets", beside, n, 1);
        check_matrix("gradients", d_values, n, 1);
        let mut losses = self.gpu.zeros(n)?;
        let args = Args::new().read(values).read(beside).size(n).float(scale).write(&mut losses).write(d_values);
        self.run(&SOURCE, kernel, Shape::threads_for(n), args)?;
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
