//! Steps of optimisers, and the memory that comes back from a device.

use rectify_tensor::cuda::{DeviceParam, Rule};
use rectify_tensor::{Adagrad, Adam, DenseParam, Optimizer, RowTable, RowUpdate, Sgd};

use super::{Inputs, SHAPES, devices};

#[test]
fn steps_on_all_rows_on_some_and_on_all_with_some_gradients() {
    let rules = [
        Rule::Adam(Adam { learning_rate: 0.01, weight_decay: 0.02, ..Adam::default() }),
        Rule::Sgd(Sgd { learning_rate: 0.1, weight_decay: 0.0 }),
        Rule::Sgd(Sgd { learning_rate: 0.1, weight_decay: 0.02 }),
    ];
    for ops in devices() {
        for ((n_rows, dim), rule) in SHAPES.into_iter().flat_map(|shape| rules.map(|rule| (shape, rule))) {
            let mut x = Inputs::fresh();
            let (start, optimizer) = (x.normals(n_rows * dim), Optimizer::from(rule));
            for update in [RowUpdate::Exact, RowUpdate::Lazy] {
                let mut here = RowTable::from_values(n_rows, dim, start.clone(), update);
                let mut there = here.clone();
                let mut draw = |t: u32| {
                    let rows: Vec<u32> = (0..n_rows as u32).rev().filter(|row| (row + t).is_multiple_of(3)).collect();
                    let grads = x.normals(rows.len() * dim);
                    (rows, grads)
                };
                let mut param = DeviceParam::from_rows(&ops, &mut there, &rule).unwrap();
                for t in 0..3 {
                    let (rows, grads) = draw(t);
                    here.apply(&rows, &grads, &optimizer);
                    let grads = ops.gpu().upload(&grads).unwrap();
                    ops.step_rows(&mut param, &rule, dim, &rows, update, &grads).unwrap();
                }
                param.into_rows(&ops, &mut there, &rule).unwrap();
                // On the CPU it goes on with the memory that came back.
                let (rows, grads) = draw(3);
                for table in [&mut here, &mut there] {
                    table.apply(&rows, &grads, &optimizer);
                    table.settle();
                }
                assert_eq!(here.steps(), there.steps());
                x.close(&format!("{rule:?}, {update:?}"), there.values(), here.values());
            }
            let mut here = DenseParam::from_values([n_rows, dim], start);
            let mut there = here.clone();
            let mut param = DeviceParam::from_dense(&ops, &mut there, &rule).unwrap();
            for _ in 0..3 {
                let grads = x.normals(n_rows * dim);
                here.apply(&grads, &optimizer);
                ops.step(&mut param, &rule, &ops.gpu().upload(&grads).unwrap()).unwrap();
            }
            param.into_dense(&ops, &mut there, &rule).unwrap();
            let grads = x.normals(n_rows * dim);
            [&mut here, &mut there].into_iter().for_each(|param| param.apply(&grads, &optimizer));
            x.close(&format!("{rule:?}, dense"), there.values(), here.values());
        }
    }
}

#[test]
fn a_rule_that_devices_do_not_know_is_named() {
    let error = Rule::try_from(Optimizer::Adagrad(Adagrad::default())).unwrap_err().to_string();
    assert_eq!(error, "optimizer.rule is adagrad, expected adam or sgd on a device; adagrad trains on the CPU");
}
