//! Data sets as artifacts: written once, mapped ever after.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Element, Overwrite};
use rectify_core::{IdMap, Violation};
use serde::{Deserialize, Serialize};

use crate::{Categories, Dataset, FixedSplit, IdMaps, Interactions, Provenance, Ragged, WordCounts};

/// Kind of artifact.
const KIND: &str = "interactions";
/// 1 had offsets of names of 8 bytes; it is read, too.
const VERSION: u32 = 2;

/// What is not an array.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    name: String,
    n_users: usize,
    n_items: usize,
    category_names: Option<Vec<String>>,
    n_words: Option<usize>,
    fixed_parts: Vec<String>,
    provenance: Provenance,
}

impl Dataset {
    /// Writes one artifact of kind `interactions`.
    ///
    /// # Errors
    /// A file that exists (unless told to replace it), or the operating system's reason.
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        let parts: Vec<(&str, &Interactions)> = self.fixed.iter().flat_map(FixedSplit::parts).collect();
        writer.config(&Meta {
            name: self.name.clone(),
            n_users: self.interactions.n_users(),
            n_items: self.interactions.n_items(),
            category_names: self.categories.as_ref().map(|categories| categories.names().to_vec()),
            n_words: self.text.as_ref().map(WordCounts::n_words),
            fixed_parts: parts.iter().map(|(name, _)| (*name).to_owned()).collect(),
            provenance: self.provenance.clone(),
        });
        write_interactions(&mut writer, "", &self.interactions);
        for (name, part) in parts {
            write_interactions(&mut writer, &format!("{name}."), part);
        }
        for (name, map) in [("user_ids", &self.ids.users), ("item_ids", &self.ids.items)] {
            map.write(&mut writer, &format!("{name}."));
        }
        if let Some(categories) = &self.categories {
            write_ragged(&mut writer, "categories", categories.rows());
        }
        if let Some(text) = &self.text {
            write_ragged(&mut writer, "words", text.rows());
            write(&mut writer, "words.counts", text.counts());
        }
        writer.save(path, overwrite)
    }

    /// Maps a data set that [`save`](Self::save) wrote, after checking it.
    ///
    /// # Errors
    /// A file that is no such artifact, is damaged, or breaks a rule of [`Interactions::validate`].
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let meta: Meta = artifact.config()?;
        let shape = (meta.n_users, meta.n_items);
        let interactions = read_interactions(&artifact, "", shape)?;
        let mut parts = Vec::new();
        for name in &meta.fixed_parts {
            parts.push((name.as_str(), read_interactions(&artifact, &format!("{name}."), shape)?));
        }
        let fixed = FixedSplit::from_parts(parts).map_err(|problem| artifact.field_error("fixed_parts", problem))?;
        let ids = IdMaps {
            users: read_ids(&artifact, "user_ids", meta.n_users)?,
            items: read_ids(&artifact, "item_ids", meta.n_items)?,
        };
        let categories = match meta.category_names {
            None => None,
            Some(names) => {
                let rows = read_ragged(&artifact, "categories", meta.n_items, names.len())?;
                Some(Categories::new(names, rows))
            }
        };
        let text = match meta.n_words {
            None => None,
            Some(n_words) => {
                let words = read_ragged(&artifact, "words", meta.n_items, n_words)?;
                let counts = artifact.array_shaped("words.counts", &[words.values().len()])?;
                Some(WordCounts::new(n_words, words, counts))
            }
        };
        Ok(Self { name: meta.name, interactions, ids, categories, text, fixed, provenance: meta.provenance })
    }
}

fn write<'a, T: Element>(writer: &mut ArtifactWriter<'a>, name: &str, values: &'a [T]) {
    writer.array(name, &[values.len()], values);
}

fn write_ragged<'a, T: Element>(writer: &mut ArtifactWriter<'a>, name: &str, rows: &'a Ragged<T>) {
    write(writer, &format!("{name}.offsets"), rows.offsets());
    write(writer, &format!("{name}.values"), rows.values());
}

fn write_interactions<'a>(writer: &mut ArtifactWriter<'a>, prefix: &str, interactions: &'a Interactions) {
    write(writer, &format!("{prefix}user_offsets"), interactions.user_offsets());
    write(writer, &format!("{prefix}items"), interactions.all_items());
    write(writer, &format!("{prefix}item_offsets"), interactions.item_offsets());
    write(writer, &format!("{prefix}users"), interactions.all_users());
    if let Some(times) = interactions.all_times() {
        write(writer, &format!("{prefix}times"), times);
    }
    if let Some(weights) = interactions.all_weights() {
        write(writer, &format!("{prefix}weights"), weights);
    }
}

fn read_interactions(
    artifact: &Artifact,
    prefix: &str,
    (n_users, n_items): (usize, usize),
) -> Result<Interactions, ArtifactError> {
    let name = |array: &str| format!("{prefix}{array}");
    let offsets = |array: &str, n: usize| artifact.array_shaped(&name(array), &[n.saturating_add(1)]);
    let (items, _) = artifact.array(&name("items"))?;
    let n = items.len();
    let by_user = Ragged::unchecked(offsets("user_offsets", n_users)?, items);
    let by_item = Ragged::unchecked(offsets("item_offsets", n_items)?, artifact.array_shaped(&name("users"), &[n])?);
    let times = optional(artifact, &name("times"), n)?;
    let weights = optional(artifact, &name("weights"), n)?;
    let interactions = Interactions { by_user, by_item, times, weights };
    artifact.reject(interactions.validate())?;
    Ok(interactions)
}

fn optional<T: Element>(artifact: &Artifact, name: &str, n: usize) -> Result<Option<Array<T>>, ArtifactError> {
    if artifact.has(name) { artifact.array_shaped(name, &[n]).map(Some) } else { Ok(None) }
}

fn read_ragged(artifact: &Artifact, name: &str, n_rows: usize, bound: usize) -> Result<Ragged<u32>, ArtifactError> {
    let offsets = artifact.array_shaped(&format!("{name}.offsets"), &[n_rows.saturating_add(1)])?;
    let (values, _) = artifact.array::<u32>(&format!("{name}.values"))?;
    let rows = Ragged::unchecked(offsets, values);
    let mut violations = rows.violations(name);
    if let Some(at) = rows.values().iter().position(|&value| value as usize >= bound) {
        violations.push(Violation { field: name.into(), problem: format!("entry {at} is not below {bound}") });
    }
    artifact.reject(violations)?;
    Ok(rows)
}

fn read_ids(artifact: &Artifact, name: &str, len: usize) -> Result<IdMap, ArtifactError> {
    let map = IdMap::read(artifact, &format!("{name}."), len)?;
    artifact.reject(map.violations(name))?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;
    use crate::SyntheticConfig;

    #[test]
    fn a_saved_data_set_comes_back_equal_and_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.safetensors");
        let mut data = SyntheticConfig::tiny().generate("tiny", Seed(1)).unwrap();
        let all = &data.interactions;
        let words = Ragged::from_rows((0..150u32).map(|item| vec![item % 7; (item % 3) as usize]));
        let counts = vec![2u32; words.values().len()];
        data.text = Some(WordCounts::new(7, words, counts));
        data.fixed = Some(FixedSplit {
            train: all.filter(|_, at| at % 3 > 0),
            validation: None,
            test: all.filter(|_, at| at % 3 == 0),
        });
        data.ids.items = IdMap::from_names((0..150).map(|i| format!("B{i:03}"))).unwrap();
        data.save(&path, Overwrite::Refuse).unwrap();
        let mapped = Dataset::open(&path).unwrap();
        assert_eq!(mapped, data);
        assert!(matches!(mapped.interactions.times, Some(Array::Mapped(_))));
        assert!(matches!(data.save(&path, Overwrite::Refuse), Err(ArtifactError::Exists { .. })));
        data.save(&path, Overwrite::Replace).unwrap();
    }

    #[test]
    fn a_transpose_that_disagrees_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.safetensors");
        let mut data = SyntheticConfig::tiny().generate("tiny", Seed(1)).unwrap();
        data.interactions.by_item = data.interactions.filter(|_, at| at != 5).by_item;
        data.save(&path, Overwrite::Refuse).unwrap();
        let error = Dataset::open(&path).unwrap_err().to_string();
        assert!(error.contains("users"), "{error}");
    }

    #[test]
    fn a_truncated_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.safetensors");
        SyntheticConfig::tiny().generate("tiny", Seed(1)).unwrap().save(&path, Overwrite::Refuse).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert!(matches!(Dataset::open(&path), Err(ArtifactError::Container { .. })));
    }
}
