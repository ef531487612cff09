//! Hint losses: the student's vectors should be near the teacher's, or act like them under the users' inner products.

use rectify_tensor::kernels::Op;

use crate::LossError;
use crate::error::{check_len, check_rows};
use crate::math::Real;

/// Euclidean hint (E-KD): `Σ ‖q - y‖²`.
///
/// LightRec (Lian et al., WWW 2020), Eq. 8; the hint loss of Romero et al. (ICLR 2015) without a regressor.
///
/// - **Shapes**: `teacher` (q), `student` (y), `d_student` and, if the teacher's vectors train too, `d_teacher`: all the
///   same, any number of rows.
/// - **Returns** the sum; **adds** `weight ·` its gradient, `2 (y - q)` for the student, `2 (q - y)` for the teacher.
///
/// # Errors
/// Sizes that differ.
pub fn euclidean_hint(
    teacher: &[f32],
    student: &[f32],
    weight: f32,
    d_student: &mut [f32],
    d_teacher: Option<&mut [f32]>,
) -> Result<f64, LossError> {
    check_len("student vectors", teacher.len(), student.len())?;
    check_len("gradients of student vectors", teacher.len(), d_student.len())?;
    for ((d, q), y) in d_student.iter_mut().zip(teacher).zip(student) {
        *d += 2.0 * weight * (y - q);
    }
    if let Some(d_teacher) = d_teacher {
        check_len("gradients of teacher vectors", teacher.len(), d_teacher.len())?;
        for ((d, q), y) in d_teacher.iter_mut().zip(teacher).zip(student) {
            *d += 2.0 * weight * (q - y);
        }
    }
    Ok(teacher.iter().zip(student).map(|(q, y)| (q - y).wide().powi(2)).sum())
}

/// Inner-product hint (IP-KD): an item's scores for all users should be the teacher's, `Σᵢ ‖P₁ qᵢ - P yᵢ‖²`.
///
/// LightRec (Lian et al., WWW 2020), Eqs. 9 and 10. With the Gram matrices `P₁ᵀP₁`, `P₁ᵀP`, `PᵀP` cached, an item costs
/// O(D²) instead of O(users · D): `qᵀ(P₁ᵀP₁)q - 2 qᵀ(P₁ᵀP)y + yᵀ(PᵀP)y`. After the student's users have moved, call
/// [`refresh`](Self::refresh).
///
/// - **Letters**: `P₁` (users, `D_t`) and q, the frozen teacher's users and items; `P` (users, `D_s`) and y, the student's.
/// - **Reading**: the sum runs over all users, so useful weights shrink as 1 / users (the paper's grid is 10⁻¹⁰ to 10⁻⁴);
///   a mean over users is the same with the weight multiplied by their number.
#[derive(Clone, Debug)]
pub struct InnerProductHint {
    grams: Grams<f32>,
}

impl InnerProductHint {
    /// Gram matrices of `teacher_users` (users, `teacher_dim`) and `student_users` (users, `student_dim`).
    ///
    /// # Errors
    /// Users that are no whole rows, or not equally many.
    pub fn new(
        teacher_users: &[f32],
        teacher_dim: usize,
        student_users: &[f32],
        student_dim: usize,
    ) -> Result<Self, LossError> {
        let n_users = check_rows("teacher users", teacher_dim, teacher_users.len())?;
        check_len("student users", n_users * student_dim, student_users.len())?;
        Ok(Self { grams: Grams::new(teacher_users, teacher_dim, student_users, student_dim) })
    }

    /// Takes up new student users; `teacher_users` are those of [`new`](Self::new).
    ///
    /// # Errors
    /// Users that are no whole rows, or not equally many.
    pub fn refresh(&mut self, teacher_users: &[f32], student_users: &[f32]) -> Result<(), LossError> {
        let n_users = check_rows("teacher users", self.grams.teacher_dim, teacher_users.len())?;
        check_len("student users", n_users * self.grams.student_dim, student_users.len())?;
        self.grams.refresh(teacher_users, student_users);
        Ok(())
    }

    /// The loss of a batch of items.
    ///
    /// - **Shapes**: `teacher_items` (n, `D_t`), `student_items` and `d_student_items` (n, `D_s`), `d_teacher_items` as
    ///   `teacher_items`, for those who train q too.
    /// - **Returns** the sum over items; **adds** `weight ·` its gradient, `2 [(PᵀP) y - (PᵀP₁) q]` for y.
    ///
    /// # Errors
    /// Items that are no whole rows, or not equally many.
    pub fn loss(
        &self,
        teacher_items: &[f32],
        student_items: &[f32],
        weight: f32,
        d_student_items: &mut [f32],
        d_teacher_items: Option<&mut [f32]>,
    ) -> Result<f64, LossError> {
        let n = check_rows("teacher items", self.grams.teacher_dim, teacher_items.len())?;
        check_len("student items", n * self.grams.student_dim, student_items.len())?;
        check_len("gradients of student items", student_items.len(), d_student_items.len())?;
        if let Some(d) = &d_teacher_items {
            check_len("gradients of teacher items", teacher_items.len(), d.len())?;
        }
        Ok(self.grams.loss(teacher_items, student_items, weight, d_student_items, d_teacher_items))
    }

    /// The gradient for the student's users, of the loss of the same batch of items: **adds**
    /// `weight · 2 [P (Σ y yᵀ) - P₁ (Σ q yᵀ)]` to `d_users` (users, `D_s`). O(users · D²).
    ///
    /// # Errors
    /// Users or items that are no whole rows, or not equally many.
    pub fn user_gradient(
        &self,
        (teacher_users, student_users): (&[f32], &[f32]),
        (teacher_items, student_items): (&[f32], &[f32]),
        weight: f32,
        d_users: &mut [f32],
    ) -> Result<(), LossError> {
        let n_items = check_rows("teacher items", self.grams.teacher_dim, teacher_items.len())?;
        check_len("student items", n_items * self.grams.student_dim, student_items.len())?;
        let n_users = check_rows("teacher users", self.grams.teacher_dim, teacher_users.len())?;
        check_len("student users", n_users * self.grams.student_dim, student_users.len())?;
        check_len("gradients of student users", student_users.len(), d_users.len())?;
        self.grams.user_gradient((teacher_users, student_users), (teacher_items, student_items), weight, d_users);
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Grams<R> {
    teacher_dim: usize,
    student_dim: usize,
    /// P₁ᵀP₁ (D_t, D_t).
    teacher: Vec<R>,
    /// P₁ᵀP (D_t, D_s).
    cross: Vec<R>,
    /// PᵀP (D_s, D_s).
    student: Vec<R>,
}

impl<R: Real> Grams<R> {
    fn new(teacher_users: &[R], teacher_dim: usize, student_users: &[R], student_dim: usize) -> Self {
        let mut grams = Self {
            teacher_dim,
            student_dim,
            teacher: vec![R::ZERO; teacher_dim * teacher_dim],
            cross: vec![R::ZERO; teacher_dim * student_dim],
            student: vec![R::ZERO; student_dim * student_dim],
        };
        product(teacher_users, teacher_dim, teacher_users, teacher_dim, &mut grams.teacher);
        grams.refresh(teacher_users, student_users);
        grams
    }

    fn refresh(&mut self, teacher_users: &[R], student_users: &[R]) {
        product(teacher_users, self.teacher_dim, student_users, self.student_dim, &mut self.cross);
        product(student_users, self.student_dim, student_users, self.student_dim, &mut self.student);
    }

    fn loss(&self, q: &[R], y: &[R], weight: R, d_y: &mut [R], d_q: Option<&mut [R]>) -> f64 {
        let (dt, ds) = (self.teacher_dim, self.student_dim);
        if dt == 0 || ds == 0 {
            return 0.0;
        }
        let n = q.len() / dt;
        // Half gradients: for q, A q - B y; for y, C y - Bᵀ q; the loss is q · the one + y · the other.
        let mut half_q = vec![R::ZERO; q.len()];
        R::gemm((n, dt, dt), R::ONE, q, Op::Plain, &self.teacher, Op::Plain, R::ZERO, &mut half_q);
        R::gemm((n, dt, ds), -R::ONE, y, Op::Plain, &self.cross, Op::Transposed, R::ONE, &mut half_q);
        let mut half_y = vec![R::ZERO; y.len()];
        R::gemm((n, ds, ds), R::ONE, y, Op::Plain, &self.student, Op::Plain, R::ZERO, &mut half_y);
        R::gemm((n, ds, dt), -R::ONE, q, Op::Plain, &self.cross, Op::Plain, R::ONE, &mut half_y);
        let mut total = 0.0;
        for (x, half, dim) in [(q, &half_q, dt), (y, &half_y, ds)] {
            for (x, half) in x.chunks_exact(dim).zip(half.chunks_exact(dim)) {
                total += x.iter().zip(half).map(|(x, h)| x.wide() * h.wide()).sum::<f64>();
            }
        }
        let two = weight + weight;
        for (d, h) in d_y.iter_mut().zip(&half_y) {
            *d += two * *h;
        }
        if let Some(d_q) = d_q {
            for (d, h) in d_q.iter_mut().zip(&half_q) {
                *d += two * *h;
            }
        }
        total
    }

    fn user_gradient(&self, (p1, p): (&[R], &[R]), (q, y): (&[R], &[R]), weight: R, d_p: &mut [R]) {
        let (dt, ds) = (self.teacher_dim, self.student_dim);
        if dt == 0 || ds == 0 {
            return;
        }
        let n_users = p.len() / ds;
        let (mut yy, mut qy) = (vec![R::ZERO; ds * ds], vec![R::ZERO; dt * ds]);
        product(y, ds, y, ds, &mut yy);
        product(q, dt, y, ds, &mut qy);
        let two = weight + weight;
        R::gemm((n_users, ds, ds), two, p, Op::Plain, &yy, Op::Plain, R::ONE, d_p);
        R::gemm((n_users, ds, dt), -two, p1, Op::Plain, &qy, Op::Plain, R::ONE, d_p);
    }
}

/// `out ← aᵀ b`, of matrices with one number of rows.
fn product<R: Real>(a: &[R], a_dim: usize, b: &[R], b_dim: usize, out: &mut [R]) {
    let rows = a.len().checked_div(a_dim).unwrap_or(0);
    R::gemm((a_dim, b_dim, rows), R::ONE, a, Op::Transposed, b, Op::Plain, R::ZERO, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::testing::{assert_close, assert_gradient, narrow, normals};

    const P1: [f32; 6] = [1.0, 0.0, 0.0, 2.0, 1.0, 1.0];
    const P: [f32; 6] = [1.0, 0.5, 0.0, 2.0, 1.0, 0.0];
    const Q: [f32; 2] = [1.2, 0.3];
    const Y: [f32; 2] = [1.0, 0.5];

    #[test]
    fn the_euclidean_hint_is_the_squared_residual() {
        let (mut dy, mut dq) = ([1.0; 2], [0.0; 2]);
        let loss = euclidean_hint(&Q, &[1.5, 0.5], 1.0, &mut dy, Some(&mut dq)).unwrap();
        assert!((loss - 0.13).abs() < 1e-7);
        assert_close(&dy, &[1.6, 1.4], 1e-6);
        assert_close(&dq, &[-0.6, -0.4], 1e-6);
        assert!(euclidean_hint(&Q, &[1.0], 1.0, &mut [0.0; 2], None).is_err());
        assert!(euclidean_hint(&[100.0], &[-100.0], 1.0, &mut [0.0], None).unwrap() == 40_000.0);
    }

    #[test]
    fn gram_matrices_give_the_worked_example() {
        let mut hint = InnerProductHint::new(&P1, 2, &P, 2).unwrap();
        assert_eq!(hint.grams.teacher, [2.0, 1.0, 1.0, 5.0]);
        assert_eq!(hint.grams.cross, [2.0, 0.5, 1.0, 4.0]);
        assert_eq!(hint.grams.student, [2.0, 0.5, 0.5, 4.25]);
        let loss = hint.loss(&Q, &Y, 1.0, &mut [0.0; 2], None).unwrap();
        assert!((loss - 0.4125).abs() < 2e-6, "{loss}");
        hint.refresh(&P1, &P1).unwrap();
        let loss = hint.loss(&Q, &Y, 1.0, &mut [0.0; 2], None).unwrap();
        assert!((loss - 0.2).abs() < 2e-6, "{loss}");
    }

    #[test]
    fn inner_product_gradients_match_central_differences_of_the_direct_sum() {
        let (n_users, n_items, dt, ds) = (7, 4, 5, 3);
        let (p1, p) = (normals("p1", n_users * dt), normals("p", n_users * ds));
        let (q, y) = (normals("q", n_items * dt), normals("y", n_items * ds));
        let direct = |q: &[f64], p: &[f64], y: &[f64]| -> f64 {
            let score = |p: &[f64], v: &[f64]| p.iter().zip(v).map(|(a, b)| a * b).sum::<f64>();
            (0..n_users)
                .flat_map(|u| (0..n_items).map(move |i| (u, i)))
                .map(|(u, i)| {
                    let teacher = score(&p1[u * dt..(u + 1) * dt], &q[i * dt..(i + 1) * dt]);
                    (teacher - score(&p[u * ds..(u + 1) * ds], &y[i * ds..(i + 1) * ds])).powi(2)
                })
                .sum()
        };
        let grams = Grams::new(&p1, dt, &p, ds);
        let (mut dy, mut dq, mut dp) = (vec![0.0; y.len()], vec![0.0; q.len()], vec![0.0; p.len()]);
        let loss = grams.loss(&q, &y, 1.0, &mut dy, Some(&mut dq));
        grams.user_gradient((&p1, &p), (&q, &y), 1.0, &mut dp);
        assert!((loss - direct(&q, &p, &y)).abs() < 1e-10 * loss);
        assert_gradient(&y, &dy, |y| direct(&q, &p, y));
        assert_gradient(&q, &dq, |q| direct(q, &p, &y));
        assert_gradient(&p, &dp, |p| direct(&q, p, &y));

        // Single precision, through the public functions.
        let hint = InnerProductHint::new(&narrow(&p1), dt, &narrow(&p), ds).unwrap();
        let (mut dy32, mut dp32) = (vec![0.0; y.len()], vec![0.0; p.len()]);
        let loss32 = hint.loss(&narrow(&q), &narrow(&y), 0.5, &mut dy32, None).unwrap();
        assert!((loss32 - loss).abs() < 1e-5 * loss);
        assert_close(&dy32, &dy.iter().map(|d| d / 2.0).collect::<Vec<_>>(), 1e-5);
        hint.user_gradient((&narrow(&p1), &narrow(&p)), (&narrow(&q), &narrow(&y)), 0.5, &mut dp32).unwrap();
        assert_close(&dp32, &dp.iter().map(|d| d / 2.0).collect::<Vec<_>>(), 1e-5);
    }

    #[test]
    fn a_student_equal_to_the_teacher_has_no_loss_and_no_gradient() {
        let hint = InnerProductHint::new(&P1, 2, &P1, 2).unwrap();
        let mut d = [0.0; 2];
        assert!(hint.loss(&Q, &Q, 1.0, &mut d, None).unwrap().abs() < 1e-6);
        assert!(d.iter().all(|d| d.abs() < 1e-6));
    }

    #[test]
    fn vectors_that_do_not_fit_are_errors() {
        assert!(InnerProductHint::new(&P1, 2, &P[..4], 2).is_err());
        assert!(InnerProductHint::new(&P1, 4, &P, 2).is_err());
        let hint = InnerProductHint::new(&P1, 2, &P, 2).unwrap();
        assert!(hint.loss(&Q[..1], &Y, 1.0, &mut [0.0; 2], None).is_err());
        assert!(hint.loss(&Q, &Y, 1.0, &mut [0.0; 1], None).is_err());
        assert!(hint.user_gradient((&P1, &P), (&Q, &Y), 1.0, &mut [0.0; 5]).is_err());
    }
}
