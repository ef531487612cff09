//! Choosing the best codeword, with a gradient that passes straight through.

use super::activation::exp;
use super::softmax::max_of;
use super::vector::{axpy_body, dot_body, sum_lanes};
use super::{check_matrix, kernel, mul_add};

#[inline(always)]
fn argmax_body<const FMA: bool>(x: &[f32]) -> usize {
    // Two passes without a branch for each number: the largest, then the first block that holds it.
    let max = max_of(x);
    let (chunks, _) = x.as_chunks::<16>();
    let mut start = 0;
    for chunk in chunks {
        let mut found = false;
        for x in chunk {
            found |= *x == max;
        }
        if found {
            break;
        }
        start += 16;
    }
    let mut place = start;
    while place < x.len() && x[place] != max {
        place += 1;
    }
    // Nothing but NaN (or no number above -∞) leaves the first.
    if place < x.len() { place } else { 0 }
}

#[inline(always)]
fn select_codes_body<const FMA: bool>(
    similarity: &[f32],
    codebook: &[f32],
    (n_codewords, dim): (usize, usize),
    codes: &mut [u32],
    out: &mut [f32],
) {
    check_matrix("similarity", similarity, codes.len(), n_codewords);
    check_matrix("codebook", codebook, n_codewords, dim);
    check_matrix("out", out, codes.len(), dim);
    for (i, code) in codes.iter_mut().enumerate() {
        let best = argmax_body::<FMA>(&similarity[i * n_codewords..(i + 1) * n_codewords]);
        *code = best as u32;
        out[i * dim..(i + 1) * dim].copy_from_slice(&codebook[best * dim..(best + 1) * dim]);
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
fn select_codes_backward_body<const FMA: bool>(
    soft: &[f32],
    codes: &[u32],
    codebook: &[f32],
    (n_codewords, dim): (usize, usize),
    temperature: f32,
    d_out: &[f32],
    d_similarity: &mut [f32],
    d_codebook: &mut [f32],
) {
    check_matrix("soft", soft, codes.len(), n_codewords);
    check_matrix("codebook", codebook, n_codewords, dim);
    check_matrix("d_out", d_out, codes.len(), dim);
    check_matrix("d_similarity", d_similarity, codes.len(), n_codewords);
    check_matrix("d_codebook", d_codebook, n_codewords, dim);
    for (i, code) in codes.iter().enumerate() {
        let g = &d_out[i * dim..(i + 1) * dim];
        let chosen = *code as usize * dim;
        axpy_body::<FMA>(1.0, g, &mut d_codebook[chosen..chosen + dim]);
        let soft = &soft[i * n_codewords..(i + 1) * n_codewords];
        let d = &mut d_similarity[i * n_codewords..(i + 1) * n_codewords];
        for (w, d) in d.iter_mut().enumerate() {
            *d = dot_body::<FMA>(&codebook[w * dim..(w + 1) * dim], g);
        }
        let mean = dot_body::<FMA>(soft, d);
        for (d, soft) in d.iter_mut().zip(soft) {
            *d = soft * (*d - mean) / temperature;
        }
    }
}

#[inline(always)]
fn straight_through_body<const FMA: bool>(
    similarity: &mut [f32],
    width: usize,
    temperature: f32,
    d_choice: &mut [f32],
) {
    assert_eq!(similarity.len(), d_choice.len(), "each similarity needs the gradient of its choice");
    if width == 0 {
        return;
    }
    let inverse = 1.0 / temperature;
    for (s, d) in similarity.chunks_exact_mut(width).zip(d_choice.chunks_exact_mut(width)) {
        let max = inverse * max_of(s);
        let (s_chunks, s_tail) = s.as_chunks_mut::<16>();
        let (d_chunks, d_tail) = d.as_chunks::<16>();
        let (mut sums, mut products) = ([0.0f32; 16], [0.0f32; 16]);
        for (s, d) in s_chunks.iter_mut().zip(d_chunks) {
            for l in 0..16 {
                let e = exp::<FMA>(mul_add::<FMA>(inverse, s[l], -max));
                sums[l] += e;
                products[l] = mul_add::<FMA>(e, d[l], products[l]);
                s[l] = e;
            }
        }
        let (mut sum, mut product) = (sum_lanes(sums), sum_lanes(products));
        for (s, d) in s_tail.iter_mut().zip(d_tail) {
            let e = exp::<FMA>(mul_add::<FMA>(inverse, *s, -max));
            sum += e;
            product = mul_add::<FMA>(e, *d, product);
            *s = e;
        }
        let (mean, factor) = (product / sum, inverse / sum);
        for (d, e) in d.iter_mut().zip(&*s) {
            *d = factor * e * (*d - mean);
        }
    }
}

kernel! {
    /// Place of the largest number, the first of equals; a NaN is never larger. 0 for no number at all.
    #[must_use]
    pub fn argmax / argmax_at(x: &[f32]) -> usize = argmax_body
}
kernel! {
    /// For each row of `similarity` (n, W) the codeword of the highest one, the first of equals: its number to `codes` (n),
    /// its row of `codebook` (W, dim) to `out` (n, dim). The pair is `(W, dim)`.
    ///
    /// # Panics
    /// If the sizes disagree.
    pub fn select_codes / select_codes_at(
        similarity: &[f32],
        codebook: &[f32],
        sizes: (usize, usize),
        codes: &mut [u32],
        out: &mut [f32],
    ) = select_codes_body
}
kernel! {
    /// Straight-through backward of [`select_codes`]: forward the choice was hard, backward it counts as
    /// `soft = softmax(similarity / T)`.
    ///
    /// With upstream g: **adds** g to the chosen row of `d_codebook`; writes
    /// `d_similarity = soft · (C·g - ⟨soft, C·g⟩) / T`.
    ///
    /// # Panics
    /// If the sizes disagree.
    pub fn select_codes_backward / select_codes_backward_at(
        soft: &[f32],
        codes: &[u32],
        codebook: &[f32],
        sizes: (usize, usize),
        temperature: f32,
        d_out: &[f32],
        d_similarity: &mut [f32],
        d_codebook: &mut [f32],
    ) = select_codes_backward_body
}
kernel! {
    /// The middle of [`select_codes_backward`] alone, for who has `C·g` of many rows as one matrix product: from the gradient
    /// of the choice `d = C·g` makes that of the similarity, `d ← e · (d - ⟨e, d⟩) / T` with `e = softmax(similarity / T)`.
    ///
    /// **Shapes**: both (rows, width). `similarity` is scratch space afterwards.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn straight_through / straight_through_at(
        similarity: &mut [f32],
        width: usize,
        temperature: f32,
        d_choice: &mut [f32],
    ) = straight_through_body
}

#[cfg(test)]
mod tests {
    use super::super::testing::{LENGTHS, assert_close, normals};
    use super::super::{Level, Op, gemm, softmax_rows};
    use super::*;

    #[test]
    fn the_first_of_equal_codewords_is_chosen() {
        let (mut codes, mut out) = ([9; 2], [0.0; 2]);
        select_codes(&[1.0, 3.0, 3.0, -1.0, f32::NAN, -2.0], &[10.0, 20.0, 30.0], (3, 1), &mut codes, &mut out);
        assert_eq!((codes, out), ([1, 0], [20.0, 10.0]));
    }

    #[test]
    fn the_first_of_equals_is_found_at_every_level_width_and_place() {
        for width in LENGTHS.into_iter().filter(|width| *width > 0) {
            let codebook: Vec<f32> = (0..width).map(|w| w as f32).collect();
            for place in 0..width {
                let mut similarity = normals("similarity", width);
                similarity[place] = 100.0;
                similarity[width - 1] = 100.0;
                for level in Level::available() {
                    let (mut codes, mut out) = ([9], [0.0]);
                    select_codes_at(level, &similarity, &codebook, (width, 1), &mut codes, &mut out);
                    assert_eq!((codes[0] as usize, out[0] as usize), (place, place), "{level:?} {width}");
                }
            }
        }
        for hopeless in [f32::NAN, f32::NEG_INFINITY] {
            let mut codes = [9];
            select_codes(&[hopeless; 20], &[0.0; 20], (20, 1), &mut codes, &mut [0.0]);
            assert_eq!(codes, [0]);
        }
    }

    #[test]
    fn straight_through_equals_the_middle_of_the_whole_backward_at_every_level() {
        for (n, w, dim) in [(3, 1, 4), (5, 15, 3), (4, 33, 20), (2, 256, 32)] {
            let (s, codebook, g) = (normals("s", n * w), normals("book", w * dim), normals("g", n * dim));
            let mut soft = vec![0.0; n * w];
            softmax_rows(&s, w, 0.9, &mut soft);
            let (mut want, mut dc) = (vec![0.0; n * w], vec![0.0; w * dim]);
            select_codes_backward(&soft, &vec![0; n], &codebook, (w, dim), 0.9, &g, &mut want, &mut dc);
            for level in Level::available() {
                let (mut s, mut d) = (s.clone(), vec![f32::NAN; n * w]);
                gemm((n, w, dim), 1.0, &g, Op::Plain, &codebook, Op::Transposed, 0.0, &mut d);
                straight_through_at(level, &mut s, w, 0.9, &mut d);
                assert_close(&d, &want, 1e-5);
            }
        }
    }

    #[test]
    fn backward_agrees_between_levels() {
        let (n, w, dim) = (6, 33, 20);
        let (soft, codebook, g) = (normals("soft", n * w), normals("book", w * dim), normals("g", n * dim));
        let codes: Vec<u32> = (0..6).map(|i| i * 5 % 33).collect();
        let run = |level| {
            let (mut ds, mut dc) = (vec![0.0; n * w], vec![0.0; w * dim]);
            select_codes_backward_at(level, &soft, &codes, &codebook, (w, dim), 0.9, &g, &mut ds, &mut dc);
            (ds, dc)
        };
        let (ds, dc) = run(Level::Scalar);
        for level in Level::available() {
            let (got_s, got_c) = run(level);
            assert_close(&got_s, &ds, 1e-4);
            assert_close(&got_c, &dc, 1e-5);
        }
    }
}
