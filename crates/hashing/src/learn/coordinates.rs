//! Coordinate descent on the vector of one row, its partners fixed: the inner loop of DCF, DCMF, BCCF and PPH.

use rectify_tensor::kernels::{axpy, dot, squared_norm};

/// What one coordinate sees: the loss as a function of its value x is `quadratic · x² - 2 · linear · x` and what `solve` adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coordinate<'a> {
    /// Which.
    pub(super) k: usize,
    /// The vector as it is.
    pub(super) row: &'a [f32],
    pub(super) linear: f32,
    pub(super) quadratic: f32,
}

/// Minimises `Σ_j (target_j - scale · row·partner_j)² + …` over the row, a coordinate at a time.
#[derive(Debug, Default)]
pub(super) struct Descent {
    /// Coordinates of the partners, `[dim, n]`: one coordinate of all partners is one stretch.
    columns: Vec<f32>,
    residuals: Vec<f32>,
}

impl Descent {
    /// Sweeps over the coordinates until none changes by more than `tolerance`, `sweeps` times at most; returns the squared error
    /// before.
    ///
    /// **Shapes**: row (dim), table (n_partners, dim), partners and targets of one length.
    #[expect(clippy::too_many_arguments, reason = "a kernel takes what its loop reads")]
    pub(super) fn run(
        &mut self,
        row: &mut [f32],
        table: &[f32],
        partners: &[u32],
        targets: impl Iterator<Item = f32>,
        scale: f32,
        sweeps: u32,
        tolerance: f32,
        mut solve: impl FnMut(Coordinate<'_>) -> f32,
    ) -> f64 {
        let (dim, n) = (row.len(), partners.len());
        self.columns.resize(dim * n, 0.0);
        for (j, partner) in partners.iter().enumerate() {
            let vector = &table[*partner as usize * dim..][..dim];
            for (k, x) in vector.iter().enumerate() {
                self.columns[k * n + j] = *x;
            }
        }
        self.residuals.clear();
        self.residuals.extend(targets);
        let column = |k: usize| &self.columns[k * n..(k + 1) * n];
        for (k, x) in row.iter().enumerate() {
            axpy(-scale * x, column(k), &mut self.residuals);
        }
        let error = f64::from(squared_norm(&self.residuals));
        for _ in 0..sweeps {
            let mut largest = 0.0f32;
            for k in 0..dim {
                let quadratic = scale * scale * squared_norm(column(k));
                let linear = scale * dot(&self.residuals, column(k)) + quadratic * row[k];
                let before = row[k];
                let after = solve(Coordinate { k, row, linear, quadratic });
                if after != before {
                    row[k] = after;
                    axpy(scale * (before - after), column(k), &mut self.residuals);
                    largest = largest.max((after - before).abs());
                }
            }
            if largest <= tolerance {
                break;
            }
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_step_worked_out_by_hand_keeps_both_bits() {
        // Items (1, 1), (-1, 1), (1, -1), targets (2, -2, 0), b = (1, 1): predictions 2, 0, 0, squared error 4.
        let (mut row, table) = ([1.0, 1.0], [1.0, 1.0, -1.0, 1.0, 1.0, -1.0]);
        let mut seen = Vec::new();
        let solve = |at: Coordinate<'_>| {
            seen.push((at.k, at.linear));
            if at.linear > 0.0 {
                1.0
            } else if at.linear < 0.0 {
                -1.0
            } else {
                at.row[at.k]
            }
        };
        let targets = [2.0, -2.0, 0.0].into_iter();
        let error = Descent::default().run(&mut row, &table, &[0, 1, 2], targets, 1.0, 5, 0.0, solve);
        assert_eq!((row, error), ([1.0, 1.0], 4.0));
        // Bit 0: (2 - 1)·1 + (-2 - 1)·(-1) + (0 + 1)·1 = 5; bit 1: (2 - 1)·1 + (-2 + 1)·1 + (0 - 1)·(-1) = 1.
        assert_eq!(seen, [(0, 5.0), (1, 1.0)]);
    }

    #[test]
    fn without_a_rule_of_its_own_it_solves_least_squares() {
        let table: Vec<f32> = (0..12).map(|k| ((k * k) as f32 * 1.3).sin()).collect();
        let want = [0.4, -1.0, 0.7];
        let partners = [0, 1, 2, 3];
        let targets = partners.map(|j: u32| (0..3).map(|k| 0.5 * want[k] * table[j as usize * 3 + k]).sum::<f32>());
        let mut row = [0.0; 3];
        let solve = |at: Coordinate<'_>| at.linear / at.quadratic;
        Descent::default().run(&mut row, &table, &partners, targets.into_iter(), 0.5, 2000, 1e-7, solve);
        assert!(row.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-2), "{row:?}");
    }

    #[test]
    fn a_row_without_partners_follows_its_rule_alone() {
        let mut row = [0.5, -0.5];
        let solve = |at: Coordinate<'_>| {
            assert_eq!((at.linear, at.quadratic), (0.0, 0.0));
            1.0
        };
        assert_eq!(Descent::default().run(&mut row, &[], &[], std::iter::empty(), 1.0, 1, 0.0, solve), 0.0);
        assert_eq!(row, [1.0, 1.0]);
    }
}
