//! Deciding what a paper claims by what was measured.

use std::collections::BTreeMap;

use rectify_eval::Evaluation;
use rectify_eval::stats::paired_t_test;

use crate::experiment::{ClaimSpec, Side};
use crate::record::{Claim, Record, Run, Verdict, tidy};

/// Below it a difference is more than chance.
const SIGNIFICANT: f64 = 0.05;

/// The claims that can be decided, and a note on those that cannot; `pooled` are the values per user of each model and variant.
pub(super) fn decide<'a>(
    claims: impl Iterator<Item = &'a ClaimSpec>,
    records: &[Record],
    runs: &[Run],
    pooled: &BTreeMap<(&str, &str), Evaluation>,
) -> (Vec<Claim>, Vec<String>) {
    let (mut decided, mut undecided, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for claim in claims {
        let value = |side: &Side| {
            if let Some(metric) = side.metric {
                let metric = metric.to_string();
                let of = |r: &&Record| r.model == side.model && r.variant == side.variant && r.metric == metric;
                return records.iter().find(of).map(|r| r.value);
            }
            // The mean of the seeds.
            let of = |run: &&Run| run.model == side.model && run.variant == side.variant;
            let measured = |run: &Run| match (&side.measured, &side.point) {
                (Some(name), _) => run.measured.get(name).copied(),
                (None, Some(point)) => run.point(&point.figure, &point.line, point.x),
                (None, None) => None,
            };
            let values: Vec<f64> = runs.iter().filter(of).filter_map(measured).collect();
            let mean = || tidy(values.iter().sum::<f64>() / values.len() as f64);
            side.value.or_else(|| (!values.is_empty()).then(mean))
        };
        match (value(&claim.left), value(&claim.right)) {
            (Some(left), Some(right)) => {
                let p_value = p_value(claim, pooled);
                decided.push(Claim {
                    paper: records.first().map(|r| r.paper.clone()).unwrap_or_default(),
                    id: claim.id.clone(),
                    text: claim.text.clone(),
                    verdict: verdict(left, right * claim.factor, p_value, claim.band),
                    left,
                    right,
                    p_value,
                    band: p_value.is_none().then_some(claim.band),
                });
            }
            (left, right) => {
                undecided.push(claim.id.as_str());
                for (side, value) in [(&claim.left, left), (&claim.right, right)] {
                    let name = side.describe();
                    if value.is_none() && !missing.contains(&name) {
                        missing.push(name);
                    }
                }
            }
        }
    }
    let note = || format!("not decided: {}; not measured: {}", undecided.join(", "), missing.join(", "));
    let notes = (!undecided.is_empty()).then(note).into_iter().collect();
    (decided, notes)
}

/// Whether `left` is greater than `right`, as claimed: by a test where there is one, else beyond a band around `right`.
fn verdict(left: f64, right: f64, p_value: Option<f64>, band: f64) -> Verdict {
    let differs = p_value.map_or((left - right).abs() > band * right.abs(), |p| p < SIGNIFICANT);
    match differs {
        true if left > right => Verdict::Holds,
        true => Verdict::Fails,
        false => Verdict::Level,
    }
}

/// Whether the two sides differ by more than chance, if they are the same metric of the same users.
fn p_value(claim: &ClaimSpec, pooled: &BTreeMap<(&str, &str), Evaluation>) -> Option<f64> {
    let (left, right) = (&claim.left, &claim.right);
    let comparable = left.metric == right.metric && claim.factor == 1.0;
    let (a, b) = (per_user(left, pooled).filter(|_| comparable)?, per_user(right, pooled)?);
    // No test of values that never differ, or of two users.
    paired_t_test(a, b).ok().map(|test| tidy(test.p_value)).filter(|p| p.is_finite())
}

/// The values of a side, user by user.
fn per_user<'a>(side: &Side, pooled: &'a BTreeMap<(&str, &str), Evaluation>) -> Option<&'a [f64]> {
    let of = |(model, variant): &(&str, &str)| *model == side.model && *variant == side.variant;
    pooled.iter().find(|(key, _)| of(key))?.1.per_user(side.metric?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_over_users_decides_where_there_is_one() {
        for (left, p, expected) in [
            (0.2, 0.01, Verdict::Holds),
            (0.2, 0.06, Verdict::Level),
            (0.05, 0.06, Verdict::Level),
            (0.05, 0.01, Verdict::Fails),
        ] {
            // However wide the band is.
            assert_eq!(verdict(left, 0.1, Some(p), 0.9), expected, "{left} with p = {p}");
        }
    }

    #[test]
    fn the_band_decides_where_there_is_no_test() {
        for (left, expected) in
            [(103.0, Verdict::Holds), (100.5, Verdict::Level), (99.5, Verdict::Level), (97.0, Verdict::Fails)]
        {
            assert_eq!(verdict(left, 100.0, None, 0.01), expected, "{left}");
        }
        assert_eq!(verdict(103.0, 100.0, None, 0.05), Verdict::Level, "a wider band");
        assert_eq!(verdict(0.0, 0.0, None, 0.01), Verdict::Level);
        assert_eq!(verdict(1e-9, 0.0, None, 0.01), Verdict::Holds, "nothing is within a share of nothing");
        assert_eq!(verdict(-101.5, -100.0, None, 0.01), Verdict::Fails, "below zero, too");
    }
}
