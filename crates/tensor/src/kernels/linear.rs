//! A dense layer: `y = act(x·W + b)`, and its gradients.

use super::activation::{exp, sigmoid_body};
use super::{Op, check_matrix, gemm, kernel};

/// What a layer applies to each output. Each derivative is a function of the output, so nothing else is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
    /// `max(z, 0)`; the derivative at 0 is 0.
    Relu,
    /// `1 / (1 + e⁻ᶻ)`.
    Sigmoid,
    /// `tanh z`.
    Tanh,
}

#[inline(always)]
fn tanh<const FMA: bool>(x: f32) -> f32 {
    // tanh|x| = (1 - e) / (1 + e), e = exp(-2|x|), loses digits near 0, where the odd series is exact.
    let e = exp::<FMA>(-2.0 * x.abs());
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    let z = x * x;
    let near = x * (1.0 + z * (-0.333_333_33 + z * (0.133_333_33 + z * (-0.053_968_254 + z * 0.021_869_488))));
    if x.abs() < 0.2 { near } else { far }
}

#[inline(always)]
fn bias_act_body<const FMA: bool>(y: &mut [f32], bias: &[f32], activation: Activation) {
    if bias.is_empty() {
        return;
    }
    assert!(y.len().is_multiple_of(bias.len()), "outputs must be rows of {}", bias.len());
    // Plain loops: a closure is a function of its own, compiled without the target features of this one unless inlined.
    for row in y.chunks_exact_mut(bias.len()) {
        let outputs = row.iter_mut().zip(bias);
        match activation {
            Activation::Identity => {
                for (y, b) in outputs {
                    *y += b;
                }
            }
            Activation::Relu => {
                for (y, b) in outputs {
                    let z = *y + b;
                    // Not `max`: it would turn a NaN into 0 and hide it.
                    *y = if z < 0.0 { 0.0 } else { z };
                }
            }
            Activation::Sigmoid => {
                for (y, b) in outputs {
                    *y = sigmoid_body::<FMA>(*y + b);
                }
            }
            Activation::Tanh => {
                for (y, b) in outputs {
                    *y = tanh::<FMA>(*y + b);
                }
            }
        }
    }
}

#[inline(always)]
fn activation_backward_body<const FMA: bool>(y: &[f32], dy: &mut [f32], activation: Activation) {
    assert_eq!(y.len(), dy.len(), "outputs and their gradients must have one size");
    let pairs = y.iter().zip(dy);
    match activation {
        Activation::Identity => {}
        Activation::Relu => {
            for (y, d) in pairs {
                *d = if *y > 0.0 { *d } else { 0.0 };
            }
        }
        Activation::Sigmoid => {
            for (y, d) in pairs {
                *d *= y * (1.0 - y);
            }
        }
        Activation::Tanh => {
            for (y, d) in pairs {
                *d *= 1.0 - y * y;
            }
        }
    }
}

#[inline(always)]
fn column_sums_add_body<const FMA: bool>(x: &[f32], sums: &mut [f32]) {
    if sums.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(sums.len()), "a matrix must be rows of {}", sums.len());
    for row in x.chunks_exact(sums.len()) {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

kernel! {
    /// `y ← act(y + bias)`, in place; y (rows, n), bias (n).
    ///
    /// # Panics
    /// If `y` is no whole number of rows.
    pub fn bias_act / bias_act_at(y: &mut [f32], bias: &[f32], activation: Activation) = bias_act_body
}
kernel! {
    /// `dy ← dy · act'(z)`, in place, from the layer's *output* `y`.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn activation_backward / activation_backward_at(y: &[f32], dy: &mut [f32], activation: Activation)
        = activation_backward_body
}
kernel! {
    /// `sums += Σ_rows x`, row after row; x (rows, n), sums (n).
    ///
    /// # Panics
    /// If `x` is no whole number of rows.
    pub fn column_sums_add / column_sums_add_at(x: &[f32], sums: &mut [f32]) = column_sums_add_body
}

/// A layer forward: `y = act(x·W + b)`.
///
/// **Shapes**: x (rows, n_in), weight W (n_in, n_out) row-major, bias (n_out), y (rows, n_out).
///
/// # Panics
/// If a slice has another size.
pub fn linear_bias_act(x: &[f32], weight: &[f32], bias: &[f32], activation: Activation, y: &mut [f32]) {
    let n_out = bias.len();
    assert!(n_out > 0 && weight.len().is_multiple_of(n_out), "weight must be rows of {n_out}");
    let (rows, n_in) = (y.len() / n_out, weight.len() / n_out);
    check_matrix("outputs", y, rows, n_out);
    gemm((rows, n_out, n_in), 1.0, x, Op::Plain, weight, Op::Plain, 0.0, y);
    bias_act(y, bias, activation);
}

/// A layer backward, from its input `x`, output `y` and `dy`, which becomes the gradient before the activation.
///
/// Writes `dx = dz·Wᵀ` (when asked for), and **adds** to `d_weight += xᵀ·dz` and `d_bias += Σ_rows dz`.
///
/// **Shapes**: as [`linear_bias_act`]; gradients have the shape of what they belong to.
///
/// # Panics
/// If a slice has another size.
#[expect(clippy::too_many_arguments, reason = "three inputs and three gradients")]
pub fn linear_bias_act_backward(
    x: &[f32],
    weight: &[f32],
    y: &[f32],
    activation: Activation,
    dy: &mut [f32],
    dx: Option<&mut [f32]>,
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let n_out = d_bias.len();
    assert!(n_out > 0 && weight.len().is_multiple_of(n_out), "weight must be rows of {n_out}");
    let (rows, n_in) = (y.len() / n_out, weight.len() / n_out);
    check_matrix("outputs", y, rows, n_out);
    activation_backward(y, dy, activation);
    column_sums_add(dy, d_bias);
    gemm((n_in, n_out, rows), 1.0, x, Op::Transposed, dy, Op::Plain, 1.0, d_weight);
    if let Some(dx) = dx {
        gemm((rows, n_in, n_out), 1.0, dy, Op::Plain, weight, Op::Transposed, 0.0, dx);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::super::testing::{assert_close, normals};
    use super::*;

    const ALL: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Sigmoid, Activation::Tanh];

    fn act(z: f64, activation: Activation) -> f64 {
        match activation {
            Activation::Identity => z,
            Activation::Relu => z.max(0.0),
            Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Activation::Tanh => z.tanh(),
        }
    }

    #[test]
    fn bias_and_activation_equal_their_definition_at_every_level() {
        let (z, bias) = (normals("z", 7 * 37), normals("bias", 37));
        for activation in ALL {
            for level in Level::available() {
                let mut y = z.clone();
                bias_act_at(level, &mut y, &bias, activation);
                let want: Vec<f32> =
                    z.iter().enumerate().map(|(i, z)| act(f64::from(z + bias[i % 37]), activation) as f32).collect();
                assert_close(&y, &want, 1e-6);
            }
        }
    }

    #[test]
    fn tanh_keeps_its_sign_and_limits() {
        for x in [0.0f32, 1e-6, 0.199, 0.201, 1.0, 30.0, 100.0] {
            assert_close(&[tanh::<false>(x)], &[f64::from(x).tanh() as f32], 3e-7);
            assert_eq!(tanh::<false>(-x), -tanh::<false>(x));
        }
    }

    #[test]
    fn layer_gradients_match_finite_differences() {
        let (rows, n_in, n_out) = (5, 6, 3);
        let (x, w, b) = (normals("x", rows * n_in), normals("w", n_in * n_out), normals("b", n_out));
        let up = normals("up", rows * n_out);
        let loss = |x: &[f32], w: &[f32], b: &[f32], activation| {
            let mut total = 0.0;
            for r in 0..rows {
                for o in 0..n_out {
                    let z: f64 = (0..n_in).map(|i| f64::from(x[r * n_in + i]) * f64::from(w[i * n_out + o])).sum();
                    total += f64::from(up[r * n_out + o]) * act(z + f64::from(b[o]), activation);
                }
            }
            total
        };
        for activation in ALL {
            let mut y = vec![0.0; rows * n_out];
            linear_bias_act(&x, &w, &b, activation, &mut y);
            let (mut dy, mut dx) = (up.clone(), vec![0.0; x.len()]);
            let (mut dw, mut db) = (vec![0.0; w.len()], vec![0.0; b.len()]);
            linear_bias_act_backward(&x, &w, &y, activation, &mut dy, Some(&mut dx), &mut dw, &mut db);
            let difference = |which: usize, i: usize| {
                let mut at = [x.clone(), w.clone(), b.clone()];
                let center = at[which][i];
                let mut side = |delta: f32| {
                    at[which][i] = center + delta;
                    loss(&at[0], &at[1], &at[2], activation)
                };
                ((side(1e-3) - side(-1e-3)) / 2e-3) as f32
            };
            for (which, grads) in [&dx, &dw, &db].into_iter().enumerate() {
                for (i, grad) in grads.iter().enumerate() {
                    assert_close(&[*grad], &[difference(which, i)], 2e-3);
                }
            }
        }
    }

    #[test]
    fn a_hidden_nan_comes_out_of_relu() {
        let mut y = [f32::NAN, -1.0];
        bias_act(&mut y, &[0.0, 0.0], Activation::Relu);
        assert!(y[0].is_nan() && y[1] == 0.0);
    }
}
