//! Choosing the best codeword, with a gradient that passes straight through.

use super::vector::{axpy_body, dot_body};
use super::{check_matrix, kernel};

/// Place of the largest number, the first of equals; a NaN is never larger.
#[inline(always)]
fn argmax(x: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in x.iter().enumerate() {
        if *value > x[best] {
            best = i;
        }
    }
    best
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
        let best = argmax(&similarity[i * n_codewords..(i + 1) * n_codewords]);
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

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{assert_close, normals};
    use super::*;

    #[test]
    fn the_first_of_equal_codewords_is_chosen() {
        let (mut codes, mut out) = ([9; 2], [0.0; 2]);
        select_codes(&[1.0, 3.0, 3.0, -1.0, f32::NAN, -2.0], &[10.0, 20.0, 30.0], (3, 1), &mut codes, &mut out);
        assert_eq!((codes, out), ([1, 0], [20.0, 10.0]));
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
