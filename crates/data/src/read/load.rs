//! Files of one data set, put together.

use std::path::{Path, PathBuf};

use rectify_core::{ItemId, UserId};

use super::error::ReadError;
use super::formats::read_file;
use super::log::{EventLog, Interner, Part};
use super::options::{Format, ReadOptions};
use super::source::Source;
use crate::{Dataset, Duplicates, FixedSplit, IdMaps, Interactions, InteractionsBuilder, Provenance, Step};
use rectify_core::IdMap;

/// A file of interactions, with the file of its times where they stand apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFile {
    /// Rows.
    pub rows: Source,
    /// Times in the same places ([`Format::Lightgcn`] alone).
    pub times: Option<Source>,
}

impl From<Source> for PartFile {
    fn from(rows: Source) -> Self {
        Self { rows, times: None }
    }
}

/// Which files hold the interactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// One file with everything.
    Whole(PartFile),
    /// Parts that give a split.
    Parts {
        /// For training.
        train: PartFile,
        /// For validation.
        validation: Option<PartFile>,
        /// For test.
        test: PartFile,
    },
}

/// Reads a file of a known format, or a folder with files named `train`, `test` and perhaps `valid` (with any extension, and
/// `time_train`, `time_test` beside them). No manifest is needed.
///
/// # Errors
/// A file that cannot be read or is not of the format; a folder in which parts are missing or double.
pub fn load_path(path: &Path, format: Format, options: &ReadOptions) -> Result<Dataset, ReadError> {
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    load(&name, &find_files(path)?, format, options, Duplicates::default())
}

/// The file itself, or the parts in a folder.
pub(crate) fn find_files(path: &Path) -> Result<Files, ReadError> {
    if path.is_dir() { find_parts(path) } else { Ok(Files::Whole(Source::from(path).into())) }
}

/// Reads interactions.
///
/// Dense ids follow the own ids: by value where all are plain numbers, else by bytes; so they do not depend on the order of
/// rows. Pairs that come again inside a part are merged by `duplicates`; a pair in several parts belongs to the first of
/// train, validation, test, because what a user was trained on is not recommended again. Both are counted in
/// [`Dataset::provenance`].
///
/// # Errors
/// A file that cannot be read or is not of the format.
pub fn load(
    name: &str,
    files: &Files,
    format: Format,
    options: &ReadOptions,
    duplicates: Duplicates,
) -> Result<Dataset, ReadError> {
    let mut log = EventLog::default();
    let mut read = |file: &PartFile, part| {
        read_file(&file.rows, file.times.as_ref(), format, options, &mut log)?;
        log.end_part(part);
        Ok::<(), ReadError>(())
    };
    match files {
        Files::Whole(file) => read(file, Part::All)?,
        Files::Parts { train, validation, test } => {
            read(train, Part::Train)?;
            validation.as_ref().map(|file| read(file, Part::Validation)).transpose()?;
            read(test, Part::Test)?;
        }
    }
    assemble(name, log, duplicates)
}

fn assemble(name: &str, mut log: EventLog, rule: Duplicates) -> Result<Dataset, ReadError> {
    let n_rows = log.users.len();
    let mismatch = |problem| ReadError::Mismatch { path: name.into(), problem };
    let users = renumber(&log.user_names, &mut log.users, |id| id.index(), UserId).map_err(mismatch)?;
    let items = renumber(&log.item_names, &mut log.items, |id| id.index(), ItemId).map_err(mismatch)?;
    let shape = (users.len(), items.len());
    let ids = IdMaps { users, items };
    log.user_names = Interner::default();
    log.item_names = Interner::default();
    let (mut times, mut weights) = (log.times.take(), log.weights.take());

    let mut n_duplicates = 0;
    let mut built: Vec<(Part, Interactions)> = Vec::new();
    // From the last part back, so that each part's rows can be cut off the end.
    while let Some((part, _)) = log.parts.pop() {
        let start = log.parts.last().map_or(0, |(_, end)| *end);
        let (interactions, again) = InteractionsBuilder::from_columns(
            shape,
            cut(&mut log.users, start),
            cut(&mut log.items, start),
            times.as_mut().map(|times| cut(times, start)),
            weights.as_mut().map(|weights| cut(weights, start)),
        )
        .duplicates(if rule == Duplicates::Sum && weights.is_none() { Duplicates::KeepEarliest } else { rule })
        .build()?;
        n_duplicates += again;
        built.push((part, interactions));
    }
    built.reverse();

    let (interactions, fixed, n_repeated) = match built.len() {
        1 => (built.remove(0).1, None, 0),
        _ => disjoin(built)?,
    };
    let read = Step::of("read", &interactions);
    let provenance = Provenance { n_rows: n_rows as u64, n_duplicates, n_repeated, steps: vec![read] };
    Ok(Dataset { name: name.to_owned(), interactions, ids, categories: None, text: None, fixed, provenance })
}

fn cut<T: Clone>(column: &mut Vec<T>, start: usize) -> Vec<T> {
    if start == 0 { std::mem::take(column) } else { column.split_off(start) }
}

/// Numbers ids in the order of their names.
fn renumber<T: Copy>(
    names: &Interner,
    column: &mut [T],
    index: impl Fn(T) -> usize,
    id: impl Fn(u32) -> T,
) -> Result<IdMap, String> {
    let order = names.sorted();
    let mut rank = vec![0u32; order.len()];
    order.iter().enumerate().for_each(|(place, &old)| rank[old as usize] = place as u32);
    column.iter_mut().for_each(|value| *value = id(rank[index(*value)]));
    let numbered = order.iter().enumerate().all(|(place, &old)| place.to_string().as_bytes() == names.name(old));
    if numbered {
        return Ok(IdMap::numbered(order.len()));
    }
    IdMap::from_names(order.iter().map(|&old| names.text(old)))
        .map_err(|error| format!("id {:?} is spelled in two encodings; convert the files to UTF-8", error.name))
}

/// Parts without the pairs of earlier parts, all parts together, and the number of pairs dropped.
fn disjoin(parts: Vec<(Part, Interactions)>) -> Result<(Interactions, Option<FixedSplit>, u64), ReadError> {
    let mut n_repeated = 0;
    let mut kept: Vec<(Part, Interactions)> = Vec::new();
    for (part, interactions) in parts {
        let own = interactions.filter(|user, at| {
            let item = interactions.all_items()[at];
            kept.iter().all(|(_, earlier)| !earlier.contains(user, item))
        });
        n_repeated += (interactions.n_interactions() - own.n_interactions()) as u64;
        kept.push((part, own));
    }
    let all = Interactions::merge(kept.iter().map(|(_, part)| part))?;
    let (mut train, mut validation, mut test) = (None, None, None);
    for (part, interactions) in kept {
        match part {
            Part::All | Part::Train => train = Some(interactions),
            Part::Validation => validation = Some(interactions),
            Part::Test => test = Some(interactions),
        }
    }
    let fixed = train.zip(test).map(|(train, test)| FixedSplit { train, validation, test });
    Ok((all, fixed, n_repeated))
}

fn find_parts(folder: &Path) -> Result<Files, ReadError> {
    let io = |source| ReadError::Io { path: folder.to_owned(), source };
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    let find = |wanted: &[&str]| -> Result<Option<PathBuf>, ReadError> {
        let matching: Vec<&String> =
            names.iter().filter(|name| name.split('.').any(|piece| wanted.contains(&piece))).collect();
        match matching.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(folder.join(name))),
            [first, second, ..] => Err(ReadError::Folder {
                path: folder.to_owned(),
                problem: format!("both {first} and {second} could be the {} file; move one away", wanted[0]),
            }),
        }
    };
    let part = |wanted: &[&str], times: &[&str]| -> Result<Option<PartFile>, ReadError> {
        let times = find(times)?.map(|path| Source::from(path.as_path()));
        Ok(find(wanted)?.map(|path| PartFile { rows: path.as_path().into(), times }))
    };
    let missing = |what: &str| ReadError::Folder {
        path: folder.to_owned(),
        problem: format!("no {what} file, expected files named train and test; name a file to read it alone"),
    };
    Ok(Files::Parts {
        train: part(&["train"], &["time_train"])?.ok_or_else(|| missing("train"))?,
        validation: part(&["valid", "validation", "val", "dev"], &["time_valid"])?,
        test: part(&["test"], &["time_test"])?.ok_or_else(|| missing("test"))?,
    })
}
