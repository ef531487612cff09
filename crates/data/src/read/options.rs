//! Which format a file has, and how to read it.

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::ReadError;

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident => $name:literal),* $(,)?) => {
        /// Formats of interaction files.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Format { $($(#[$doc])* $variant,)* }

        impl Format {
            /// All formats.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name, as options and manifests spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

formats! {
    /// `user::item[::rating[::time]]`, ids are numbers: MovieLens 1M and 10M.
    Movielens => "movielens",
    /// `user⇥item[⇥rating[⇥time]]`, no header: MovieLens 100K.
    Tab => "tab",
    /// Columns by name from a header; comma, tab, semicolon or bar between them; quotes allowed: MovieLens 20M.
    Csv => "csv",
    /// `user item item …`, ids are numbers; a user alone has no items: LightGCN, NGCF, KGAT.
    Lightgcn => "lightgcn",
    /// `count item item …`; the user is the number of the line, from 0: CiteULike.
    Citeulike => "citeulike",
    /// `user item` or `user item 1`, ids are numbers: SELFRec, SASRec.
    Pairs => "pairs",
    /// RecBole's atomic file: tab-separated, with a header of `name:type`.
    Inter => "inter",
    /// MIND's `behaviors.tsv`.
    Mind => "mind",
    /// JSON lines: an object a line, columns by name.
    Jsonl => "jsonl",
    /// Columns by name from a Parquet file (build with feature `parquet`).
    Parquet => "parquet",
}

impl FromStr for Format {
    type Err = ReadError;

    fn from_str(name: &str) -> Result<Self, ReadError> {
        Self::ALL.iter().copied().find(|format| format.name() == name).ok_or_else(|| ReadError::Unknown {
            what: "format",
            got: name.to_owned(),
            expected: Self::ALL.iter().map(|format| format.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl Format {
    /// The format that a file's ending names, with `.gz` or `.zst` behind it or without.
    ///
    /// # Errors
    /// An ending that names none.
    pub fn of_path(path: &Path) -> Result<Self, ReadError> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        Ok(match plain.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "csv" | "tsv" => Self::Csv,
            "data" => Self::Tab,
            "dat" => Self::Movielens,
            "inter" => Self::Inter,
            "jsonl" | "ndjson" => Self::Jsonl,
            "parquet" | "pq" => Self::Parquet,
            _ => {
                return Err(ReadError::Ending {
                    path: path.to_owned(),
                    known: "csv, tsv, jsonl, ndjson, parquet, inter (RecBole), dat (MovieLens `::`), data (tabs, no header)",
                });
            }
        })
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How to read interaction files, beyond their format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadOptions {
    /// Column of the user; by default the first of the usual names.
    pub user_column: Option<String>,
    /// Column of the item.
    pub item_column: Option<String>,
    /// Column of the rating; by default one of the usual names if there is one.
    pub rating_column: Option<String>,
    /// Column of the time.
    pub time_column: Option<String>,
    /// What stands between columns of a CSV file; by default found from the header.
    pub separator: Option<char>,
    /// Rows come in time order: the number of the row serves as time, where the file has none.
    pub row_order_is_time: bool,
    /// MIND: every news shown is an interaction, not only the clicked ones.
    pub shown_counts: bool,
}
