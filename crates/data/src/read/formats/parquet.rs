//! Parquet files, by column names.

use std::fs::File;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::csv::Columns;
use crate::read::error::{Problem, ReadError};
use crate::read::log::EventLog;
use crate::read::options::ReadOptions;
use crate::read::source::Source;

/// Ids may be integers or strings, ratings any number, times integers (seconds) or timestamps. Errors count rows as lines.
pub(super) fn read_parquet(source: &Source, options: &ReadOptions, log: &mut EventLog) -> Result<(), ReadError> {
    let damaged = |line, error: parquet::errors::ParquetError| ReadError::Damaged {
        path: source.label(),
        line,
        problem: error.to_string(),
    };
    let file = File::open(source.path()).map_err(|error| source.io_error(error))?;
    let reader = SerializedFileReader::new(file).map_err(|error| damaged(0, error))?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema().clone();
    let names: Vec<&str> = schema.get_fields().iter().map(|field| field.name()).collect();
    let columns = Columns::find(&names, options, source)?;
    let mut number = 0;
    for row in reader.get_row_iter(None).map_err(|error| damaged(0, error))? {
        let row = row.map_err(|error| damaged(number, error))?;
        number += 1;
        let fields: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let mut push = || {
            let rating = columns.rating.map(|column| rating(fields[column])).transpose()?;
            let time = match columns.time {
                Some(column) => Some(time(fields[column])?),
                None if options.row_order_is_time => Some(number as i64),
                None => None,
            };
            log.push(id(fields[columns.user])?.as_bytes(), id(fields[columns.item])?.as_bytes(), rating, time)
        };
        push().map_err(|problem: Problem| problem.at(&source.label(), number))?;
    }
    if number == 0 {
        return Err(ReadError::Empty { path: source.label(), expected: "rows" });
    }
    Ok(())
}

fn integer(field: &Field) -> Option<i64> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "everything else is no integer")]
    match *field {
        Field::Byte(value) => Some(value.into()),
        Field::Short(value) => Some(value.into()),
        Field::Int(value) => Some(value.into()),
        Field::Long(value) => Some(value),
        Field::UByte(value) => Some(value.into()),
        Field::UShort(value) => Some(value.into()),
        Field::UInt(value) => Some(value.into()),
        Field::ULong(value) => i64::try_from(value).ok(),
        _ => None,
    }
}

fn id(field: &Field) -> Result<String, Problem> {
    match (integer(field), field) {
        (Some(value), _) => Ok(value.to_string()),
        (None, Field::Str(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(Problem::new(field.to_string(), "an integer or a string as id")),
    }
}

fn rating(field: &Field) -> Result<f32, Problem> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "integers are tried for the rest")]
    let value = match *field {
        Field::Float(value) => Some(value),
        Field::Double(value) => Some(value as f32),
        _ => integer(field).map(|value| value as f32),
    };
    value
        .filter(|rating| rating.is_finite())
        .ok_or_else(|| Problem::new(field.to_string(), "a finite number as rating"))
}

fn time(field: &Field) -> Result<i64, Problem> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "integers are tried for the rest")]
    let value = match *field {
        Field::TimestampMillis(value) => Some(value.div_euclid(1_000)),
        Field::TimestampMicros(value) => Some(value.div_euclid(1_000_000)),
        Field::Double(value) if value.abs() < 9e18 => Some(value as i64),
        _ => integer(field),
    };
    value.ok_or_else(|| Problem::new(field.to_string(), "a time in seconds or a timestamp"))
}
