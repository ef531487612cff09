//! Deciding what a paper claims by what was measured.

use super::experiment::ClaimSpec;
use crate::record::{Claim, Record};

/// The claims that can be decided, and a note for each that cannot.
pub(crate) fn decide(claims: &[ClaimSpec], records: &[Record]) -> (Vec<Claim>, Vec<String>) {
    let (mut decided, mut notes) = (Vec::new(), Vec::new());
    for claim in claims {
        let value = |side: &super::experiment::Side| {
            let metric = side.metric.to_string();
            records.iter().find(|r| r.model == side.model && r.metric == metric).map(|r| r.value)
        };
        match (value(&claim.left), value(&claim.right)) {
            (Some(left), Some(right)) => decided.push(Claim {
                paper: records.first().map(|r| r.paper.clone()).unwrap_or_default(),
                id: claim.id.clone(),
                text: claim.text.clone(),
                holds: left >= right * claim.factor,
                left,
                right,
            }),
            (left, _) => {
                let side = if left.is_none() { &claim.left } else { &claim.right };
                notes.push(format!(
                    "claim '{}' was not decided: {} of {} was not measured",
                    claim.id, side.metric, side.model
                ));
            }
        }
    }
    (decided, notes)
}
