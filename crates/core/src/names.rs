//! "Did you mean …?": the known name nearest to a mistyped one.

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
    known
        .into_iter()
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_character_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("NDCG", "ndcg"), 0);
    }

    #[test]
    fn nothing_is_near_an_empty_name() {
        assert_eq!(closest_name("", ["a", "b"]), None);
    }
}
