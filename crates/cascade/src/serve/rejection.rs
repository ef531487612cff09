//! Which pairs are rejected, and what stands for a score then.

use crate::RejectionRatios;

/// Scores at or below this one are of items that a module rejected.
pub const REJECTED: f32 = -18_446_744_073_709_551_616.0; // -2⁶⁴

/// Which pairs a module rejects.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// Module n rejects where `D_n` is above its threshold (one a module). The paper's are 0, so `D = 0` is kept.
    Above(Vec<f32>),
    /// Module n rejects, for each user, the items with the largest `D_n`, so that the share of all candidates that is gone is `γ_n`
    /// (HDN-nd). Equal values go by item id, the lower one being kept.
    Share(RejectionRatios),
    /// No module rejects (HDN-nr).
    Never,
}

impl Rejection {
    /// The rule that modules are trained for: `D_n > 0` rejects.
    #[must_use]
    pub fn learned(n_modules: usize) -> Self {
        Self::Above(vec![0.0; n_modules])
    }
}

/// The score of a pair that was rejected: below every survivor, later modules first, then by D.
///
/// `−2^(64 + N − n) · (1.5 + D / (2 + 2|D|))` for module n of N.
pub(super) fn marker(n_modules: usize, module: usize, value: f32) -> f32 {
    let place = (value / (1.0 + value.abs())).clamp(-0.999_999, 0.999_999);
    marker_base(n_modules, module) * (1.5 + 0.5 * place)
}

/// `−2^(64 + N − n)`; `module` counts from 0.
pub(super) fn marker_base(n_modules: usize, module: usize) -> f32 {
    let exponent = (64 + n_modules - module - 1) as u32;
    // The bits of a power of two are its exponent.
    -f32::from_bits((127 + exponent) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_ordered_by_module_and_value_below_every_score() {
        let values = [-1e18, -3.0, -0.5, 0.0, 1e-6, 0.5, 0.50001, 7.0, 1e18];
        for n_modules in [1, 3, 32] {
            let mut before = REJECTED;
            for module in (0..n_modules).rev() {
                for value in values {
                    let marker = marker(n_modules, module, value);
                    assert!(marker < before || module + 1 == n_modules && value == -1e18, "{module} {value}: {marker}");
                    assert!(marker.is_finite() && marker <= REJECTED);
                    before = marker;
                }
            }
        }
    }
}
