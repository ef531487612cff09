//! Files whose columns have names: CSV and RecBole's `.inter`.

use ::csv::{ByteRecord, ReaderBuilder};

use super::{rating, text_id, time};
use crate::read::error::{Problem, ReadError};
use crate::read::log::EventLog;
use crate::read::options::ReadOptions;
use crate::read::source::{Lines, Source, decode};

const USER: &[&str] = &[
    "user",
    "userid",
    "uid",
    "username",
    "reviewerid",
    "visitorid",
    "customer",
    "customerid",
    "customernumber",
    "client",
    "clientid",
    "member",
    "memberid",
    "account",
    "accountid",
    "person",
    "personid",
    "kunde",
    "kundenid",
    "kundennummer",
    "nutzer",
    "nutzerid",
];
const ITEM: &[&str] = &[
    "item",
    "itemid",
    "iid",
    "sku",
    "product",
    "productid",
    "article",
    "articleid",
    "artikel",
    "artikelid",
    "artikelnummer",
    "asin",
    "isbn",
    "ean",
    "movie",
    "movieid",
    "book",
    "bookid",
    "track",
    "trackid",
    "song",
    "songid",
    "artist",
    "artistid",
    "game",
    "gameid",
    "appid",
    "businessid",
    "newsid",
    "locationid",
];
const RATING: &[&str] = &["rating", "score", "stars", "overall", "bookrating", "bewertung", "note"];
const CATEGORY: &[&str] = &["category", "categories", "genres", "genre", "icategory"];
const TIME: &[&str] =
    &["timestamp", "time", "unixreviewtime", "datetime", "date", "ts", "eventtime", "createdat", "datum", "zeit"];

pub(super) fn read_csv(source: &Source, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    let separator = match options.separator {
        Some(separator) => u8::try_from(separator).map_err(|_| ReadError::Unknown {
            what: "separator",
            got: separator.to_string(),
            expected: "one ASCII character".into(),
        })?,
        None => find_separator(source)?,
    };
    read_table(source, separator, options, log, |name| name)
}

pub(super) fn read_inter(source: &Source, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    let (lines, header) = read_header(source)?;
    if let Some(field) = header.split(|&byte| byte == b'\t').find(|field| !field.contains(&b':')) {
        let expected = "a header of `name:type` with tabs between them, such as `user_id:token`";
        return Err(lines.error(Problem::quote(field, expected)));
    }
    read_table(source, b'\t', options, log, |name| name.split(':').next().unwrap_or(name))
}

/// The first line, and the reader that stands behind it.
fn read_header(source: &Source) -> Result<(Lines, Vec<u8>), ReadError> {
    let mut lines = source.lines()?;
    let header = lines.next_row()?.map(<[u8]>::to_vec);
    match header {
        Some(header) => Ok((lines, header)),
        None => Err(ReadError::Empty { path: source.label(), expected: "a header with the names of columns" }),
    }
}

/// The first of the usual separators that the header has.
fn find_separator(source: &Source) -> Result<u8, ReadError> {
    let (lines, header) = read_header(source)?;
    b"\t,;|".iter().copied().find(|separator| header.contains(separator)).ok_or_else(|| {
        let expected = "a header with commas, tabs, semicolons or bars between the names of columns";
        lines.error(Problem::quote(&header, expected))
    })
}

fn read_table(
    source: &Source,
    separator: u8,
    options: &ReadOptions,
    log: &mut EventLog,
    name_of: impl Fn(&str) -> &str,
) -> Result<(), ReadError> {
    let mut reader = ReaderBuilder::new().delimiter(separator).buffer_capacity(1 << 18).from_reader(source.open()?);
    let fail = |error: ::csv::Error| csv_error(source, error);
    let header: Vec<String> = reader.byte_headers().map_err(fail)?.iter().map(decode).collect();
    let names: Vec<&str> = header.iter().map(|name| name_of(name.trim())).collect();
    let columns = Columns::find(&names, options, source)?;

    let mut record = ByteRecord::new();
    let mut number = 0;
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(source, error))? {
        number += 1;
        let mut row = || {
            let field = |column: usize| record[column].trim_ascii();
            let rating = columns.rating.map(|column| rating(field(column))).transpose()?;
            let time = match columns.time {
                Some(column) => Some(time(field(column))?),
                None if options.row_order_is_time => Some(number),
                None => None,
            };
            log.push(text_id(field(columns.user), "user")?, text_id(field(columns.item), "item")?, rating, time)
        };
        if let Err(problem) = row() {
            let line = record.position().map_or(0, ::csv::Position::line);
            return Err(problem.at(&source.label(), line));
        }
    }
    if number == 0 {
        return Err(ReadError::Empty { path: source.label(), expected: "rows below the header" });
    }
    Ok(())
}

/// Reads item and category columns, by their usual names.
pub(in crate::read) fn read_item_table(
    source: &Source,
    mut row: impl FnMut(&[u8], &[u8]) -> Result<(), Problem>,
) -> Result<(), ReadError> {
    let separator = find_separator(source)?;
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(source.open()?);
    let header: Vec<String> =
        reader.byte_headers().map_err(|error| csv_error(source, error))?.iter().map(decode).collect();
    let names: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    let column = |role, usual| {
        find_column(&names, &None, usual).ok_or_else(|| missing_column(source, role, &names, &None, usual))
    };
    let (item, category) = (column("item", ITEM)?, column("category", CATEGORY)?);
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| csv_error(source, error))? {
        if let Err(problem) = row(record[item].trim_ascii(), &record[category]) {
            let line = record.position().map_or(0, ::csv::Position::line);
            return Err(problem.at(&source.label(), line));
        }
    }
    Ok(())
}

/// Positions of the columns that matter.
pub(super) struct Columns {
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) rating: Option<usize>,
    pub(super) time: Option<usize>,
}

impl Columns {
    pub(super) fn find(names: &[&str], options: &ReadOptions, source: &Source) -> Result<Self, ReadError> {
        let need = |role, chosen: &Option<String>, usual: &[&str]| {
            find_column(names, chosen, usual).ok_or_else(|| missing_column(source, role, names, chosen, usual))
        };
        let may = |role, chosen: &Option<String>, usual: &[&str]| {
            if chosen.is_some() { need(role, chosen, usual).map(Some) } else { Ok(find_column(names, chosen, usual)) }
        };
        Ok(Self {
            user: need("user", &options.user_column, USER)?,
            item: need("item", &options.item_column, ITEM)?,
            rating: may("rating", &options.rating_column, RATING)?,
            time: may("time", &options.time_column, TIME)?,
        })
    }
}

/// The chosen column, or the first whose name is a usual one, whatever its case, blanks and what joins its words.
fn find_column(names: &[&str], chosen: &Option<String>, usual: &[&str]) -> Option<usize> {
    if let Some(chosen) = chosen {
        return names.iter().position(|name| name == chosen);
    }
    let plain: Vec<String> = names.iter().map(|name| name.to_lowercase().replace(['_', ' ', '-', '.'], "")).collect();
    usual.iter().find_map(|usual| plain.iter().position(|name| name == usual))
}

fn missing_column(
    source: &Source,
    role: &'static str,
    names: &[&str],
    chosen: &Option<String>,
    usual: &[&str],
) -> ReadError {
    ReadError::Column {
        path: source.label(),
        role,
        found: names.join(", "),
        expected: chosen.clone().unwrap_or_else(|| {
            // Enough to see what is meant.
            let first = usual.iter().take(6).copied().collect::<Vec<_>>().join(", ");
            if usual.len() > 6 { format!("{first} and others like them") } else { first }
        }),
    }
}

fn csv_error(source: &Source, error: ::csv::Error) -> ReadError {
    let line = error.position().map_or(0, ::csv::Position::line);
    let text = error.to_string();
    if let ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() {
        let expected =
            format!("{expected_len}, as in the header; is a quotation mark missing, or a separator inside a field?");
        return Problem::new(format!("{len} columns"), expected).at(&source.label(), line);
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other kinds are told by their text")]
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => source.read_error(line, error),
        _ => Problem::new(text, "a row of the table").at(&source.label(), line),
    }
}
