//! One reader a format: lines in, rows out.

mod csv;
mod json_lines;
mod mind;
#[cfg(feature = "parquet")]
mod parquet;

pub(super) use csv::read_item_table;
use rectify_core::UserId;

use super::error::{Problem, ReadError};
use super::log::{EventLog, plain_number};
use super::options::{Format, ReadOptions};
use super::source::{Lines, Source};

/// Reads one file into the log; `times` is the file of times that stand in the same places, for [`Format::Lightgcn`].
pub(super) fn read_file(
    source: &Source,
    times: Option<&Source>,
    format: Format,
    options: &ReadOptions,
    log: &mut EventLog,
) -> Result<(), ReadError> {
    if times.is_some() && format != Format::Lightgcn {
        let problem = format!("a separate file of times goes with format lightgcn, not with {format}");
        return Err(ReadError::Mismatch { path: source.label(), problem });
    }
    match format {
        Format::Movielens => movielens(source.lines()?, options, log),
        Format::Tab => tab(source.lines()?, options, log),
        Format::Csv => csv::read_csv(source, options, log),
        Format::Lightgcn => lightgcn(source.lines()?, times, log),
        Format::Citeulike => citeulike(source.lines()?, log),
        Format::Pairs => pairs(source.lines()?, options, log),
        Format::Inter => csv::read_inter(source, options, log),
        Format::Jsonl => json_lines::read_json_lines(source, options, log),
        Format::Mind => mind::read_behaviors(source.lines()?, options, log),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::read_parquet(source, options, log),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(ReadError::Feature { path: source.label(), format: "Parquet", feature: "parquet" }),
    }
}

fn movielens(lines: Lines, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    const ROW: &str = "user::item::rating::time";
    lines.each_row(ROW, |line, number| {
        let mut fields = [&b""[..]; 4];
        let n = split_colons(line, &mut fields)
            .filter(|&n| n >= 2)
            .ok_or_else(|| Problem::quote(line, format!("{ROW}; is the file of another format?")))?;
        number_id(fields[0], "user")?;
        number_id(fields[1], "item")?;
        push_columns(&fields[..n], number, options, log)
    })
}

fn tab(lines: Lines, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    const ROW: &str = "user, item, rating and time with tabs between them (rating and time may be missing)";
    lines.each_row(ROW, |line, number| {
        let mut fields = [&b""[..]; 4];
        let mut n = 0;
        for field in line.split(|&byte| byte == b'\t') {
            if n == fields.len() {
                return Err(Problem::quote(line, ROW));
            }
            fields[n] = field.trim_ascii();
            n += 1;
        }
        if n < 2 {
            return Err(Problem::quote(line, format!("{ROW}; is the file of another format?")));
        }
        push_columns(&fields[..n], number, options, log)
    })
}

/// `user item [rating [time]]`, already split.
fn push_columns(fields: &[&[u8]], number: u64, options: &ReadOptions, log: &mut EventLog) -> Result<(), Problem> {
    let rating = fields.get(2).map(|field| rating(field)).transpose()?;
    let time = match fields.get(3) {
        Some(field) => Some(time(field)?),
        None if options.row_order_is_time => Some(number as i64),
        None => None,
    };
    log.push(text_id(fields[0], "user")?, text_id(fields[1], "item")?, rating, time)
}

fn pairs(lines: Lines, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    const ROW: &str = "`user item` or `user item 1` with blanks between them";
    lines.each_row(ROW, |line, number| {
        let mut words = blanks(line);
        let (user, item, one, more) = (words.next(), words.next(), words.next(), words.next());
        let (Some(user), Some(item), None | Some(b"1"), None) = (user, item, one, more) else {
            return Err(Problem::quote(line, format!("{ROW}; for ratings use format tab or csv")));
        };
        log.push(
            number_id(user, "user")?,
            number_id(item, "item")?,
            None,
            options.row_order_is_time.then_some(number as i64),
        )
    })
}

fn lightgcn(mut lines: Lines, times: Option<&Source>, log: &mut EventLog) -> Result<(), ReadError> {
    const ROW: &str = "`user item item …` with blanks between them";
    let Some(times) = times else {
        return lines.each_row(ROW, |line, _| {
            let mut words = blanks(line);
            let user = user_of_row(words.next().unwrap_or_default(), log)?;
            words.try_for_each(|item| log.push_item(user, number_id(item, "item")?, None, None))
        });
    };
    let mut time_lines = times.lines()?;
    let mut any = false;
    loop {
        let (line, time_line) = (lines.next_row()?, time_lines.next_row()?);
        let (line, time_line) = match (line, time_line) {
            (Some(line), Some(time_line)) => (line, time_line),
            (None, None) => break,
            (line, _) => {
                let missing = if line.is_some() { "fewer" } else { "more" };
                let problem = format!("it has {missing} lines than the file of items");
                return Err(ReadError::Mismatch { path: times.label(), problem });
            }
        };
        any = true;
        if let Err((place, problem)) = timed_row(line, time_line, log) {
            return Err(match place {
                Place::Rows => lines.error(problem),
                Place::Times => time_lines.error(problem),
            });
        }
    }
    if any { Ok(()) } else { Err(ReadError::Empty { path: lines.label(), expected: ROW }) }
}

/// Which of two files a problem is in.
enum Place {
    Rows,
    Times,
}

fn timed_row(line: &[u8], time_line: &[u8], log: &mut EventLog) -> Result<(), (Place, Problem)> {
    let in_rows = |problem| (Place::Rows, problem);
    let in_times = |problem| (Place::Times, problem);
    let (mut items, mut times) = (blanks(line), blanks(time_line));
    let (name, same) = (items.next().unwrap_or_default(), times.next().unwrap_or_default());
    let user = user_of_row(name, log).map_err(in_rows)?;
    if name != same {
        let expected = format!("user {}, as in the file of items", String::from_utf8_lossy(name));
        return Err(in_times(Problem::quote(same, expected)));
    }
    loop {
        match (items.next(), times.next()) {
            (None, None) => return Ok(()),
            (Some(item), Some(moment)) => {
                let item = number_id(item, "item").map_err(in_rows)?;
                let moment = time(moment).map_err(in_times)?;
                log.push_item(user, item, None, Some(moment)).map_err(in_rows)?;
            }
            (item, _) => {
                let what = if item.is_some() { "fewer times than items" } else { "more times than items" };
                return Err(in_times(Problem::new(what, "one time an item")));
            }
        }
    }
}

fn user_of_row(user: &[u8], log: &mut EventLog) -> Result<UserId, Problem> {
    log.user_names.intern(number_id(user, "user")?).map(UserId)
}

fn citeulike(mut lines: Lines, log: &mut EventLog) -> Result<(), ReadError> {
    const ROW: &str = "`count item item …` with blanks between them";
    // Blank lines are no users, and would shift the numbers of those after them.
    let mut blank: Option<u64> = None;
    let mut row = |line: &[u8], number: u64| -> Result<(), Problem> {
        if line.is_empty() {
            blank.get_or_insert(number);
            return Ok(());
        }
        if let Some(blank) = blank {
            return Err(Problem::new(
                format!("a row after blank line {blank}"),
                "no blank line between rows, since the user is the number of the line",
            ));
        }
        let mut words = blanks(line);
        let count = words.next().unwrap_or_default();
        let count = plain_number(count).ok_or_else(|| Problem::quote(count, "the number of items that follow"))?;
        let user = UserId(log.user_names.intern((number - 1).to_string().as_bytes())?);
        let mut n = 0;
        for item in words {
            log.push_item(user, number_id(item, "item")?, None, None)?;
            n += 1;
        }
        if n == count {
            Ok(())
        } else {
            Err(Problem::new(format!("{n} items"), format!("{count}, as the first number of the line says")))
        }
    };
    let mut number = 0;
    while let Some(line) = lines.next_line()? {
        number += 1;
        if let Err(problem) = row(line, number) {
            return Err(lines.error(problem));
        }
    }
    let no_row = blank == Some(1) || number == 0;
    if no_row { Err(ReadError::Empty { path: lines.label(), expected: ROW }) } else { Ok(()) }
}

/// Words between blanks and tabs.
pub(super) fn blanks(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// Splits at `::`; `None` if there are more fields than places.
pub(super) fn split_colons<'a>(line: &'a [u8], fields: &mut [&'a [u8]]) -> Option<usize> {
    let (mut n, mut start, mut at) = (0, 0, 0);
    while at + 1 < line.len() {
        if line[at] == b':' && line[at + 1] == b':' {
            *fields.get_mut(n)? = &line[start..at];
            n += 1;
            at += 2;
            start = at;
        } else {
            at += 1;
        }
    }
    *fields.get_mut(n)? = &line[start..];
    Some(n + 1)
}

/// An id that must be a number, in formats whose ids are.
fn number_id<'a>(id: &'a [u8], what: &str) -> Result<&'a [u8], Problem> {
    if !id.is_empty() && id.iter().all(u8::is_ascii_digit) {
        Ok(id)
    } else {
        Err(Problem::quote(id, format!("a number as {what} id; for other ids use format tab or csv")))
    }
}

/// An id that may be anything but nothing.
fn text_id<'a>(id: &'a [u8], what: &str) -> Result<&'a [u8], Problem> {
    if id.is_empty() { Err(Problem::new("nothing", format!("a {what} id"))) } else { Ok(id) }
}

/// A number, with a point or, as much of Europe writes it, a comma before its fraction.
fn rating(field: &[u8]) -> Result<f32, Problem> {
    let text = std::str::from_utf8(field).unwrap_or_default();
    let with_comma = || {
        let (whole, fraction) = text.split_once(',')?;
        let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
        if digits { format!("{whole}.{fraction}").parse().ok() } else { None }
    };
    text.parse::<f32>()
        .ok()
        .or_else(with_comma)
        .filter(|rating| rating.is_finite())
        .ok_or_else(|| Problem::quote(field, "a finite number as rating"))
}

/// Whole seconds; a fraction, which some tools write, is cut. A date, or a date with a time, is of ISO 8601; without an offset it is of UTC.
fn time(field: &[u8]) -> Result<i64, Problem> {
    let text = std::str::from_utf8(field).unwrap_or_default();
    let whole = || text.parse::<i64>().ok();
    let float = || text.parse::<f64>().ok().filter(|seconds| seconds.abs() < 9e18).map(|seconds| seconds as i64);
    whole()
        .or_else(float)
        .or_else(|| iso_time(text))
        .ok_or_else(|| Problem::quote(field, "a time in seconds, or of ISO 8601 as in 2026-03-31T18:05:00Z"))
}

fn iso_time(text: &str) -> Option<i64> {
    // A date ends the numbers that could be meant otherwise: 2026 alone is a second.
    if text.len() < 10 || text.as_bytes()[4] != b'-' {
        return None;
    }
    let stamp = || text.parse::<jiff::Timestamp>().ok();
    let civil = || jiff::tz::Offset::UTC.to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok();
    stamp().or_else(civil).map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_iso_8601() {
        let times = [
            ("1700000000", 1_700_000_000),
            ("1700000000.9", 1_700_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14 22:13:20", 1_700_000_000),
            ("2023-11-14T23:13:20.250+01:00", 1_700_000_000),
            ("2023-11-14", 1_699_920_000),
        ];
        for (text, seconds) in times {
            assert_eq!(time(text.as_bytes()).unwrap(), seconds, "{text}");
        }
        for text in ["", "yesterday", "14.11.2023", "2023-13-01"] {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn ratings_may_have_a_decimal_comma() {
        for (text, number) in [("4.5", 4.5), ("4,5", 4.5), ("-1", -1.0)] {
            assert_eq!(rating(text.as_bytes()).unwrap(), number);
        }
        for text in ["4,", "1,000,5", "four", "NaN", "inf"] {
            assert!(rating(text.as_bytes()).is_err(), "{text}");
        }
    }
}
