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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::{Format, load_path};

    /// Writes users as numbers, items as strings, ratings and times.
    fn write(path: &Path, ratings: &[f64]) {
        let schema = "message schema {
            required int32 user_id; required binary item_id (UTF8); required double rating;
            required int64 timestamp (TIMESTAMP_MILLIS);
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().build());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let n = ratings.len();
        macro_rules! column {
            ($kind:ty, $values:expr) => {
                let values: Vec<_> = $values;
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<$kind>().write_batch(&values, None, None).unwrap();
                column.close().unwrap();
            };
        }
        column!(Int32Type, (0..n as i32).map(|row| 7 + row % 2).collect());
        column!(ByteArrayType, (0..n).map(|row| ByteArray::from(format!("B{row}").as_str())).collect());
        column!(DoubleType, ratings.to_vec());
        column!(Int64Type, (0..n as i64).map(|row| 1_000_500 + 1000 * row).collect());
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn columns_of_several_types_are_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        write(&path, &[4.5, 3.0, 1.0]);
        let data = load_path(&path, Format::Parquet, &ReadOptions::default()).unwrap();
        assert_eq!(data.interactions.n_interactions(), 3);
        assert_eq!(data.ids.users.name(0), Some("7".into()));
        assert_eq!(data.interactions.all_weights(), Some(&[4.5, 1.0, 3.0][..]));
        assert_eq!(data.interactions.all_times(), Some(&[1000, 1002, 1001][..]));
    }

    #[test]
    fn bad_files_rows_and_columns_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let load = |options: &ReadOptions| load_path(&path, Format::Parquet, options).unwrap_err().to_string();
        write(&path, &[1.0, f64::NAN]);
        assert!(
            load(&ReadOptions::default()).contains("rows.parquet:2: found NaN, expected a finite number as rating")
        );
        let options = ReadOptions { item_column: Some("product".into()), ..ReadOptions::default() };
        assert!(load(&options).contains("no column for the item"));
        write(&path, &[]);
        assert!(load(&ReadOptions::default()).contains("is empty"));
        std::fs::write(&path, "user,item\n").unwrap();
        assert!(load(&ReadOptions::default()).contains("is damaged"));
    }
}
