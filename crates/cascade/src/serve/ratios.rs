//! Which share of the items each module is to reject.

use serde::{Deserialize, Serialize};

use crate::CascadeError;

/// Cumulative rejection ratios `γ_1 < … < γ_N`: the share of **all** items that is gone once module n has run.
///
/// **Reading**: the paper also calls γ the share of what reaches a module; its values (.5, .75, .875) are cumulative.
///
/// ```
/// use rectify_cascade::RejectionRatios;
///
/// let ratios = RejectionRatios::new(&[0.75, 0.875, 0.9375])?;
/// assert_eq!(ratios.kept(3706), [926, 463, 231]);
/// assert_eq!(ratios.cost_factor(), 1.4375);
/// # Ok::<(), rectify_cascade::CascadeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct RejectionRatios(Vec<f64>);

impl RejectionRatios {
    /// Checks ratios; none at all are those of a cascade without modules.
    ///
    /// # Errors
    /// [`CascadeError::Ratio`] at the first that is not in (0, 1) or does not exceed the one before.
    pub fn new(ratios: &[f64]) -> Result<Self, CascadeError> {
        let mut before = 0.0;
        for (position, &got) in ratios.iter().enumerate() {
            if !(got > before && got < 1.0) {
                return Err(CascadeError::Ratio { position, got });
            }
            before = got;
        }
        Ok(Self(ratios.to_vec()))
    }

    /// The ratios, rising.
    #[must_use]
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Number of modules (`N`).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no modules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Items that are left after each module: `K_n = ⌊(1 − γ_n) n_items + 10⁻⁹⌋`, at least 1 if there is any item.
    ///
    /// **Reading**: the paper gives no rounding rule.
    #[must_use]
    pub fn kept(&self, n_items: usize) -> Vec<usize> {
        let kept = |ratio: &f64| (((1.0 - ratio) * n_items as f64 + 1e-9) as usize).clamp(n_items.min(1), n_items);
        self.0.iter().map(kept).collect()
    }

    /// Passes of one module over all items that the whole cascade costs: `1 + Σ (1 − γ_n)`, where every stage costs an item the same.
    ///
    /// **Reading**: Eq. 18 adds one term too many and misplaces a factor ½; at a conditional rate of ½ this is `2 − 2^(1−M)` for
    /// M stages, below 2.
    #[must_use]
    pub fn cost_factor(&self) -> f64 {
        1.0 + self.0.iter().map(|ratio| 1.0 - ratio).sum::<f64>()
    }
}

impl TryFrom<Vec<f64>> for RejectionRatios {
    type Error = CascadeError;

    fn try_from(ratios: Vec<f64>) -> Result<Self, CascadeError> {
        Self::new(&ratios)
    }
}

impl From<RejectionRatios> for Vec<f64> {
    fn from(ratios: RejectionRatios) -> Self {
        ratios.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_and_kept_items_are_those_of_the_paper() {
        let ratios = |values: &[f64]| RejectionRatios::new(values).unwrap();
        assert_eq!(ratios(&[0.5, 0.75, 0.875]).cost_factor(), 1.875);
        // 1 + ½ + ¼ + ⅛ = (1 − α⁴) / (1 − α) at α = ½.
        assert_eq!(ratios(&[0.5, 0.75, 0.875]).cost_factor(), (1.0 - 0.5f64.powi(4)) / 0.5);
        assert_eq!(ratios(&[0.5, 0.75, 0.875]).kept(8), [4, 2, 1]);
        // (1 − 0.9) · 10 is a hair below 1 in floating point.
        assert_eq!(ratios(&[0.9, 0.99]).kept(10), [1, 1]);
        assert_eq!(ratios(&[0.5]).kept(0), [0]);
        assert_eq!(ratios(&[]).cost_factor(), 1.0);
    }

    #[test]
    fn ratios_that_do_not_rise_within_0_and_1_are_named() {
        for (ratios, position) in [
            (&[0.5, 0.5][..], 1),
            (&[0.75, 0.5], 1),
            (&[0.0], 0),
            (&[-0.1], 0),
            (&[0.5, 1.0], 1),
            (&[f64::NAN], 0),
            (&[0.2, f64::INFINITY], 1),
        ] {
            let error = RejectionRatios::new(ratios).unwrap_err();
            assert!(matches!(error, CascadeError::Ratio { position: at, .. } if at == position), "{ratios:?}: {error}");
        }
        let error = serde_json::from_str::<RejectionRatios>("[0.5, 0.25]").unwrap_err().to_string();
        assert!(error.contains("rejection_ratios is 0.25 at position 1"), "{error}");
    }
}
