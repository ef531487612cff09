//! The optimisers against PyTorch 2.15: fixed numbers, with the program that made them.

#![expect(clippy::excessive_precision, reason = "the digits that PyTorch printed")]

use rectify_core::rng::Seed;
use rectify_tensor::{Adagrad, Adam, DenseParam, Init, Optimizer, RowTable, RowUpdate, Sgd};

const START: [f32; 3] = [0.5, -1.25, 2.0];
const GRADS: [[f32; 3]; 5] = [[0.1, -0.2, 0.3], [0.0, 0.5, -0.1], [-0.4, 0.0, 0.2], [0.0, 0.0, 0.0], [1.0, -2.0, 1e-6]];

fn close(got: &[f32], want: &[f32]) -> bool {
    got.iter().zip(want).all(|(g, w)| (g - w).abs() <= 2e-7 * w.abs().max(1.0))
}

/// ```python
/// for make in [
///     lambda p: torch.optim.SGD(p, lr=.1), lambda p: torch.optim.SGD(p, lr=.1, weight_decay=.01),
///     lambda p: torch.optim.Adagrad(p, lr=.1), lambda p: torch.optim.Adagrad(p, lr=.1, weight_decay=.01),
///     lambda p: torch.optim.Adam(p, lr=.01), lambda p: torch.optim.Adam(p, lr=.01, weight_decay=.01),
///     lambda p: torch.optim.Adam(p, lr=.01, betas=(.5, .9), eps=1e-3)]:
///     w = torch.tensor(start, requires_grad=True); o = make([w])
///     for g in grads: w.grad = torch.tensor(g); o.step()
/// ```
#[test]
fn dense_steps_equal_pytorch() {
    let sgd = Optimizer::Sgd(Sgd { learning_rate: 0.1, ..Sgd::default() });
    let adagrad = Optimizer::Adagrad(Adagrad { learning_rate: 0.1, ..Adagrad::default() });
    let adam = Optimizer::adam(0.01);
    let other = Adam { learning_rate: 0.01, beta1: 0.5, beta2: 0.9, epsilon: 1e-3, weight_decay: 0.0 };
    for (optimizer, want) in [
        (sgd, [0.430000037, -1.07999992, 1.95999992]),
        (sgd.with_weight_decay(0.01), [0.427464962, -1.07369244, 1.95014977]),
        (adagrad, [0.404564202, -1.14628673, 1.87817025]),
        (adagrad.with_weight_decay(0.01), [0.399048716, -1.14037728, 1.85980463]),
        (adam, [0.488550365, -1.24598718, 1.97085118]),
        (adam.with_weight_decay(0.01), [0.487748414, -1.24480259, 1.96803832]),
        (Optimizer::Adam(other), [0.489776433, -1.2427305, 1.97728503]),
    ] {
        let mut param = DenseParam::from_values([1, 3], START.to_vec());
        // The same through a table whose rows are single numbers; a zero gradient is a row that is not touched.
        let mut table = RowTable::from_values(3, 1, START.to_vec(), RowUpdate::Exact);
        for grads in GRADS {
            param.apply(&grads, &optimizer);
            let touched: Vec<u32> = (0..3).filter(|r| grads[*r as usize] != 0.0).collect();
            let leaf: Vec<f32> = touched.iter().map(|r| grads[*r as usize]).collect();
            table.apply(&touched, &leaf, &optimizer);
        }
        table.settle();
        assert!(close(param.values(), &want), "{optimizer:?}: {:?}, {want:?}", param.values());
        assert!(close(table.values(), &want), "{optimizer:?}: {:?}, {want:?}", table.values());
    }
}

/// ```python
/// w = torch.tensor([[.5, -1.25], [2., .25], [-.75, 1.5]], requires_grad=True)
/// for rows, g in [([0, 2], [[.1, -.2], [.3, .4]]), ([1], [[.5, -.1]]), ([2, 0], [[-.4, .2], [.7, .6]])]:
///     # SparseAdam(lr=.01): w.grad = torch.sparse_coo_tensor([rows], g, (3, 2))
///     # Adam(lr=.01): the same gradient, dense
/// ```
#[test]
fn lazy_rows_equal_sparse_adam_and_exact_rows_equal_adam() {
    let sparse = [0.482862949, -1.24424243, 1.9925586, 0.257441342, -0.758338749, 1.48199761];
    let dense = [0.476243585, -1.23772383, 1.98680639, 0.263193578, -0.764693975, 1.47580838];
    for (update, want) in [(RowUpdate::Lazy, sparse), (RowUpdate::Exact, dense)] {
        let mut table = RowTable::from_values(3, 2, vec![0.5, -1.25, 2.0, 0.25, -0.75, 1.5], update);
        let adam = Optimizer::adam(0.01);
        table.apply(&[0, 2], &[0.1, -0.2, 0.3, 0.4], &adam);
        table.apply(&[1], &[0.5, -0.1], &adam);
        table.apply(&[2, 0], &[-0.4, 0.2, 0.7, 0.6], &adam);
        table.settle();
        assert!(close(table.values(), &want), "{update:?}: {:?}", table.values());
    }
}

#[test]
fn an_empty_batch_is_a_step_without_gradient() {
    let adam = Optimizer::adam(0.01);
    let mut a = RowTable::new(4, 3, Init::Normal { std: 1.0 }, Seed(1), RowUpdate::Exact);
    let mut b = a.clone();
    a.apply(&[1], &[1.0; 3], &adam);
    b.apply(&[1], &[1.0; 3], &adam);
    a.apply(&[], &[], &adam);
    b.apply_dense(&[0.0; 12], &adam);
    a.settle();
    assert_eq!(a.values(), b.values());
}
