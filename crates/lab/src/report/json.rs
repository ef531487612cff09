//! JSON with a line for whatever a diff should show by itself: a value, a run, a setting that was tried, a claim.

use serde::Serialize;

/// What nests no deeper stands on one line: an object with an interval in it, say.
const FLAT: usize = 2;

/// A value as text, with a newline behind it.
pub(crate) fn render(value: &impl Serialize) -> serde_json::Result<String> {
    let mut out = String::new();
    lay(&serde_json::to_string(value)?, 0, &mut out);
    out.push('\n');
    Ok(out)
}

/// Lays compact JSON out over lines.
fn lay(text: &str, indent: usize, out: &mut String) {
    let depths = || {
        marks(text).scan(0_usize, |depth, (_, mark)| {
            match mark {
                b'[' | b'{' => *depth += 1,
                b']' | b'}' => *depth -= 1,
                _ => {}
            }
            Some(*depth)
        })
    };
    if depths().max().unwrap_or_default() <= FLAT {
        out.push_str(text);
        return;
    }
    // A line for each element or field: behind the opening bracket and every comma at its depth.
    let commas =
        marks(text).zip(depths()).filter(|((_, mark), depth)| *mark == b',' && *depth == 1).map(|((i, _), _)| i);
    let mut start = 1;
    out.push_str(&text[..1]);
    for end in commas.chain([text.len() - 1]) {
        let part = &text[start..end];
        out.push_str(if start > 1 { ",\n" } else { "\n" });
        out.extend(std::iter::repeat_n(' ', indent + 1));
        let value = match marks(part).next() {
            Some((colon, b':')) => {
                out.push_str(&part[..=colon]);
                out.push(' ');
                &part[colon + 1..]
            }
            _ => part,
        };
        lay(value, indent + 1, out);
        start = end + 1;
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    out.push_str(&text[text.len() - 1..]);
}

/// Places of brackets, commas and colons outside strings.
fn marks(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        let is_mark = !quoted && b"[]{},:".contains(byte);
        quoted ^= *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_mark
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_things_stand_on_one_line_and_nothing_is_lost() {
        let values = serde_json::json!([{ "metric": "hr@5, \"all\" {", "ci95": [0.4, 0.6] }, { "ci95": [] }]);
        let value = serde_json::json!({ "claims": {}, "models": [{ "values": values, "runs": [] }] });
        let text = render(&value).unwrap();
        let lines = [
            "{",
            r#" "claims": {},"#,
            r#" "models": ["#,
            "  {",
            r#"   "runs": [],"#,
            r#"   "values": ["#,
            r#"    {"ci95":[0.4,0.6],"metric":"hr@5, \"all\" {"},"#,
            r#"    {"ci95":[]}"#,
            "   ]",
            "  }",
            " ]",
            "}",
            "",
        ];
        assert_eq!(text.split('\n').collect::<Vec<_>>(), lines, "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert_eq!(render(&[1, 2]).unwrap(), "[1,2]\n");
    }
}
