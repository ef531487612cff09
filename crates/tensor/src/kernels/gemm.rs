//! Matrix product, through the `gemm` crate (packed, AVX-512 where the machine has it).

/// How a row-major operand enters the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// As it is stored.
    Plain,
    /// Transposed.
    Transposed,
}

/// `c ← alpha · op(a) · op(b) + beta · c`; all row-major, single-threaded.
///
/// - **Shapes**: op(a) (m, k), op(b) (k, n), c (m, n). With [`Op::Transposed`], `a` is stored (k, m) and `b` (n, k).
/// - **Edges**: `beta = 0` ignores what `c` holds, NaN too; `k = 0` leaves `beta · c`.
///
/// # Panics
/// If a slice has another size.
#[expect(clippy::too_many_arguments, reason = "the signature that everyone knows from BLAS")]
pub fn gemm(
    (m, n, k): (usize, usize, usize),
    alpha: f32,
    a: &[f32],
    op_a: Op,
    b: &[f32],
    op_b: Op,
    beta: f32,
    c: &mut [f32],
) {
    assert_eq!(a.len(), m * k, "a must hold {m} × {k} values");
    assert_eq!(b.len(), k * n, "b must hold {k} × {n} values");
    assert_eq!(c.len(), m * n, "c must hold {m} × {n} values");
    if m == 0 || n == 0 {
        return;
    }
    let strides = |op, rows: usize, columns: usize| match op {
        // (column stride, row stride) of op(x), which is rows × columns.
        Op::Plain => (1, columns as isize),
        Op::Transposed => (rows as isize, 1),
    };
    let (a_cs, a_rs) = strides(op_a, m, k);
    let (b_cs, b_rs) = strides(op_b, k, n);
    #[expect(unsafe_code, reason = "the gemm crate takes pointers and strides")]
    // SAFETY: the three sizes were checked above, and the strides walk exactly those sizes; `c` is borrowed mutably, so
    // it overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            beta != 0.0,
            a.as_ptr(),
            a_cs,
            a_rs,
            b.as_ptr(),
            b_cs,
            b_rs,
            beta,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, normals};
    use super::*;

    fn naive(
        (m, n, k): (usize, usize, usize),
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
    ) -> Vec<f32> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                c[i * n + j] = (0..k).map(|p| f64::from(a(i, p)) * f64::from(b(p, j))).sum::<f64>() as f32;
            }
        }
        c
    }

    #[test]
    fn every_transposition_equals_the_plain_loop() {
        for (m, n, k) in [(1, 1, 1), (5, 7, 3), (33, 64, 17), (128, 40, 65)] {
            let (a, b) = (normals("a", m * k), normals("b", k * n));
            for op_a in [Op::Plain, Op::Transposed] {
                for op_b in [Op::Plain, Op::Transposed] {
                    let at = |i: usize, p: usize| if op_a == Op::Plain { a[i * k + p] } else { a[p * m + i] };
                    let bt = |p: usize, j: usize| if op_b == Op::Plain { b[p * n + j] } else { b[j * k + p] };
                    let want = naive((m, n, k), at, bt);
                    let mut c = vec![f32::NAN; m * n];
                    gemm((m, n, k), 1.0, &a, op_a, &b, op_b, 0.0, &mut c);
                    assert_close(&c, &want, 2e-5);
                    gemm((m, n, k), -2.0, &a, op_a, &b, op_b, 3.0, &mut c);
                    assert_close(&c, &want, 2e-5);
                }
            }
        }
    }

    #[test]
    fn an_empty_inner_dimension_leaves_beta_times_c() {
        let mut c = [2.0, 4.0];
        gemm((1, 2, 0), 1.0, &[], Op::Plain, &[], Op::Plain, 0.5, &mut c);
        assert_eq!(c, [1.0, 2.0]);
    }
}
