//! JSON lines: an object a line, whose members are columns.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::csv::Columns;
use super::{rating, text_id, time};
use crate::read::error::{Problem, ReadError};
use crate::read::log::EventLog;
use crate::read::options::ReadOptions;
use crate::read::source::Source;

/// Ids may be strings or whole numbers, ratings and times what CSV takes, quoted or not. The first line names the columns.
pub(super) fn read_json_lines(source: &Source, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    let mut lines = source.lines()?;
    let mut names: Option<Names> = None;
    let mut number = 0;
    while let Some(line) = lines.next_line()? {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let object: Result<Map<String, Value>, _> = serde_json::from_slice(line);
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                let problem = Problem::quote(line, format!("a JSON object a line ({error})"));
                return Err(lines.error(problem));
            }
        };
        number += 1;
        let names = match &mut names {
            Some(names) => names,
            unknown => unknown.insert(Names::find(&object, options, source)?),
        };
        let row = names.row(&object, options.row_order_is_time.then_some(number));
        let pushed = row.and_then(|(user, item, rating, time)| log.push(&user, &item, rating, time));
        if let Err(problem) = pushed {
            return Err(lines.error(problem));
        }
    }
    if number == 0 {
        return Err(ReadError::Empty { path: source.label(), expected: "a JSON object a line" });
    }
    Ok(())
}

type Row<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>, Option<f32>, Option<i64>);

/// Members that matter.
struct Names {
    user: String,
    item: String,
    rating: Option<String>,
    time: Option<String>,
}

impl Names {
    fn find(object: &Map<String, Value>, options: &ReadOptions, source: &Source) -> Result<Self, ReadError> {
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        let columns = Columns::find(&names, options, source)?;
        let name = |column: usize| names[column].to_owned();
        Ok(Self {
            user: name(columns.user),
            item: name(columns.item),
            rating: columns.rating.map(name),
            time: columns.time.map(name),
        })
    }

    fn row<'a>(&self, object: &'a Map<String, Value>, number: Option<i64>) -> Result<Row<'a>, Problem> {
        let id = |name: &str, what: &str| -> Result<Cow<'a, [u8]>, Problem> {
            let id = member(object, name)?;
            text_id(&id, what)?;
            Ok(id)
        };
        let read_rating = |name: &String| rating(&member(object, name)?);
        let read_time = |name: &String| time(&member(object, name)?);
        let at = self.time.as_ref().map(read_time).transpose()?;
        Ok((
            id(&self.user, "user")?,
            id(&self.item, "item")?,
            self.rating.as_ref().map(read_rating).transpose()?,
            at.or(number),
        ))
    }
}

/// The text of a member: of a string without its quotation marks.
fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Cow<'a, [u8]>, Problem> {
    match object.get(name) {
        Some(Value::String(text)) => Ok(Cow::Borrowed(text.trim().as_bytes())),
        Some(Value::Number(number)) => Ok(Cow::Owned(number.to_string().into_bytes())),
        Some(other @ (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            Err(Problem::new(format!("{name}: {other}"), "a string or a number"))
        }
        None => Err(Problem::new(format!("no {name:?}"), "one, as the first line has")),
    }
}
