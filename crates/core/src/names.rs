//! "Did you mean …?": the known name nearest to a mistyped one.

use std::fmt;

/// The name in `known` nearest to `wanted`, if it is near enough to be what was meant.
///
/// Nearness is the Levenshtein distance without regard to ASCII case; near enough is at most a third of the length of
/// `wanted`, rounded up. Of equally near names the first wins.
///
/// ```
/// use rectify_core::closest_name;
///
/// assert_eq!(closest_name("embeding_dim", ["epochs", "embedding_dim"]), Some("embedding_dim"));
/// assert_eq!(closest_name("colour", ["epochs", "embedding_dim"]), None);
/// ```
#[must_use]
pub fn closest_name<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = wanted.chars().count().div_ceil(3);
    let wanted = wanted.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::levenshtein(&wanted, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A name that stands for nothing: what was given, what is near, what there is.
///
/// ```
/// use rectify_core::UnknownName;
///
/// let error = UnknownName::new("data set", "gowala", ["ml-1m", "gowalla"]);
/// assert_eq!(error.to_string(), "unknown data set 'gowala'; did you mean 'gowalla'? (known: ml-1m, gowalla)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} '{given}'{}{}", Near(near.as_deref()), Known(known))]
pub struct UnknownName {
    /// What it should have named.
    pub what: &'static str,
    /// The name.
    pub given: String,
    /// The [closest](closest_name) of those that exist.
    pub near: Option<String>,
    /// All that exist.
    pub known: Vec<String>,
}

impl UnknownName {
    /// `given` is none of the `known` names of a `what`.
    pub fn new<'a>(what: &'static str, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<String> = known.into_iter().map(str::to_owned).collect();
        let near = closest_name(given, known.iter().map(String::as_str)).map(str::to_owned);
        Self { what, given: given.to_owned(), near, known }
    }
}

struct Near<'a>(Option<&'a str>);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |near| write!(f, "; did you mean '{near}'?"))
    }
}

struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(" (there is none)") } else { write!(f, " (known: {})", self.0.join(", ")) }
    }
}

/// A serde message such as "unknown field `x`, expected one of `y`, `z`" with the nearest name behind it.
#[must_use]
pub fn with_suggestion(message: &str) -> String {
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
    fn case_is_no_distance() {
        assert_eq!(closest_name("NDCG", ["mrr", "ndcg"]), Some("ndcg"));
    }

    #[test]
    fn nothing_is_near_an_empty_name() {
        assert_eq!(closest_name("", ["a", "b"]), None);
    }

    #[test]
    fn a_far_name_is_not_suggested_and_an_empty_list_says_so() {
        assert!(!UnknownName::new("data set", "netflix", ["ml-1m"]).to_string().contains("did you mean"));
        assert_eq!(UnknownName::new("model", "x", []).to_string(), "unknown model 'x' (there is none)");
    }

    #[test]
    fn a_serde_message_about_an_unknown_field_gets_a_suggestion() {
        let message = "unknown field `learning_rat`, expected one of `embedding_dim`, `learning_rate`";
        assert!(with_suggestion(message).ends_with("did you mean `learning_rate`?"));
        assert_eq!(with_suggestion("invalid type: string"), "invalid type: string");
    }
}
