//! Every op against its composition of candle ops, and against finite differences.

use candle_core::{Device, Tensor, Var};

use super::to_vec;
use crate::GraphError;
use crate::kernels::testing::{assert_close, normals};

pub(super) fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

pub(super) fn ids_tensor(ids: &[u32]) -> Tensor {
    Tensor::from_slice(ids, ids.len(), &Device::Cpu).unwrap()
}

/// Standard normal numbers that gradients are taken for.
pub(super) fn leaf(name: &str, shape: &[usize]) -> Var {
    Var::from_tensor(&tensor(&normals(name, shape.iter().product()), shape)).unwrap()
}

pub(super) fn threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

type Loss<'a> = dyn Fn(&[Tensor]) -> Result<Tensor, GraphError> + 'a;

/// Values and gradients of `fused` must equal those of `plain`, and differences of `fused`.
#[track_caller]
pub(super) fn check(
    leaves: &[Var],
    fused: impl Fn(&[Tensor]) -> Result<Tensor, GraphError>,
    plain: impl Fn(&[Tensor]) -> Result<Tensor, GraphError>,
) {
    let tensors: Vec<Tensor> = leaves.iter().map(|leaf| leaf.as_tensor().clone()).collect();
    let gradients = |loss: &Loss<'_>| {
        let value = loss(&tensors).unwrap();
        let grads = value.backward().unwrap();
        let grads: Vec<Vec<f32>> = leaves.iter().map(|leaf| to_vec(grads.get(leaf).unwrap()).unwrap()).collect();
        (value.to_scalar::<f32>().unwrap(), grads)
    };
    let ((value, got), (want_value, want)) = (gradients(&fused), gradients(&plain));
    assert_close(&[value], &[want_value], 1e-5);
    for (got, want) in got.iter().zip(&want) {
        assert_close(got, want, 2e-5);
    }

    let evaluate = |which: usize, values: &[f32]| {
        let mut moved = tensors.clone();
        moved[which] = tensor(values, leaves[which].dims());
        f64::from(fused(&moved).unwrap().to_scalar::<f32>().unwrap())
    };
    for (which, got) in got.iter().enumerate() {
        let values = to_vec(&leaves[which]).unwrap();
        for i in 0..values.len() {
            let side = |delta: f32| {
                let mut values = values.clone();
                values[i] += delta;
                evaluate(which, &values)
            };
            let difference = ((side(1e-2) - side(-1e-2)) / 2e-2) as f32;
            // Differences in single precision: two digits, enough to catch a wrong formula.
            assert!(
                (got[i] - difference).abs() <= 0.02 * difference.abs().max(1.0),
                "{which}, {i}: {} {difference}",
                got[i]
            );
        }
    }
}
