//! What a place in the list is worth.

use std::sync::LazyLock;

/// Gains of single places and of the best first `n` places, tabulated for the places that lists have.
pub(crate) struct Discount {
    gain: fn(u32) -> f64,
    /// `gains[r - 1]`: of rank `r`.
    gains: Vec<f64>,
    /// `ideals[n]`: of ranks `1..=n`.
    ideals: Vec<f64>,
}

/// Ranks in the tables; deeper ones are computed.
const TABLED: u32 = 4096;

// libm's logarithm has the same bits on every platform; std's need not.

/// `1 / log₂(r + 1)`.
pub(crate) static LOG: LazyLock<Discount> =
    LazyLock::new(|| Discount::new(|rank| 1.0 / libm::log2(f64::from(rank) + 1.0)));

/// `1 / max(1, log₂ r)`.
pub(crate) static LOG_FROM_TWO: LazyLock<Discount> =
    LazyLock::new(|| Discount::new(|rank| 1.0 / libm::log2(f64::from(rank)).max(1.0)));

impl Discount {
    fn new(gain: fn(u32) -> f64) -> Self {
        let gains: Vec<f64> = (1..=TABLED).map(gain).collect();
        let mut ideals = vec![0.0];
        ideals.extend(gains.iter().scan(0.0, |sum, gain| {
            *sum += gain;
            Some(*sum)
        }));
        Self { gain, gains, ideals }
    }

    fn of(&self, rank: u32) -> f64 {
        self.gains.get(rank as usize - 1).copied().unwrap_or_else(|| (self.gain)(rank))
    }

    /// Sum over ranks, best first. The order is that of [`ideal`](Self::ideal), so a perfect list is worth exactly 1.
    pub(crate) fn gain(&self, ranks: &[u32]) -> f64 {
        ranks.iter().fold(0.0, |sum, &rank| sum + self.of(rank))
    }

    /// Sum over ranks `1..=n`.
    pub(crate) fn ideal(&self, n: usize) -> f64 {
        let tabled = n.min(TABLED as usize);
        (tabled as u32 + 1..=n as u32).fold(self.ideals[tabled], |sum, rank| sum + self.of(rank))
    }
}
