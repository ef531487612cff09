//! A dense layer as one operation.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::support::{expect_shape, matrix, output, slice, tensor_like, with_values};
use crate::kernels::{self, Activation};
use crate::{GraphError, parallel};

struct Linear {
    activation: Activation,
    n_in: usize,
    n_out: usize,
}

/// Rows that one thread takes: enough work for a packed product, and the pieces that weight gradients are summed by.
const PIECE: usize = 2048;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear-bias-act"
    }

    fn cpu_fwd(
        &self,
        sx: &CpuStorage,
        lx: &Layout,
        sw: &CpuStorage,
        lw: &Layout,
        sb: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, bias) = (slice(sx, lx)?, slice(sw, lw)?, slice(sb, lb)?);
        let rows = lx.dims()[0];
        let mut y = vec![0.0; rows * self.n_out];
        parallel::fill_rows(&mut y, self.n_out, PIECE, |first, y| {
            let x = &x[first * self.n_in..][..y.len() / self.n_out * self.n_in];
            kernels::linear_bias_act(x, weight, bias, self.activation, y);
        });
        Ok(output(y, (rows, self.n_out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Self { activation, n_in, n_out } = *self;
        let rows = x.dims()[0];
        let backward = |x: &[f32], weight: &[f32], y: &[f32], grad: &[f32]| {
            let piece = |range: std::ops::Range<usize>| {
                let (ins, outs) = (range.start * n_in..range.end * n_in, range.start * n_out..range.end * n_out);
                let (mut dx, mut dy) = (vec![0.0; ins.len()], grad[outs.clone()].to_vec());
                let (mut dw, mut db) = (vec![0.0; n_in * n_out], vec![0.0; n_out]);
                let (x, y) = (&x[ins], &y[outs]);
                kernels::linear_bias_act_backward(x, weight, y, activation, &mut dy, Some(&mut dx), &mut dw, &mut db);
                (dx, dw, db)
            };
            parallel::map_reduce(rows, PIECE, piece, None, |sums, part: (Vec<f32>, Vec<f32>, Vec<f32>)| match sums {
                None => Some(part),
                Some((mut dx, mut dw, mut db)) => {
                    dx.extend(part.0);
                    kernels::add_assign(&mut dw, &part.1);
                    kernels::add_assign(&mut db, &part.2);
                    Some((dx, dw, db))
                }
            })
        };
        let sums = with_values(x, |x| {
            with_values(weight, |w| with_values(y, |y| with_values(grad, |g| Ok(backward(x, w, y, g)))))
        })?;
        let (dx, dw, db) = sums.unwrap_or_else(|| (vec![], vec![0.0; n_in * n_out], vec![0.0; n_out]));
        Ok((Some(tensor_like(dx, x)?), Some(tensor_like(dw, weight)?), Some(tensor_like(db, bias)?)))
    }
}

/// A layer: `act(x·W + b)`; x (rows, n_in), weight W (n_in, n_out), bias (1, n_out) → (rows, n_out).
///
/// # Errors
/// Shapes that disagree, or tensors that are not f32.
pub fn linear_bias_act(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    activation: Activation,
) -> std::result::Result<Tensor, GraphError> {
    let (rows, _) = matrix("x", x)?;
    let (n_in, n_out) = matrix("weight", weight)?;
    expect_shape("x", x, &[rows, n_in])?;
    expect_shape("bias", bias, &[1, n_out])?;
    if n_out == 0 {
        return Err(GraphError::Empty { what: "weight", of: "outputs" });
    }
    let op = Linear { activation, n_in, n_out };
    Ok(x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)?)
}

struct BiasAct {
    activation: Activation,
    n_out: usize,
}

impl CustomOp2 for BiasAct {
    fn name(&self) -> &'static str {
        "bias-act"
    }

    fn cpu_fwd(&self, sx: &CpuStorage, lx: &Layout, sb: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (mut y, bias) = (slice(sx, lx)?.to_vec(), slice(sb, lb)?);
        parallel::fill_rows(&mut y, self.n_out, PIECE, |_, y| kernels::bias_act(y, bias, self.activation));
        Ok(output(y, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, bias: &Tensor, y: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut db) = (vec![0.0; x.elem_count()], vec![0.0; self.n_out]);
        with_values(y, |y| {
            with_values(grad, |grad| {
                dx.copy_from_slice(grad);
                kernels::activation_backward(y, &mut dx, self.activation);
                kernels::column_sums_add(&dx, &mut db);
                Ok(())
            })
        })?;
        Ok((Some(tensor_like(dx, x)?), Some(tensor_like(db, bias)?)))
    }
}

/// The end of a layer whose product was made elsewhere (from a sparse input, say): `act(x + b)`; x (rows, n), bias (1, n) →
/// (rows, n).
///
/// # Errors
/// Shapes that disagree, or tensors that are not f32.
pub fn bias_act(x: &Tensor, bias: &Tensor, activation: Activation) -> std::result::Result<Tensor, GraphError> {
    let (_, n_out) = matrix("x", x)?;
    expect_shape("bias", bias, &[1, n_out])?;
    if n_out == 0 {
        return Err(GraphError::Empty { what: "x", of: "outputs" });
    }
    Ok(x.contiguous()?.apply_op2(&bias.contiguous()?, BiasAct { activation, n_out })?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, leaf, threads};
    use super::super::to_vec;
    use super::*;

    #[test]
    fn a_layer_equals_its_composition() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Sigmoid, Activation::Tanh] {
            check(
                &[leaf("x", &[9, 6]), leaf("w", &[6, 5]), leaf("b", &[1, 5])],
                |x| Ok(linear_bias_act(&x[0], &x[1], &x[2], activation)?.sqr()?.sum_all()?),
                |x| {
                    let z = x[0].matmul(&x[1])?.broadcast_add(&x[2])?;
                    let y = match activation {
                        Activation::Identity => z,
                        Activation::Relu => z.relu()?,
                        Activation::Sigmoid => (((z.neg()?.exp()? + 1.0)?).recip())?,
                        Activation::Tanh => z.tanh()?,
                    };
                    Ok(y.sqr()?.sum_all()?)
                },
            );
            check(
                &[leaf("x", &[9, 6]), leaf("w", &[6, 5]), leaf("b", &[1, 5])],
                |x| Ok(bias_act(&x[0].matmul(&x[1])?, &x[2], activation)?.sqr()?.sum_all()?),
                |x| Ok(linear_bias_act(&x[0], &x[1], &x[2], activation)?.sqr()?.sum_all()?),
            );
        }
    }

    #[test]
    fn gradients_have_the_same_bits_for_one_and_two_threads() {
        let x = [leaf("x", &[5000, 8]), leaf("w", &[8, 4]), leaf("b", &[1, 4])];
        let run = |n| {
            threads(n, || {
                let y = linear_bias_act(&x[0], &x[1], &x[2], Activation::Relu).unwrap();
                let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                x.iter().map(|x| to_vec(grads.get(x).unwrap()).unwrap()).collect::<Vec<_>>()
            })
        };
        assert_eq!(run(1), run(2));
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let (x, w, b) = (leaf("x", &[2, 3]), leaf("w", &[4, 5]), leaf("b", &[1, 5]));
        let error = linear_bias_act(&x, &w, &b, Activation::Relu).unwrap_err().to_string();
        assert_eq!(error, "x has shape [2, 3], expected [2, 4]");
        let error = bias_act(&x, &b, Activation::Relu).unwrap_err().to_string();
        assert_eq!(error, "bias has shape [1, 5], expected [1, 3]");
    }
}
