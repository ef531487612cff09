//! Choosing codewords with a straight-through gradient.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::list::check_temperature;
use super::support::{expect_shape, matrix, output, slice, tensor_like, with_values};
use crate::{GraphError, kernels};

struct SelectCodes {
    sizes: (usize, usize),
    temperature: f32,
    codes: Mutex<Vec<u32>>,
}

impl CustomOp2 for SelectCodes {
    fn name(&self) -> &'static str {
        "select-codes"
    }

    fn cpu_fwd(&self, ss: &CpuStorage, ls: &Layout, sc: &CpuStorage, lc: &Layout) -> Result<(CpuStorage, Shape)> {
        let (similarity, codebook) = (slice(ss, ls)?, slice(sc, lc)?);
        let n = ls.dims()[0];
        let (mut codes, mut out) = (vec![0; n], vec![0.0; n * self.sizes.1]);
        kernels::select_codes(similarity, codebook, self.sizes, &mut codes, &mut out);
        *self.codes.lock().expect("no kernel panics while it holds the codes") = codes;
        Ok(output(out, (n, self.sizes.1)))
    }

    fn bwd(&self, s: &Tensor, c: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let codes = self.codes.lock().expect("no kernel panics while it holds the codes").clone();
        let (mut soft, mut ds) = (vec![0.0; s.elem_count()], vec![0.0; s.elem_count()]);
        let mut dc = vec![0.0; c.elem_count()];
        with_values(s, |s| {
            kernels::softmax_rows(s, self.sizes.0, self.temperature, &mut soft);
            Ok(())
        })?;
        with_values(c, |c| {
            with_values(grad, |g| {
                let t = self.temperature;
                kernels::select_codes_backward(&soft, &codes, c, self.sizes, t, g, &mut ds, &mut dc);
                Ok(())
            })
        })?;
        Ok((Some(tensor_like(ds, s)?), Some(tensor_like(dc, c)?)))
    }
}

/// The codeword of the highest similarity, with a straight-through gradient (LightRec, Lian et al., WWW 2020): forward the
/// choice is hard, backward it counts as `softmax(similarity / temperature)`.
///
/// - **Shapes**: similarity (n, W), codebook (W, dim) → (n, dim). Of equal similarities the first codeword is taken.
/// - **Gradient**: with upstream g, the chosen row of the codebook gets g (the soft row would get a share; the hard
///   product is what ran forward), and `d_similarity = e·(C g - ⟨e, C g⟩) / T` with `e` the soft choice.
///
/// # Errors
/// Shapes that disagree, no codeword at all, a temperature that is not above 0, or tensors that are not f32.
pub fn select_codes(
    similarity: &Tensor,
    codebook: &Tensor,
    temperature: f32,
) -> std::result::Result<Tensor, GraphError> {
    let ((n, _), (n_codewords, dim)) = (matrix("similarity", similarity)?, matrix("codebook", codebook)?);
    expect_shape("similarity", similarity, &[n, n_codewords])?;
    if n_codewords == 0 {
        return Err(GraphError::Empty { what: "codebook", of: "codewords" });
    }
    check_temperature(temperature)?;
    let op = SelectCodes { sizes: (n_codewords, dim), temperature, codes: Mutex::new(Vec::new()) };
    Ok(similarity.contiguous()?.apply_op2(&codebook.contiguous()?, op)?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ids_tensor, leaf, tensor};
    use super::super::to_vec;
    use super::*;
    use crate::kernels::testing::assert_close;
    use candle_core::{D, Var};

    #[test]
    fn one_codebook_gives_the_gradients_worked_by_hand() {
        // L = v·y, v = (1, 2), C = identity, q = (1.2, .3), similarity q·C', T = .9.
        let c = Var::from_tensor(&tensor(&[1.0, 0.0, 0.0, 1.0], &[2, 2])).unwrap();
        let q = Var::from_tensor(&tensor(&[1.2, 0.3], &[1, 2])).unwrap();
        let s = q.matmul(&c.t().unwrap()).unwrap();
        let y = select_codes(&s, &c, 0.9).unwrap();
        assert_eq!(to_vec(&y).unwrap(), [1.0, 0.0]);
        let loss = (y * tensor(&[1.0, 2.0], &[1, 2])).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        assert_close(&to_vec(grads.get(&q).unwrap()).unwrap(), &[-0.218_458, 0.218_458], 1e-6);
        let want = [1.0 - 0.262_149, 2.0 - 0.065_537, 0.262_149, 0.065_537];
        assert_close(&to_vec(grads.get(&c).unwrap()).unwrap(), &want, 2e-6);
    }

    #[test]
    fn gradients_equal_those_of_hard_plus_soft_minus_detached_soft() {
        // The usual trick with candle ops: hard + soft - detach(soft), through a product with a codebook whose own gradient
        // comes from the hard part alone.
        let (s, c) = (leaf("s", &[7, 5]), leaf("c", &[5, 3]));
        let v = leaf("v", &[7, 3]);
        let ours = (select_codes(&s, &c, 0.7).unwrap() * v.as_tensor()).unwrap().sum_all().unwrap();
        let ours = ours.backward().unwrap();

        let codes = to_vec(&s).unwrap();
        let codes: Vec<u32> =
            codes.chunks(5).map(|row| (0..5).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u32).collect();
        let hard = c.index_select(&ids_tensor(&codes), 0).unwrap();
        let soft = candle_nn::ops::softmax(&(s.as_tensor() / 0.7).unwrap(), D::Minus1).unwrap();
        let soft = soft.matmul(&c.detach()).unwrap();
        let y = ((hard + &soft).unwrap() - soft.detach()).unwrap();
        let plain = (y * v.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        for leaf in [&s, &c] {
            let (got, want) = (to_vec(ours.get(leaf).unwrap()).unwrap(), to_vec(plain.get(leaf).unwrap()).unwrap());
            assert_close(&got, &want, 1e-5);
        }
    }

    #[test]
    fn similarities_of_100_give_finite_gradients() {
        let s = Var::from_tensor(&tensor(&[100.0, -100.0], &[1, 2])).unwrap();
        let loss = select_codes(&s, &tensor(&[1.0, 2.0], &[2, 1]), 0.1).unwrap().sum_all().unwrap();
        let d = to_vec(loss.backward().unwrap().get(&s).unwrap()).unwrap();
        assert!(d.iter().all(|x| x.is_finite()), "{d:?}");
    }
}
