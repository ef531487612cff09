//! Lists and codes.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, GpuError, GpuOps, Places, check_matrix};

pub(super) static SOURCE: Source = Source {
    name: "lists",
    text: include_str!("../../kernels/lists.cu"),
    kernels: &["list_dots", "suffix_log_sum_exp", "suffix_log_sum_exp_backward", "softmax_cross_entropy"],
};

pub(super) static CODES: Source = Source {
    name: "codes",
    text: include_str!("../../kernels/codes.cu"),
    kernels: &["select_codes", "straight_through"],
};

impl GpuOps {
    /// [`kernels::list_dots`](crate::kernels::list_dots): `out[l, j] = users[places[l]] · items[slots[l, j]]`.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn list_dots(
        &self,
        users: &Buffer<f32>,
        items: &Buffer<f32>,
        dim: usize,
        places: &Places,
        slots: &Places,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("users", users, places.below, dim);
        check_matrix("items", items, slots.below, dim);
        let n_lists = places.len();
        if n_lists == 0 {
            return Ok(());
        }
        let len = slots.len() / n_lists;
        assert_eq!(slots.len(), n_lists * len, "each list needs as many items");
        check_matrix("out", out, n_lists, len);
        let args = Args::new().read(users).read(items).read(&places.buffer).read(&slots.buffer);
        let args = args.size(n_lists).size(len).size(dim).write(out);
        self.run(&SOURCE, "list_dots", Shape::warps_for(n_lists * len), args)
    }

    /// [`kernels::suffix_log_sum_exp`](crate::kernels::suffix_log_sum_exp); a and out (rows, K), b (rows, L).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn suffix_log_sum_exp(
        &self,
        a: &Buffer<f32>,
        b: &Buffer<f32>,
        (k, l): (usize, usize),
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        if k == 0 {
            return Ok(());
        }
        let rows = out.len() / k;
        check_matrix("out", out, rows, k);
        check_matrix("a", a, rows, k);
        check_matrix("b", b, rows, l);
        let args = Args::new().read(a).read(b).size(rows).size(k).size(l).write(out);
        self.run(&SOURCE, "suffix_log_sum_exp", Shape::warps_for(rows), args)
    }

    /// [`kernels::suffix_log_sum_exp_backward`](crate::kernels::suffix_log_sum_exp_backward), for K above 0.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree.
    pub fn suffix_log_sum_exp_backward(
        &self,
        (a, b, out): (&Buffer<f32>, &Buffer<f32>, &Buffer<f32>),
        (k, l): (usize, usize),
        d_out: &Buffer<f32>,
        d_a: &mut Buffer<f32>,
        d_b: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        assert!(k > 0, "K must be above 0");
        let rows = out.len() / k;
        for (what, buffer, width) in [("out", out, k), ("a", a, k), ("b", b, l), ("d_out", d_out, k)] {
            check_matrix(what, buffer, rows, width);
        }
        check_matrix("d_a", d_a, rows, k);
        check_matrix("d_b", d_b, rows, l);
        let args = Args::new().read(a).read(b).read(out).read(d_out).size(rows).size(k).size(l).write(d_a).write(d_b);
        self.run(&SOURCE, "suffix_log_sum_exp_backward", Shape::warps_for(rows), args)
    }

    /// [`kernels::softmax_cross_entropy`](crate::kernels::softmax_cross_entropy); all (rows, width).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree, or the width is 0.
    pub fn softmax_cross_entropy(
        &self,
        student: &Buffer<f32>,
        teacher: &Buffer<f32>,
        width: usize,
        temperature: f32,
        d_student: &mut Buffer<f32>,
    ) -> Result<f64, GpuError> {
        assert!(width > 0, "rows need a width above 0");
        let rows = student.len() / width;
        check_matrix("student", student, rows, width);
        check_matrix("teacher", teacher, rows, width);
        check_matrix("d_student", d_student, rows, width);
        let mut losses = self.gpu.zeros(rows)?;
        let args = Args::new().read(student).read(teacher).size(rows).size(width).float(temperature);
        self.run(&SOURCE, "softmax_cross_entropy", Shape::warps_for(rows), args.write(&mut losses).write(d_student))?;
        self.sum(&losses)
    }

    /// [`kernels::select_codes`](crate::kernels::select_codes): similarity (n, W), codebook (W, dim), codes (n), out (n, dim).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree, or there is no codeword.
    pub fn select_codes(
        &self,
        similarity: &Buffer<f32>,
        codebook: &Buffer<f32>,
        (n_codewords, dim): (usize, usize),
        codes: &mut Buffer<u32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        assert!(n_codewords > 0, "there is no codeword to select");
        let n = codes.len();
        check_matrix("similarity", similarity, n, n_codewords);
        check_matrix("codebook", codebook, n_codewords, dim);
        check_matrix("out", out, n, dim);
        let args = Args::new().read(similarity).read(codebook).size(n).size(n_codewords).size(dim);
        self.run(&CODES, "select_codes", Shape::warps_for(n), args.write(codes).write(out))
    }

    /// The slope of each choice, straight through `softmax(similarity / T)`, in place of `d_choice`; both (n, W).
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree, or there is no codeword.
    pub fn straight_through(
        &self,
        similarity: &Buffer<f32>,
        n_codewords: usize,
        temperature: f32,
        d_choice: &mut Buffer<f32>,
    ) -> Result<(), GpuError> {
        assert!(n_codewords > 0, "there is no codeword to select");
        let n = similarity.len() / n_codewords;
        check_matrix("similarity", similarity, n, n_codewords);
        check_matrix("d_choice", d_choice, n, n_codewords);
        let args = Args::new().read(similarity).size(n).size(n_codewords).float(temperature).write(d_choice);
        self.run(&CODES, "straight_through", Shape::warps_for(n), args)
    }
}
