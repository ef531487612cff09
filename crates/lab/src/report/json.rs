//! JSON with a line for whatever a diff should show by itself: a field of a record or of a run, a setting, an epoch of a curve.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// What lies deeper stands on its parent's line: `results.runs[i].curve[j]` is the fifth.
const DEEPEST: usize = 4;

/// A value as text, with a newline behind it.
pub(crate) fn render(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Lines::default()))?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

#[derive(Default)]
struct Lines {
    pretty: PrettyFormatter<'static>,
    depth: usize,
}

impl Lines {
    fn open<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        bracket: u8,
        pretty: impl FnOnce(&mut PrettyFormatter<'static>, &mut W) -> io::Result<()>,
    ) -> io::Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST { writer.write_all(&[bracket]) } else { pretty(&mut self.pretty, writer) }
    }

    fn close<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        bracket: u8,
        pretty: impl FnOnce(&mut PrettyFormatter<'static>, &mut W) -> io::Result<()>,
    ) -> io::Result<()> {
        self.depth -= 1;
        if self.depth >= DEEPEST { writer.write_all(&[bracket]) } else { pretty(&mut self.pretty, writer) }
    }

    /// Before a value of an array or a key of an object.
    fn next<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
        pretty: impl FnOnce(&mut PrettyFormatter<'static>, &mut W) -> io::Result<()>,
    ) -> io::Result<()> {
        match (self.depth > DEEPEST, first) {
            (true, true) => Ok(()),
            (true, false) => writer.write_all(b", "),
            (false, _) => pretty(&mut self.pretty, writer),
        }
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b'[', PrettyFormatter::begin_array)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b']', PrettyFormatter::end_array)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first, |pretty, writer| pretty.begin_array_value(writer, first))
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b'{', PrettyFormatter::begin_object)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b'}', PrettyFormatter::end_object)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first, |pretty, writer| pretty.begin_object_key(writer, first))
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_deep_stands_on_one_line_and_nothing_is_lost() {
        let value = serde_json::json!({
            "records": [{ "value": 0.5, "ci95": [0.4, 0.6] }],
            "runs": [{ "curve": [{ "epoch": 1, "loss": null }, { "epoch": 2, "loss": [] }], "config": {} }],
            "notes": [],
        });
        let text = render(&value).unwrap();
        assert!(
            text.contains("        {\"epoch\": 1, \"loss\": null},\n        {\"epoch\": 2, \"loss\": []}\n"),
            "{text}"
        );
        assert!(text.contains("        0.4,\n") && text.contains("\"config\": {}") && text.ends_with("}\n"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        // Nothing deep: as anybody writes it.
        let flat = serde_json::json!({ "a": [1, 2], "b": {} });
        assert_eq!(render(&flat).unwrap(), serde_json::to_string_pretty(&flat).unwrap() + "\n");
    }
}
