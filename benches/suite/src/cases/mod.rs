//! The cases of `bench all`, by what they measure.

mod distill;
mod evaluation;
mod exact_and_teachers;
mod forest;
pub(crate) mod hdn;
pub(crate) mod light_rec;
mod scans;

use crate::case::Case;

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let mut all = exact_and_teachers::cases();
    all.extend(distill::cases());
    all.extend(forest::cases());
    all.extend(hdn::cases());
    all.extend(scans::cases());
    all.extend(light_rec::cases());
    all.extend(evaluation::cases());
    all
}
