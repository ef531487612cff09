//! Exponential sums over short lists.

use super::activation::{exp, ln};
use super::vector::sum_lanes;
use super::{check_matrix, kernel};

/// `max x` without regard to NaN, or -∞ for an empty list; by lanes, since one chain of comparisons waits for each.
#[inline(always)]
pub(super) fn max_of(x: &[f32]) -> f32 {
    let (chunks, tail) = x.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    let mut max = f32::NEG_INFINITY;
    for x in lanes.iter().chain(tail) {
        max = if *x > max { *x } else { max };
    }
    max
}

#[inline(always)]
fn sum_of(x: &[f32]) -> f32 {
    let (chunks, tail) = x.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    tail.iter().fold(sum_lanes(lanes), |a, b| a + b)
}

/// Writes `softmax(factor · x)` and returns `ln Σ exp(factor · x)`.
#[inline(always)]
fn softmax_row<const FMA: bool>(x: &[f32], factor: f32, out: &mut [f32]) -> f32 {
    let max = factor * max_of(x);
    for (o, x) in out.iter_mut().zip(x) {
        *o = exp::<FMA>(factor * x - max);
    }
    let sum = sum_of(out);
    let inverse = 1.0 / sum;
    out.iter_mut().for_each(|o| *o *= inverse);
    max + ln::<FMA>(sum)
}

#[inline(always)]
fn softmax_rows_body<const FMA: bool>(x: &[f32], width: usize, temperature: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "a softmax has the size of its input");
    if width == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        softmax_row::<FMA>(x, 1.0 / temperature, out);
    }
}

#[inline(always)]
fn softmax_cross_entropy_body<const FMA: bool>(
    student: &[f32],
    teacher: &[f32],
    width: usize,
    temperature: f32,
    d_student: &mut [f32],
) -> f64 {
    assert_eq!(student.len(), teacher.len(), "student and teacher must have one size");
    assert_eq!(student.len(), d_student.len(), "each logit needs a place for its gradient");
    if width == 0 {
        return 0.0;
    }
    let factor = 1.0 / temperature;
    let mut target = vec![0.0; width];
    let mut total = 0.0;
    let rows = student.chunks_exact(width).zip(teacher.chunks_exact(width));
    for ((s, t), d) in rows.zip(d_student.chunks_exact_mut(width)) {
        softmax_row::<FMA>(t, factor, &mut target);
        let log_sum = softmax_row::<FMA>(s, factor, d);
        for ((d, p), s) in d.iter_mut().zip(&mut target).zip(s) {
            let slope = factor * (*d - *p);
            *p *= log_sum - factor * s;
            *d = slope;
        }
        total += f64::from(sum_of(&target));
    }
    total
}

#[inline(always)]
fn suffix_log_sum_exp_body<const FMA: bool>(a: &[f32], b: &[f32], (k, l): (usize, usize), out: &mut [f32]) {
    if k == 0 {
        return;
    }
    let rows = out.len() / k;
    check_matrix("a", a, rows, k);
    check_matrix("b", b, rows, l);
    let mut terms = vec![0.0; l];
    for (row, out) in out.chunks_exact_mut(k).enumerate() {
        let (a, b) = (&a[row * k..(row + 1) * k], &b[row * l..(row + 1) * l]);
        let max = max_of(b);
        for (t, b) in terms.iter_mut().zip(b) {
            *t = exp::<FMA>(b - max);
        }
        // ln Σ exp b, and -∞ for no b at all.
        let mut tail = if l == 0 { f32::NEG_INFINITY } else { max + ln::<FMA>(sum_of(&terms)) };
        for (out, a) in out.iter_mut().zip(a).rev() {
            let (high, low) = if *a >= tail { (*a, tail) } else { (tail, *a) };
            // Both infinite: nothing to add, and their difference would be NaN.
            tail = if low == f32::NEG_INFINITY { high } else { high + ln::<FMA>(1.0 + exp::<FMA>(low - high)) };
            *out = tail;
        }
    }
}

#[inline(always)]
fn suffix_log_sum_exp_backward_body<const FMA: bool>(
    (a, b, out): (&[f32], &[f32], &[f32]),
    (k, l): (usize, usize),
    d_out: &[f32],
    d_a: &mut [f32],
    d_b: &mut [f32],
) {
    if k == 0 {
        d_b.fill(0.0);
        return;
    }
    let rows = out.len() / k;
    for (what, slice, width) in [("a", a, k), ("b", b, l), ("d_out", d_out, k), ("d_a", &*d_a, k), ("d_b", &*d_b, l)] {
        check_matrix(what, slice, rows, width);
    }
    for row in 0..rows {
        let (ks, ls) = (row * k..(row + 1) * k, row * l..(row + 1) * l);
        let (a, out, d_out) = (&a[ks.clone()], &out[ks.clone()], &d_out[ks.clone()]);
        // carried = Σ_{i<=k} d_out[i] · exp(out[k] - out[i]): the sums only fall with k, so no exponential exceeds 1.
        let mut carried = 0.0f32;
        for (i, d) in d_a[ks].iter_mut().enumerate() {
            if i > 0 {
                carried *= exp::<FMA>(out[i] - out[i - 1]);
            }
            carried += d_out[i];
            *d = carried * exp::<FMA>(a[i] - out[i]);
        }
        for (d, b) in d_b[ls.clone()].iter_mut().zip(&b[ls]) {
            *d = carried * exp::<FMA>(b - out[k - 1]);
        }
    }
}

kernel! {
    /// `softmax(x / temperature)` of each row of `width`.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn softmax_rows / softmax_rows_at(x: &[f32], width: usize, temperature: f32, out: &mut [f32]) = softmax_rows_body
}
kernel! {
    /// Cross-entropy of two softmax laws, row by row: returns `Σ_rows -Σ_j p_j ln q_j` in nats with
    /// `p = softmax(teacher / T)`, `q = softmax(student / T)`, and writes `d_student = (q - p) / T`.
    ///
    /// **Shapes**: all (rows, width). Finite for all finite logits.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn softmax_cross_entropy / softmax_cross_entropy_at(
        student: &[f32],
        teacher: &[f32],
        width: usize,
        temperature: f32,
        d_student: &mut [f32],
    ) -> f64 = softmax_cross_entropy_body
}
kernel! {
    /// Suffix sums of exponentials: `out[k] = ln(Σ_{i>=k} exp a[i] + Σ_j exp b[j])`, in O(K + L) a row.
    ///
    /// **Shapes**: a and out (rows, K), b (rows, L); the pair is `(K, L)`. L = 0 sums over a alone.
    ///
    /// # Panics
    /// If the sizes disagree.
    pub fn suffix_log_sum_exp / suffix_log_sum_exp_at(a: &[f32], b: &[f32], sizes: (usize, usize), out: &mut [f32])
        = suffix_log_sum_exp_body
}
kernel! {
    /// Backward of [`suffix_log_sum_exp`]: from `(a, b, out)` and `d_out` writes `d_a` and `d_b`, in O(K + L) a row.
    ///
    /// # Panics
    /// If the sizes disagree.
    pub fn suffix_log_sum_exp_backward / suffix_log_sum_exp_backward_at(
        forward: (&[f32], &[f32], &[f32]),
        sizes: (usize, usize),
        d_out: &[f32],
        d_a: &mut [f32],
        d_b: &mut [f32],
    ) = suffix_log_sum_exp_backward_body
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{LENGTHS, assert_close, normals};
    use super::*;

    #[test]
    fn softmax_equals_its_definition_at_every_level_and_width() {
        for width in LENGTHS.into_iter().filter(|w| *w > 0) {
            let x = normals("x", 3 * width);
            for level in Level::available() {
                let mut out = vec![f32::NAN; x.len()];
                softmax_rows_at(level, &x, width, 0.5, &mut out);
                for (x, out) in x.chunks(width).zip(out.chunks(width)) {
                    let sum: f64 = x.iter().map(|x| (2.0 * f64::from(*x)).exp()).sum();
                    let want: Vec<f32> = x.iter().map(|x| ((2.0 * f64::from(*x)).exp() / sum) as f32).collect();
                    assert_close(out, &want, 1e-6);
                }
            }
        }
    }

    #[test]
    fn suffix_sums_equal_their_definition_at_every_level() {
        for (k, l) in [(1, 1), (1, 0), (5, 40), (40, 3), (17, 16)] {
            let (a, b) = (normals("a", 2 * k), normals("b", 2 * l));
            for level in Level::available() {
                let mut out = vec![f32::NAN; 2 * k];
                suffix_log_sum_exp_at(level, &a, &b, (k, l), &mut out);
                for row in 0..2 {
                    for i in 0..k {
                        let terms = a[row * k + i..(row + 1) * k].iter().chain(&b[row * l..(row + 1) * l]);
                        let want = terms.map(|x| f64::from(*x).exp()).sum::<f64>().ln() as f32;
                        assert_close(&[out[row * k + i]], &[want], 1e-6);
                    }
                }
            }
        }
    }
}
