//! Steps of optimisers.

use rectify_cuda::{Args, Shape, Source};

use super::{Buffer, DeviceParam, GpuError, GpuOps, Rule, check_matrix};
use crate::RowUpdate;

pub(super) static SOURCE: Source = Source {
    name: "steps",
    text: include_str!("../../kernels/steps.cu"),
    kernels: &["adam_dense", "adam_rows", "adam_table", "sgd_dense", "sgd_rows", "sgd_table"],
};

/// Where a step's gradients belong, as the names of kernels have it, with the kernel's first parameters.
#[derive(Clone, Copy)]
enum Place {
    Dense,
    Rows,
    Table,
}

impl GpuOps {
    /// One step on every value; grads is as long.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If sizes disagree, or the parameter was uploaded for another rule.
    pub fn step(&self, param: &mut DeviceParam, rule: &Rule, grads: &Buffer<f32>) -> Result<(), GpuError> {
        let n = param.values.len();
        check_matrix("grads", grads, n, 1);
        self.take(param, rule, Place::Dense, n, |args| args.read(grads).size(n))
    }

    /// One step with the gradient of some rows (rows.len(), dim), no row twice; the others move, or don't, as `update` says.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// As [`step`](Self::step), or if a row is out of range.
    pub fn step_rows(
        &self,
        param: &mut DeviceParam,
        rule: &Rule,
        dim: usize,
        rows: &[u32],
        update: RowUpdate,
        grads: &Buffer<f32>,
    ) -> Result<(), GpuError> {
        check_matrix("grads", grads, rows.len(), dim);
        let n_rows = param.values.len() / dim.max(1);
        check_matrix("values", &param.values, n_rows, dim);
        // Without momentum and decay, rows without a gradient rest.
        let all_move = match rule {
            Rule::Sgd(sgd) => sgd.weight_decay > 0.0,
            Rule::Adam(_) => true,
        };
        if update == RowUpdate::Exact && all_move {
            let slots = self.slots(rows, n_rows)?;
            self.take(param, rule, Place::Table, n_rows * dim, |args| {
                args.read(&slots.buffer).read(grads).size(n_rows).size(dim)
            })
        } else {
            let places = self.places(rows, n_rows)?;
            self.take(param, rule, Place::Rows, rows.len() * dim, |args| {
                args.read(&places.buffer).read(grads).size(rows.len()).size(dim)
            })
        }
    }

    /// Runs a rule's kernel; `between` adds what stands between the parameter and the constants.
    fn take<'a>(
        &self,
        param: &'a mut DeviceParam,
        rule: &Rule,
        place: Place,
        n_threads: usize,
        between: impl FnOnce(Args<'a>) -> Args<'a>,
    ) -> Result<(), GpuError> {
        param.t += 1;
        let DeviceParam { values, first, second, t } = param;
        let (kernel, args) = match rule {
            Rule::Sgd(sgd) => {
                assert!(first.is_empty(), "the parameter was uploaded for Adam");
                let args = between(Args::new().write(values));
                let kernel = match place {
                    Place::Dense => "sgd_dense",
                    Place::Rows => "sgd_rows",
                    Place::Table => "sgd_table",
                };
                (kernel, args.float(sgd.learning_rate as f32).float(sgd.weight_decay as f32))
            }
            Rule::Adam(adam) => {
                assert_eq!(first.len(), values.len(), "the parameter was uploaded for gradient descent");
                let (c, s) = (adam.constants(), adam.scale(*t));
                let args = between(Args::new().write(values).write(first).write(second));
                let kernel = match place {
                    Place::Dense => "adam_dense",
                    Place::Rows => "adam_rows",
                    Place::Table => "adam_table",
                };
                let args = args.float(c.beta1).float(c.beta2).float(c.one_minus_beta1).float(c.one_minus_beta2);
                let args = args.float(c.epsilon).float(c.weight_decay);
                (kernel, args.float(s.step_size).float(s.inverse_root))
            }
        };
        self.run(&SOURCE, kernel, Shape::threads_for(n_threads), args)
    }
}
