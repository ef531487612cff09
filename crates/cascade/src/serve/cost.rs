//! What searches cost, counted and not timed.

/// What one search, or several together, cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Items that entered each module, and at last the scorer: `N + 1` numbers, each search counted once.
    pub entered: Vec<u64>,
    /// Fused multiply-adds of products and layers. Batch-wise search counts what it computes for rejected items too.
    pub multiply_adds: u64,
    /// Rejected items that had to fill a list.
    pub filled: usize,
    /// Walks over the items; a list that must be filled from rejected items takes a second one.
    pub passes: u64,
}

impl Cost {
    pub(super) fn new(n_modules: usize) -> Self {
        Self { entered: vec![0; n_modules + 1], multiply_adds: 0, filled: 0, passes: 1 }
    }

    /// Adds another cost of the same cascade.
    pub(super) fn add(&mut self, other: &Self) {
        self.entered.iter_mut().zip(&other.entered).for_each(|(sum, n)| *sum += n);
        self.multiply_adds += other.multiply_adds;
        self.filled += other.filled;
        self.passes += other.passes;
    }

    /// Share of all items that was gone after each module: what the ratios `γ_n` ask for (the paper's Figure 2).
    #[must_use]
    pub fn rejected(&self) -> Vec<f64> {
        let all = self.entered[0].max(1) as f64;
        self.entered[1..].iter().map(|n| 1.0 - *n as f64 / all).collect()
    }
}
