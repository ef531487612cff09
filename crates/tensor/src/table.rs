//! A table of which each batch touches a few rows.

use rayon::prelude::*;
use rectify_core::artifact::{Artifact, ArtifactWriter};
use rectify_core::rng::Seed;

use crate::kernels::{self, AdamScale};
#[cfg(feature = "cuda")]
use crate::state::StateMut;
use crate::state::{State, Steps};
use crate::{Init, Optimizer, ParamError, RowUpdate};

/// A table (n_rows, dim) with its optimiser state.
///
/// A training step is: [`gather`](Self::gather) (or [`refresh`](Self::refresh) and read in place) the batch's rows, compute
/// their gradient, [`apply`](Self::apply). Before anything reads the whole table, [`settle`](Self::settle).
#[derive(Clone, Debug)]
pub struct RowTable {
    n_rows: usize,
    dim: usize,
    update: RowUpdate,
    values: Vec<f32>,
    state: State,
    steps: u64,
    lag: Option<Lag>,
}

/// Which steps each row has not taken yet.
#[derive(Clone, Debug)]
struct Lag {
    /// The optimiser of all these steps; another one makes the table settle first.
    optimizer: Optimizer,
    /// Steps since the table was last settled.
    elapsed: u32,
    /// How many of them each row has taken; [`AT_REST`] for a row that has nothing to take.
    taken: Vec<u32>,
    /// Adam's scale of each of them.
    history: Vec<AdamScale>,
}

/// A row without momentum (never touched) does not move without a gradient.
const AT_REST: u32 = u32::MAX;

/// Rows that a thread settles at a time.
const PIECE: usize = 1024;

impl Lag {
    /// `None` if rows without gradient do not move under this optimiser.
    fn new(optimizer: &Optimizer, state: &State, n_rows: usize, dim: usize) -> Option<Self> {
        let adam = matches!(optimizer, Optimizer::Adam(_));
        if optimizer.weight_decay() == 0.0 && !adam {
            return None;
        }
        let mut taken = vec![0; n_rows];
        if let (State::Adam { m, v }, true) = (state, optimizer.weight_decay() == 0.0 && dim > 0) {
            for ((taken, m), v) in taken.iter_mut().zip(m.chunks_exact(dim)).zip(v.chunks_exact(dim)) {
                if m.iter().chain(v).all(|x| *x == 0.0) {
                    *taken = AT_REST;
                }
            }
        }
        Some(Self { optimizer: *optimizer, elapsed: 0, taken, history: Vec::new() })
    }
}

/// Steps that a row has missed, given how many it has `taken`; from now on it has taken `now`.
#[inline]
fn catch_up(taken: &mut u32, elapsed: u32, now: u32) -> usize {
    let before = *taken;
    if before == AT_REST {
        if now > elapsed {
            *taken = now;
        }
        return 0;
    }
    assert!(before <= elapsed, "the rows of one step must be distinct");
    *taken = now;
    (elapsed - before) as usize
}

impl RowTable {
    /// A table with seeded initial values.
    #[must_use]
    pub fn new(n_rows: usize, dim: usize, init: Init, seed: Seed, update: RowUpdate) -> Self {
        Self::from_values(n_rows, dim, init.draw(n_rows, dim, seed), update)
    }

    /// A table with given values, row-major.
    ///
    /// # Panics
    /// If `values.len() != n_rows * dim`.
    #[must_use]
    pub fn from_values(n_rows: usize, dim: usize, values: Vec<f32>, update: RowUpdate) -> Self {
        kernels::check_matrix("a table", &values, n_rows, dim);
        Self { n_rows, dim, update, values, state: State::Empty, steps: 0, lag: None }
    }

    /// Number of rows.
    #[must_use]
    pub const fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Width of a row.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// What happens to untouched rows.
    #[must_use]
    pub const fn update(&self) -> RowUpdate {
        self.update
    }

    /// Steps taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Bytes of values and optimiser state.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.values.len() * 4 + self.state.size_bytes()
    }

    /// All values, row-major (n_rows, dim).
    ///
    /// # Panics
    /// If rows lag behind: [`settle`](Self::settle) comes first, or read some rows by [`refresh`](Self::refresh).
    #[must_use]
    pub fn values(&self) -> &[f32] {
        self.assert_settled();
        &self.values
    }

    /// One row.
    ///
    /// # Panics
    /// As [`values`](Self::values), or if the row is out of range.
    #[must_use]
    pub fn row(&self, row: u32) -> &[f32] {
        &self.values()[row as usize * self.dim..][..self.dim]
    }

    /// All values, to be set from outside (a pre-trained model); optimiser state stays.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.settle();
        &mut self.values
    }

    #[track_caller]
    fn assert_settled(&self) {
        let settled = self.lag.as_ref().is_none_or(|lag| lag.elapsed == 0);
        assert!(settled, "rows lag behind: call settle() before reading the whole table");
    }

    /// Lets the given rows take the steps they missed, and returns the whole table, in which **these** rows are current.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn refresh(&mut self, rows: &[u32]) -> &[f32] {
        if let Some(lag) = self.lag.as_mut().filter(|lag| lag.elapsed > 0) {
            let Lag { optimizer, elapsed, taken, history } = lag;
            let mut missed = |row: u32| catch_up(&mut taken[row as usize], *elapsed, *elapsed);
            let steps = Steps { ahead: rows, missed: &mut missed, history, grads: None };
            let ids = &mut rows.iter().copied();
            self.state.borrow().row_steps(&mut self.values, self.dim, ids, steps, optimizer);
        }
        &self.values
    }

    /// Copies rows to `out` (rows.len(), dim), after they took the steps they missed.
    ///
    /// # Panics
    /// If a row is out of range or `out` has another size.
    pub fn gather(&mut self, rows: &[u32], out: &mut [f32]) {
        let dim = self.dim;
        kernels::gather_rows(self.refresh(rows), dim, rows, out);
    }

    /// One optimiser step with the gradient of `rows`; all other rows have gradient 0.
    ///
    /// **Shapes**: rows distinct, in any order; grads (rows.len(), dim). Another rule than before starts with an empty
    /// memory.
    ///
    /// # Panics
    /// If a row is out of range, or sizes disagree, or (`Exact`) a row comes twice.
    pub fn apply(&mut self, rows: &[u32], grads: &[f32], optimizer: &Optimizer) {
        kernels::check_matrix("gradients", grads, rows.len(), self.dim);
        if self.lag.as_ref().is_some_and(|lag| lag.optimizer != *optimizer) {
            self.settle();
            self.lag = None;
        }
        if self.state.prepare(optimizer, self.values.len()) {
            self.steps = 0;
        }
        if self.update == RowUpdate::Exact && self.lag.is_none() {
            self.lag = Lag::new(optimizer, &self.state, self.n_rows, self.dim);
        }
        self.steps += 1;
        let scale = match optimizer {
            Optimizer::Adam(adam) => Some(adam.scale(self.steps)),
            Optimizer::Sgd(_) | Optimizer::Adagrad(_) => None,
        };
        let grads = Some((grads, scale));
        let ids = &mut rows.iter().copied();
        let Some(Lag { elapsed, taken, history, .. }) = &mut self.lag else {
            let steps = Steps { ahead: rows, missed: &mut |_| 0, history: &[], grads };
            return self.state.borrow().row_steps(&mut self.values, self.dim, ids, steps, optimizer);
        };
        let mut missed = |row: u32| catch_up(&mut taken[row as usize], *elapsed, *elapsed + 1);
        let steps = Steps { ahead: rows, missed: &mut missed, history, grads };
        self.state.borrow().row_steps(&mut self.values, self.dim, ids, steps, optimizer);
        history.extend(scale);
        *elapsed += 1;
        if *elapsed == AT_REST - 1 {
            self.settle();
        }
    }

    /// One dense optimiser step; grads (n_rows, dim).
    ///
    /// # Panics
    /// If `grads` has another size.
    pub fn apply_dense(&mut self, grads: &[f32], optimizer: &Optimizer) {
        kernels::check_matrix("gradients", grads, self.n_rows, self.dim);
        self.settle();
        // The next sparse step looks anew which rows are at rest.
        self.lag = None;
        if self.state.prepare(optimizer, self.values.len()) {
            self.steps = 0;
        }
        self.steps += 1;
        self.state.dense_step(&mut self.values, grads, optimizer, self.steps);
    }

    /// Values, memory and steps, all rows current, for a device that takes the steps of this rule in their stead.
    #[cfg(feature = "cuda")]
    pub(crate) fn whole(&mut self, optimizer: &Optimizer) -> (&mut [f32], StateMut<'_>, &mut u64) {
        self.settle();
        self.lag = None;
        if self.state.prepare(optimizer, self.values.len()) {
            self.steps = 0;
        }
        (&mut self.values, self.state.borrow(), &mut self.steps)
    }

    /// Lets every row take the steps it missed.
    pub fn settle(&mut self) {
        let Some(Lag { optimizer, elapsed, taken, history }) = &mut self.lag else { return };
        if *elapsed == 0 {
            return;
        }
        let (dim, width, now) = (self.dim, PIECE * self.dim.max(1), *elapsed);
        let pieces: Vec<_> = self
            .values
            .chunks_mut(width)
            .zip(taken.chunks_mut(PIECE))
            .zip(self.state.pieces(width, self.n_rows.div_ceil(PIECE)))
            .collect();
        pieces.into_par_iter().for_each(|((values, taken), state)| {
            let rows = 0..taken.len() as u32;
            let mut missed = |row: u32| catch_up(&mut taken[row as usize], now, now);
            let steps = Steps { ahead: &[], missed: &mut missed, history, grads: None };
            state.row_steps(values, dim, &mut rows.into_iter(), steps, optimizer);
        });
        for taken in taken.iter_mut().filter(|taken| **taken != AT_REST) {
            *taken = 0;
        }
        history.clear();
        *elapsed = 0;
    }

    pub(crate) fn save_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>, name: &str) {
        let shape = [self.n_rows, self.dim];
        writer.array(name, &shape, self.values());
        self.state.save_into(writer, name, &shape);
    }

    pub(crate) fn load(
        artifact: &Artifact,
        name: &str,
        [n_rows, dim]: [usize; 2],
        update: RowUpdate,
        steps: u64,
    ) -> Result<Self, ParamError> {
        let shape = [n_rows, dim];
        let values = artifact.array_shaped(name, &shape)?.to_vec();
        let state = State::load(artifact, name, &shape)?;
        Ok(Self { n_rows, dim, update, values, state, steps, lag: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::normals;
    use crate::{Adagrad, Adam, Sgd};

    /// Batches of distinct rows with gaps of many lengths, and their gradients.
    fn batches(n: usize, n_rows: u32, dim: usize) -> Vec<(Vec<u32>, Vec<f32>)> {
        (0..n)
            .map(|step| {
                let mut rng = Seed(9).at(0, step as u64);
                let amount = 1 + rng.below(3);
                // Rows from the upper half come in the first steps only: long gaps.
                let rows = rng.sample_distinct(if step < 20 { n_rows } else { n_rows / 2 }, amount);
                let grads = (0..rows.len() * dim).map(|_| 0.1 * rng.normal() as f32).collect();
                (rows, grads)
            })
            .collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn exact_rows_have_the_bits_of_a_dense_pass_at_every_step() {
        let n_rows = 12;
        let decaying = Optimizer::adam(1e-2).with_weight_decay(1e-3);
        // Widths on both sides of what is packed, with and without a part of a stretch.
        let cases = [
            (Optimizer::adam(1e-2), 21),
            (decaying, 21),
            (decaying, 1),
            (decaying, 40),
            (decaying, 41),
            (decaying, 150),
            (Optimizer::Adam(Adam { epsilon: 1e-3, beta1: 0.5, ..Adam::default() }), 21),
            (Optimizer::Adagrad(Adagrad { weight_decay: 0.01, ..Adagrad::default() }), 21),
            (Optimizer::Sgd(Sgd { learning_rate: 0.1, weight_decay: 0.01 }), 21),
            (Optimizer::Sgd(Sgd::default()), 21),
        ];
        for (optimizer, dim) in cases {
            // A row of zeros, too: it has no spacing to hide a step in.
            let mut start = normals("table", n_rows * dim);
            start[..dim].fill(0.0);
            let mut sparse = RowTable::from_values(n_rows, dim, start.clone(), RowUpdate::Exact);
            let mut dense = RowTable::from_values(n_rows, dim, start, RowUpdate::Exact);
            for (step, (rows, grads)) in batches(3000, n_rows as u32, dim).into_iter().enumerate() {
                let mut all = vec![0.0; n_rows * dim];
                kernels::scatter_add_rows(&grads, dim, &rows, &mut all);
                dense.apply_dense(&all, &optimizer);
                let mut leaf = vec![0.0; grads.len()];
                sparse.gather(&rows, &mut leaf);
                sparse.apply(&rows, &grads, &optimizer);
                if step == 1000 {
                    sparse.settle();
                }
                let mut got = vec![0.0; leaf.len()];
                sparse.clone().gather(&rows, &mut got);
                for (row, got) in rows.iter().zip(got.chunks(dim)) {
                    assert_eq!(bits(got), bits(dense.row(*row)), "{optimizer:?} width {dim} step {step} row {row}");
                }
            }
            sparse.settle();
            assert_eq!(bits(sparse.values()), bits(dense.values()), "{optimizer:?}");
            assert_eq!(sparse.state, dense.state, "{optimizer:?}");
        }
    }

    #[test]
    fn settling_has_the_same_bits_for_one_and_two_threads() {
        let run = |threads| {
            let mut table = RowTable::new(3000, 5, Init::Normal { std: 0.1 }, Seed(1), RowUpdate::Exact);
            for (rows, grads) in batches(50, 3000, 5) {
                table.apply(&rows, &grads, &Optimizer::adam(1e-2));
            }
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| table.settle());
            bits(table.values())
        };
        assert_eq!(run(1), run(2));
    }

    #[test]
    fn a_change_of_the_learning_rate_settles_what_came_before() {
        let start = normals("table", 12 * 4);
        let mut sparse = RowTable::from_values(12, 4, start.clone(), RowUpdate::Exact);
        let mut dense = RowTable::from_values(12, 4, start, RowUpdate::Exact);
        for (step, (rows, grads)) in batches(200, 12, 4).into_iter().enumerate() {
            let optimizer = Optimizer::adam(if step < 77 { 1e-2 } else { 3e-2 });
            let mut all = vec![0.0; 48];
            kernels::scatter_add_rows(&grads, 4, &rows, &mut all);
            dense.apply_dense(&all, &optimizer);
            sparse.apply(&rows, &grads, &optimizer);
        }
        sparse.settle();
        assert_eq!(bits(sparse.values()), bits(dense.values()));
    }

    #[test]
    fn lazy_rows_stay_when_untouched() {
        let optimizer = Optimizer::adam(0.1).with_weight_decay(0.1);
        let mut table = RowTable::from_values(2, 1, vec![1.0, 2.0], RowUpdate::Lazy);
        table.apply(&[0], &[1.0], &optimizer);
        table.apply(&[1], &[1.0], &optimizer);
        let first = table.row(0)[0];
        table.apply(&[1], &[1.0], &optimizer);
        assert_eq!(table.row(0)[0], first);
    }

    #[test]
    #[should_panic(expected = "rows of one step must be distinct")]
    fn a_row_that_comes_twice_is_a_bug() {
        let mut table = RowTable::from_values(2, 1, vec![1.0, 2.0], RowUpdate::Exact);
        table.apply(&[1, 1], &[1.0, 1.0], &Optimizer::adam(0.1));
    }

    #[test]
    #[should_panic(expected = "call settle()")]
    fn reading_a_table_that_lags_is_a_bug() {
        let mut table = RowTable::from_values(2, 1, vec![1.0, 2.0], RowUpdate::Exact);
        table.apply(&[1], &[1.0], &Optimizer::adam(0.1));
        let _ = table.values();
    }
}
