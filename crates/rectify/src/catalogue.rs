//! What is known of items beside the index: their ids, and what people read.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{IdMap, ItemId, UnknownName, Violation};
use serde::{Deserialize, Serialize};

use crate::RecommendError;

/// Items by their own ids, with names, categories and popularity where these are known.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(crate) ids: IdMap,
    names: Option<Vec<String>>,
    categories: Option<Categories>,
    popularity: Option<Array<u32>>,
}

/// Categories of items, by item.
#[derive(Clone, Debug)]
struct Categories {
    names: Vec<String>,
    offsets: Array<u32>,
    values: Array<u32>,
}

/// What the file's configuration says of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Texts {
    categories: Option<Vec<String>>,
    named: bool,
}

impl Catalogue {
    /// Items of these ids, in the order of the index.
    ///
    /// # Errors
    /// An id that comes twice.
    pub fn new<S: AsRef<str>>(ids: impl IntoIterator<Item = S>) -> Result<Self, RecommendError> {
        let ids = IdMap::from_names(ids).map_err(|problem| RecommendError::Ids { what: "items", problem })?;
        Ok(Self::of(ids))
    }

    /// Items of these ids.
    #[must_use]
    pub const fn of(ids: IdMap) -> Self {
        Self { ids, names: None, categories: None, popularity: None }
    }

    /// With the name that people read of each item.
    ///
    /// # Errors
    /// [`RecommendError::Count`] unless there is one for each.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self, RecommendError> {
        self.count("names of items", names.len())?;
        self.names = Some(names);
        Ok(self)
    }

    /// With the categories of each item.
    ///
    /// # Errors
    /// [`RecommendError::Count`] unless there is a list, which may be empty, for each.
    pub fn with_categories<S: AsRef<str>>(mut self, of_item: &[Vec<S>]) -> Result<Self, RecommendError> {
        self.count("categories of items", of_item.len())?;
        let mut names: Vec<String> = of_item.iter().flatten().map(|name| name.as_ref().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        let place = |name: &str| names.binary_search_by(|known| known.as_str().cmp(name)).unwrap_or_default() as u32;
        let (mut offsets, mut values) = (vec![0], Vec::new());
        for of_one in of_item {
            let first = values.len();
            values.extend(of_one.iter().map(|name| place(name.as_ref())));
            values[first..].sort_unstable();
            offsets.push(values.len() as u32);
        }
        self.categories = Some(Categories { names, offsets: offsets.into(), values: values.into() });
        Ok(self)
    }

    /// With the number of people who have each item.
    ///
    /// # Errors
    /// [`RecommendError::Count`] unless there is one for each.
    pub fn with_popularity(mut self, counts: Vec<u32>) -> Result<Self, RecommendError> {
        self.count("counts of items", counts.len())?;
        self.popularity = Some(counts.into());
        Ok(self)
    }

    fn count(&self, what: &'static str, got: usize) -> Result<(), RecommendError> {
        let expected = self.ids.len();
        if got == expected { Ok(()) } else { Err(RecommendError::Count { what, expected, got }) }
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The ids.
    #[must_use]
    pub const fn ids(&self) -> &IdMap {
        &self.ids
    }

    /// The name that people read of an item, if the file has names.
    #[must_use]
    pub fn name(&self, item: &str) -> Option<&str> {
        Some(&self.names.as_ref()?[self.ids.find(item)? as usize])
    }

    /// The number of people who have an item, if the file has it.
    #[must_use]
    pub fn popularity(&self, item: &str) -> Option<u32> {
        Some(self.popularity.as_ref()?[self.ids.find(item)? as usize])
    }

    /// All categories, in the order of their names.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        self.categories.as_ref().map_or(&[], |categories| &categories.names)
    }

    /// The dense id of an item.
    pub(crate) fn item(&self, id: &str) -> Result<ItemId, RecommendError> {
        self.ids.find(id).map(ItemId).ok_or_else(|| RecommendError::UnknownItem(id.to_owned(), self.len()))
    }

    /// The items of a category.
    pub(crate) fn of_category(&self, name: &str) -> Result<impl Iterator<Item = ItemId>, RecommendError> {
        let known = self.categories();
        let at = known.binary_search_by(|known| known.as_str().cmp(name));
        let at = at.map_err(|_| UnknownName::new("category", name, known.iter().map(String::as_str)))? as u32;
        let rows = self
            .categories
            .iter()
            .flat_map(|all| all.offsets.windows(2).map(|w| &all.values[w[0] as usize..w[1] as usize]));
        Ok(rows.zip(0..).filter(move |(row, _)| row.binary_search(&at).is_ok()).map(|(_, item)| ItemId(item)))
    }

    pub(crate) fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>) {
        let categories = self.categories.as_ref().map(|categories| categories.names.clone());
        writer.config_of("items/", &Texts { categories, named: self.names.is_some() });
        self.ids.write(writer, "items/ids/");
        if let Some(names) = &self.names {
            let ends: Vec<u32> = std::iter::once(0)
                .chain(names.iter().scan(0, |end, name| {
                    *end += name.len() as u32;
                    Some(*end)
                }))
                .collect();
            writer.array_owned("items/names/offsets", &[ends.len()], &ends);
            let bytes = names.concat().into_bytes();
            writer.array_owned("items/names/bytes", &[bytes.len()], &bytes);
        }
        if let Some(Categories { offsets, values, .. }) = &self.categories {
            writer.array("items/categories/offsets", &[offsets.len()], offsets);
            writer.array("items/categories/values", &[values.len()], values);
        }
        if let Some(counts) = &self.popularity {
            writer.array("items/popularity", &[counts.len()], counts);
        }
    }

    pub(crate) fn read(artifact: &Artifact, n_items: usize) -> Result<Self, ArtifactError> {
        let texts: Texts = artifact.config_of("items/")?;
        let ids = IdMap::read(artifact, "items/ids/", n_items)?;
        artifact.reject(ids.violations("items/ids"))?;
        let broken = |field: &str, problem: &str| {
            artifact.reject(vec![Violation { field: field.to_owned(), problem: problem.to_owned() }])
        };
        let mut names = None;
        if texts.named {
            let offsets: Array<u32> = artifact.array_shaped("items/names/offsets", &[n_items + 1])?;
            let bytes = artifact.array::<u8>("items/names/bytes")?.0;
            let name =
                |w: &[u32]| std::str::from_utf8(bytes.get(w[0] as usize..w[1] as usize)?).ok().map(str::to_owned);
            names = offsets.windows(2).map(name).collect::<Option<Vec<_>>>();
            if names.is_none() {
                broken("items/names", "offsets do not cut the bytes into names in UTF-8")?;
            }
        }
        let mut categories = None;
        if let Some(names) = texts.categories {
            let offsets: Array<u32> = artifact.array_shaped("items/categories/offsets", &[n_items + 1])?;
            let values = artifact.array::<u32>("items/categories/values")?.0;
            let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|w| w[0] <= w[1]);
            if !rising || offsets.last().is_none_or(|end| *end as usize != values.len()) {
                broken("items/categories/offsets", "do not rise from 0 to the number of values")?;
            }
            if values.iter().any(|value| *value as usize >= names.len()) {
                broken("items/categories/values", "hold a category that has no name")?;
            }
            categories = Some(Categories { names, offsets, values });
        }
        let popularity = match artifact.has("items/popularity") {
            true => Some(artifact.array_shaped("items/popularity", &[n_items])?),
            false => None,
        };
        Ok(Self { ids, names, categories, popularity })
    }
}
