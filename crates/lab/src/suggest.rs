//! "Did you mean": the nearest of the names that exist.

use std::fmt::Write;

use rectify_core::closest_name;

/// A sentence about an unknown name: what was given, what is near, what there is.
pub(crate) fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let mut text = format!("unknown {what} '{given}'");
    if let Some(near) = closest_name(given, known.iter().copied()) {
        let _ = write!(text, "; did you mean '{near}'?");
    }
    if known.is_empty() {
        let _ = write!(text, " (there is none)");
    } else {
        let _ = write!(text, " (known: {})", known.join(", "));
    }
    text
}

/// Adds a suggestion to a serde message such as "unknown field `x`, expected one of `y`, `z`".
#[cfg(feature = "train")]
pub(crate) fn explain(message: &str) -> String {
    // The message quotes the unknown name first, then every name that exists.
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((given, known)) if message.contains("unknown field") || message.contains("unknown variant") => {
            match closest_name(given, known.iter().copied()) {
                Some(near) => format!("{}; did you mean `{near}`?", message.trim_end()),
                None => message.trim_end().to_owned(),
            }
        }
        _ => message.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let text = unknown("data set", "gowala", &["ml-1m", "gowalla"]);
        assert_eq!(text, "unknown data set 'gowala'; did you mean 'gowalla'? (known: ml-1m, gowalla)");
        assert!(!unknown("data set", "netflix", &["ml-1m"]).contains("did you mean"));
    }

    #[cfg(feature = "train")]
    #[test]
    fn a_serde_message_about_an_unknown_field_gets_a_suggestion() {
        let message = "unknown field `learning_rat`, expected one of `embedding_dim`, `learning_rate`";
        assert!(explain(message).ends_with("did you mean `learning_rate`?"));
        assert_eq!(explain("invalid type: string"), "invalid type: string");
    }
}
