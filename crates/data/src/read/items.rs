//! What files tell about items, matched by the items' own ids.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::{Problem, ReadError, quoted};
use super::formats::{blanks, split_colons};
use super::log::{Interner, plain_number};
use super::source::{Lines, Source};
use crate::{Categories, Ragged, WordCounts};
use rectify_core::IdMap;

/// Formats of files with the categories of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ItemFormat {
    /// `item::title::genre|genre`: `movies.dat`.
    Movielens,
    /// `item|title|date|video|url|flag|flag…`, one flag a genre: `u.item` of MovieLens 100K.
    Flags,
    /// `item category …` with blanks or tabs between them, further columns ignored; one row a category.
    Pairs,
    /// Columns by name from a header (`movies.csv`, `item_meta.csv`), several categories with `|` between them.
    Csv,
    /// MIND's `news.tsv`: id and category are the first two columns.
    News,
}

/// Reads categories of the items in `items`; rows about other items are passed over.
///
/// `names` is a file `name|number` with names of numbered categories, such as `u.genre`.
///
/// # Errors
/// A file that cannot be read, or a row that is not what the format says.
pub fn read_categories(
    source: &Source,
    format: ItemFormat,
    names: Option<&Source>,
    items: &IdMap,
) -> Result<Categories, ReadError> {
    let names = names.map(read_names).transpose()?;
    let mut found = Found { items, names, categories: Interner::default(), rows: vec![BTreeSet::new(); items.len()] };
    match format {
        ItemFormat::Movielens => source.lines()?.each_row("item::title::genre|genre", |line, _| {
            let mut fields = [&b""[..]; 3];
            if split_colons(line, &mut fields) != Some(3) {
                return Err(Problem::quote(line, "item::title::genre|genre"));
            }
            found.add(fields[0], fields[2].split(|&byte| byte == b'|'))
        })?,
        ItemFormat::Flags => {
            source.lines()?.each_row("item|title|date|video|url|flags", |line, _| flags(line, &mut found))?;
        }
        ItemFormat::Pairs => source.lines()?.each_row("item and category", |line, _| {
            let mut words = blanks(line);
            let (Some(item), Some(category)) = (words.next(), words.next()) else {
                return Err(Problem::quote(line, "item and category with blanks or tabs between them"));
            };
            found.add(item, [category])
        })?,
        ItemFormat::Csv => super::formats::read_item_table(source, |item, category| {
            found.add(item, category.split(|&byte| byte == b'|'))
        })?,
        ItemFormat::News => source.lines()?.each_row("news, category and more with tabs between them", |line, _| {
            let mut fields = line.split(|&byte| byte == b'\t');
            let (Some(item), Some(category)) = (fields.next(), fields.next()) else {
                return Err(Problem::quote(line, "news, category and more with tabs between them"));
            };
            found.add(item, [category])
        })?,
    }
    Ok(found.finish())
}

fn flags(line: &[u8], found: &mut Found<'_>) -> Result<(), Problem> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b'|').collect();
    if fields.len() < 6 {
        return Err(Problem::quote(line, "item|title|date|video|url|flag|flag…"));
    }
    let mut set = Vec::new();
    for (number, flag) in fields[5..].iter().enumerate() {
        match *flag {
            b"1" => set.push(number.to_string()),
            b"0" => {}
            other => return Err(Problem::quote(other, "0 or 1 as flag of a genre")),
        }
    }
    found.add(fields[0], set.iter().map(String::as_bytes))
}

/// A numbered category: (number, name).
type Named = (Vec<u8>, Vec<u8>);

struct Found<'a> {
    items: &'a IdMap,
    names: Option<Vec<Named>>,
    categories: Interner,
    rows: Vec<BTreeSet<u32>>,
}

impl Found<'_> {
    fn add<'b>(&mut self, item: &[u8], categories: impl IntoIterator<Item = &'b [u8]>) -> Result<(), Problem> {
        let Some(item) = self.items.find(&super::source::decode(item)) else { return Ok(()) };
        for category in categories {
            let category = category.trim_ascii();
            if category.is_empty() || category == b"(no genres listed)" {
                continue;
            }
            let category = match &self.names {
                None => category,
                Some(names) => match names.iter().find(|(number, _)| number == category) {
                    Some((_, name)) => name,
                    None => return Err(Problem::quote(category, "a category that the file of names has")),
                },
            };
            let category = self.categories.intern(category)?;
            self.rows[item as usize].insert(category);
        }
        Ok(())
    }

    fn finish(self) -> Categories {
        let order = self.categories.sorted();
        let mut rank = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &category)| rank[category as usize] = place as u32);
        let rows = self.rows.into_iter().map(|row| {
            let mut row: Vec<u32> = row.into_iter().map(|category| rank[category as usize]).collect();
            row.sort_unstable();
            row
        });
        Categories::new(order.iter().map(|&id| self.categories.text(id)).collect(), Ragged::from_rows(rows))
    }
}

/// `name|number` rows.
fn read_names(source: &Source) -> Result<Vec<Named>, ReadError> {
    let mut names = Vec::new();
    source.lines()?.each_row("name|number", |line, _| {
        let bar = line.iter().rposition(|&byte| byte == b'|');
        let (name, number) = bar
            .map(|bar| (&line[..bar], &line[bar + 1..]))
            .filter(|(_, number)| plain_number(number).is_some())
            .ok_or_else(|| Problem::quote(line, "name|number"))?;
        names.push((number.to_vec(), name.to_vec()));
        Ok(())
    })?;
    Ok(names)
}

/// Reads bags of words, `count word:times word:times …` a line; the item is the number of the line, from 0. Lines about items
/// that are not in `items` are passed over; items without a line have no words.
///
/// # Errors
/// A file that cannot be read, or a row that is not what the format says.
pub fn read_words(source: &Source, items: &IdMap) -> Result<WordCounts, ReadError> {
    let mut rows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); items.len()];
    let (mut n_words, mut number) = (0, 0u64);
    let mut lines: Lines = source.lines()?;
    while let Some(line) = lines.next_line()? {
        let item = items.find(&number.to_string());
        number += 1;
        let row = bag(line);
        let row = match row {
            Ok(row) => row,
            Err(problem) => return Err(lines.error(problem)),
        };
        n_words = row.iter().map(|(word, _)| *word as usize + 1).max().unwrap_or(0).max(n_words);
        if let Some(item) = item {
            rows[item as usize] = row;
        }
    }
    if number == 0 {
        return Err(ReadError::Empty { path: source.label(), expected: "`count word:times word:times …`" });
    }
    let counts: Vec<u32> = rows.iter().flatten().map(|(_, times)| *times).collect();
    let words = Ragged::from_rows(rows.iter().map(|row| row.iter().map(|(word, _)| *word).collect::<Vec<_>>()));
    Ok(WordCounts::new(n_words, words, counts))
}

fn bag(line: &[u8]) -> Result<Vec<(u32, u32)>, Problem> {
    let mut fields = blanks(line);
    let Some(count) = fields.next() else { return Ok(Vec::new()) };
    let small =
        |field: &[u8]| plain_number(field).and_then(|number| u32::try_from(number).ok()).filter(|n| *n < u32::MAX);
    let count = small(count).ok_or_else(|| Problem::quote(count, "the number of words that follow"))?;
    let mut row = Vec::new();
    for field in fields {
        let colon = field.iter().position(|&byte| byte == b':');
        let pair = colon.and_then(|colon| Some((small(&field[..colon])?, small(&field[colon + 1..])?)));
        row.push(pair.ok_or_else(|| Problem::quote(field, "word:times, both numbers"))?);
    }
    if row.len() != count as usize {
        return Err(Problem::new(format!("{} words", row.len()), format!("{count}, as the first number says")));
    }
    row.sort_unstable();
    if let Some(pair) = row.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let got = quoted(pair[0].0.to_string().as_bytes());
        return Err(Problem::new(format!("word {got} twice"), "each word once"));
    }
    Ok(row)
}
