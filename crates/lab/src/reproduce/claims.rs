//! Deciding what a paper claims by what was measured.

use std::collections::BTreeMap;

use rectify_eval::Evaluation;
use rectify_eval::stats::paired_t_test;

use super::expected::{ClaimSpec, Side};
use crate::record::{Claim, Record, Run, tidy};

/// The claims that can be decided, and a note on those that cannot; `pooled` are the values per user of each model and variant.
pub(crate) fn decide<'a>(
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
            (Some(left), Some(right)) => decided.push(Claim {
                paper: records.first().map(|r| r.paper.clone()).unwrap_or_default(),
                id: claim.id.clone(),
                text: claim.text.clone(),
                holds: left >= right * claim.factor,
                left,
                right,
                p_value: p_value(claim, pooled),
            }),
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
