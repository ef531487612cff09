//! A protocol in words, for reports.

use rectify_data::{Amount, Cleaning, ColdItems, KCore, Pick, Protocol, Rounding};
use rectify_eval::Candidates;

/// For instance `per user: 20 % test, 10 % of the rest validation, random; ranked among unseen items`.
pub(crate) fn describe(protocol: &Protocol, candidates: Candidates) -> String {
    let (mut text, sampled) = match protocol {
        Protocol::PerUser(p) => {
            let mut text = format!("per user: {} test", amount(p.test));
            if let Some(validation) = p.validation {
                text.push_str(&format!(", {} of the rest validation", amount(validation)));
            }
            text.push_str(match p.pick {
                Pick::Random => ", random",
                Pick::Latest => ", the latest",
            });
            if p.cold_items == ColdItems::MoveToTrain {
                text.push_str(", cold items back to training");
            }
            (text, p.candidates)
        }
        Protocol::UserDisjoint(p) => (
            format!("{} test users, {} validation users, latter halves held out", p.test_users, p.validation_users),
            None,
        ),
        Protocol::Files(p) => {
            let mut text = "split of the files".to_owned();
            if let Some(validation) = p.validation {
                text.push_str(&format!(", {} of training validation", amount(validation)));
            }
            (text, p.candidates)
        }
    };
    text.push_str(&format!("; ranked among {candidates}"));
    if let (Candidates::Sampled, Some(n)) = (candidates, sampled) {
        text.push_str(&format!(" ({n} a user)"));
    }
    text
}

/// For instance `users with 20 items and items with 20 users, again and again; `.
pub(crate) fn describe_cleaning(cleaning: &Cleaning) -> String {
    let mut text = String::new();
    if let Some(threshold) = cleaning.rating_above {
        text.push_str(&format!("ratings above {threshold}; "));
    }
    if let Some(least) = cleaning.min_user_items {
        text.push_str(&format!("users with {least} items or more; "));
    }
    if let Some(KCore { users, items }) = cleaning.k_core {
        text.push_str(&format!("users with {users} items and items with {items} users or more, again and again; "));
    }
    text
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Share(share, Rounding::Nearest) => format!("{} %", share * 100.0),
        Amount::Share(share, Rounding::Floor) => format!("{} % (rounded down)", share * 100.0),
        Amount::Count(1) => "1 item".into(),
        Amount::Count(n) => format!("{n} items"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_described_in_words() {
        assert_eq!(
            describe(&Protocol::hdn(), Candidates::Unseen),
            "per user: 20 % test, 10 % of the rest validation, random, cold items back to training; ranked among unseen items"
        );
        assert_eq!(
            describe(&Protocol::de_rrd(), Candidates::Sampled),
            "per user: 1 item test, 1 item of the rest validation, random; ranked among sampled candidates (499 a user)"
        );
        let cleaning = Cleaning { k_core: Some(KCore { users: 20, items: 5 }), ..Cleaning::default() };
        assert_eq!(
            describe_cleaning(&cleaning),
            "users with 20 items and items with 5 users or more, again and again; "
        );
        assert_eq!(describe_cleaning(&Cleaning::default()), "");
    }
}
