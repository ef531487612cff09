//! The user's own ids, and the dense numbers that stand for them.

use std::cmp::Ordering;

use crate::Violation;
use crate::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Element};

/// Own ids (strings) of dense ids `0..len`, both ways. Owned or mapped.
#[derive(Clone, Debug)]
pub struct IdMap(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Id `i` is called `i`: needs no memory.
    Numbered(usize),
    Named {
        /// Where each name starts in `bytes`: `len + 1` numbers.
        offsets: Array<u64>,
        /// UTF-8, name after name.
        bytes: Array<u8>,
        sorted: Sorted,
    },
}

/// Ids in the byte order of their names, for the way from a name to its id.
#[derive(Clone, Debug)]
enum Sorted {
    /// Names ascend with their ids.
    AsTheyAre,
    Short(Array<u16>),
    Long(Array<u32>),
}

impl Sorted {
    /// The id at a place of the order.
    fn at(&self, place: usize) -> Option<u32> {
        match self {
            Self::AsTheyAre => Some(place as u32),
            Self::Short(ids) => ids.get(place).map(|id| u32::from(*id)),
            Self::Long(ids) => ids.get(place).copied(),
        }
    }
}

/// A name that stands for two ids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("name {name:?} comes twice, expected one id a name")]
pub struct DuplicateName {
    /// The name.
    pub name: String,
}

impl IdMap {
    /// Ids that are their own decimal names.
    #[must_use]
    pub const fn numbered(len: usize) -> Self {
        Self(Kind::Numbered(len))
    }

    /// Id `i` is called `names[i]`.
    ///
    /// # Errors
    /// The first name that comes twice.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, DuplicateName> {
        let (mut offsets, mut bytes) = (vec![0u64], Vec::new());
        for name in names {
            bytes.extend_from_slice(name.as_ref().as_bytes());
            offsets.push(bytes.len() as u64);
        }
        let name = |id: u32| &bytes[offsets[id as usize] as usize..offsets[id as usize + 1] as usize];
        let mut sorted: Vec<u32> = (0..offsets.len() as u32 - 1).collect();
        sorted.sort_unstable_by(|&a, &b| name(a).cmp(name(b)));
        if let Some(pair) = sorted.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            return Err(DuplicateName { name: String::from_utf8_lossy(name(pair[0])).into_owned() });
        }
        let sorted = match sorted.iter().zip(0..).all(|(id, place)| *id == place) {
            true => Sorted::AsTheyAre,
            false => Sorted::Long(sorted.into()),
        };
        Ok(Self(Kind::Named { offsets: offsets.into(), bytes: bytes.into(), sorted }))
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Numbered(len) => *len,
            Kind::Named { offsets, .. } => offsets.len() - 1,
        }
    }

    /// Whether there is no id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The own id of dense id `id`.
    #[must_use]
    pub fn name(&self, id: u32) -> Option<String> {
        match &self.0 {
            Kind::Numbered(len) => ((id as usize) < *len).then(|| id.to_string()),
            Kind::Named { offsets, .. } if id as usize >= offsets.len() - 1 => None,
            Kind::Named { .. } => Some(String::from_utf8_lossy(self.bytes_of(id)).into_owned()),
        }
    }

    /// The dense id of an own id.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u32> {
        match &self.0 {
            // "007" is not the name of 7.
            Kind::Numbered(len) => name.parse().ok().filter(|id: &u32| (*id as usize) < *len && id.to_string() == name),
            Kind::Named { sorted, .. } => {
                let (mut low, mut high) = (0, self.len());
                while low < high {
                    let middle = low.midpoint(high);
                    let id = sorted.at(middle)?;
                    match self.bytes_of(id).cmp(name.as_bytes()) {
                        Ordering::Equal => return Some(id),
                        Ordering::Less => low = middle + 1,
                        Ordering::Greater => high = middle,
                    }
                }
                None
            }
        }
    }

    /// The map of the ids `kept`, renumbered in that order.
    ///
    /// # Panics
    /// If an id is out of range or comes twice.
    #[must_use]
    pub fn select(&self, kept: &[u32]) -> Self {
        let names = kept.iter().map(|&id| self.name(id).expect("ids to keep are in range"));
        Self::from_names(names).expect("ids to keep are distinct")
    }

    fn bytes_of(&self, id: u32) -> &[u8] {
        match &self.0 {
            Kind::Numbered(_) => &[],
            Kind::Named { offsets, bytes, .. } => {
                &bytes[offsets[id as usize] as usize..offsets[id as usize + 1] as usize]
            }
        }
    }

    /// Adds arrays, each name after `prefix`, to an artifact; none for numbered ids, whose number is all there is to say.
    ///
    /// `bytes` (the names one after the other), `lengths` (bytes of each, in the narrowest type that holds the longest), and, unless names
    /// ascend with their ids, `sorted` (ids in the byte order of their names).
    pub fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let Kind::Named { offsets, bytes, sorted } = &self.0 else { return };
        let (n, name) = (self.len(), |array: &str| format!("{prefix}{array}"));
        writer.array(&name("bytes"), &[bytes.len()], bytes);
        let lengths = || offsets.windows(2).map(|w| w[1] - w[0]);
        match lengths().max().unwrap_or(0) {
            0..=0xff => writer.array_owned(&name("lengths"), &[n], &lengths().map(|x| x as u8).collect::<Vec<_>>()),
            0x100..=0xffff => {
                writer.array_owned(&name("lengths"), &[n], &lengths().map(|x| x as u16).collect::<Vec<_>>())
            }
            _ => writer.array_owned(&name("lengths"), &[n], &lengths().map(|x| x as u32).collect::<Vec<_>>()),
        };
        match sorted {
            Sorted::AsTheyAre => {}
            Sorted::Short(ids) => _ = writer.array(&name("sorted"), &[n], ids),
            Sorted::Long(ids) if n > 1 << 16 => _ = writer.array(&name("sorted"), &[n], ids),
            Sorted::Long(ids) => {
                writer.array_owned(&name("sorted"), &[n], &ids.iter().map(|id| *id as u16).collect::<Vec<_>>());
            }
        }
    }

    /// Maps what [`write`](Self::write) added for `len` ids; [`violations`](Self::violations) must be asked before any name is.
    ///
    /// # Errors
    /// [`ArtifactError::Field`]: an array that is missing or of another form.
    pub fn read(artifact: &Artifact, prefix: &str, len: usize) -> Result<Self, ArtifactError> {
        let name = |array: &str| format!("{prefix}{array}");
        let offsets = if artifact.has(&name("offsets")) {
            // As older files have it.
            artifact.array_shaped(&name("offsets"), &[len.saturating_add(1)])?
        } else if artifact.has(&name("lengths")) {
            lengths(artifact, &name("lengths"), len)?
        } else {
            return Ok(Self::numbered(len));
        };
        let sorted = name("sorted");
        let sorted = match artifact.has(&sorted) {
            false => Sorted::AsTheyAre,
            true if artifact.holds::<u16>(&sorted) => Sorted::Short(artifact.array_shaped(&sorted, &[len])?),
            true => Sorted::Long(artifact.array_shaped(&sorted, &[len])?),
        };
        Ok(Self(Kind::Named { offsets, bytes: artifact.array(&name("bytes"))?.0, sorted }))
    }

    /// What is wrong with the arrays.
    #[must_use]
    pub fn violations(&self, field: &str) -> Vec<Violation> {
        let Kind::Named { offsets, bytes, sorted } = &self.0 else { return Vec::new() };
        let order = || (0..self.len()).filter_map(|place| sorted.at(place));
        let problem = if offsets.first() != Some(&0)
            || offsets.last() != Some(&(bytes.len() as u64))
            || offsets.windows(2).any(|w| w[0] > w[1])
        {
            "offsets of names do not ascend from 0 to the end of the names"
        } else if order().any(|id| id as usize >= self.len()) {
            "order of names holds an id out of range"
        } else if order().zip(order().skip(1)).any(|(a, b)| self.bytes_of(a) >= self.bytes_of(b)) {
            "names are not distinct and in order"
        } else {
            return Vec::new();
        };
        vec![Violation { field: field.to_owned(), problem: problem.to_owned() }]
    }
}

/// Where each name starts, from the lengths of all.
fn lengths(artifact: &Artifact, name: &str, len: usize) -> Result<Array<u64>, ArtifactError> {
    fn sum<T: Element + Into<u64>>(lengths: &[T]) -> Array<u64> {
        let mut end = 0u64;
        let ends = lengths.iter().map(|&length| {
            end = end.saturating_add(length.into());
            end
        });
        std::iter::once(0).chain(ends).collect::<Vec<_>>().into()
    }
    if artifact.holds::<u8>(name) {
        Ok(sum(&artifact.array_shaped::<u8>(name, &[len])?))
    } else if artifact.holds::<u16>(name) {
        Ok(sum(&artifact.array_shaped::<u16>(name, &[len])?))
    } else {
        Ok(sum(&artifact.array_shaped::<u32>(name, &[len])?))
    }
}

impl PartialEq for IdMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len() as u32).all(|id| self.name(id) == other.name(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_inverse() {
        let map = IdMap::from_names(["b", "a", "B09", ""]).unwrap();
        for id in 0..4 {
            assert_eq!(map.find(&map.name(id).unwrap()), Some(id));
        }
        assert_eq!((map.find("zz"), map.name(4)), (None, None));
        assert_eq!(IdMap::from_names(["x", "y", "x"]), Err(DuplicateName { name: "x".into() }));
    }

    #[test]
    fn numbered_ids_have_one_spelling() {
        let map = IdMap::numbered(12);
        assert_eq!((map.find("11"), map.find("011"), map.find("+1"), map.find("12")), (Some(11), None, None, None));
        assert_eq!(map, IdMap::from_names((0..12).map(|i| i.to_string())).unwrap());
    }

    #[test]
    fn names_come_back_from_a_file_in_few_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids");
        let long = "x".repeat(70_000);
        for names in [vec!["a", "b", "c"], vec!["b", "", "a"], vec![&long, "y"], vec![]] {
            let map = IdMap::from_names(&names).unwrap();
            let mut writer = ArtifactWriter::new("ids", 1);
            map.write(&mut writer, "items/");
            writer.save(&path, crate::artifact::Overwrite::Replace).unwrap();
            let artifact = Artifact::open(&path, "ids", 1).unwrap();
            let read = IdMap::read(&artifact, "items/", names.len()).unwrap();
            assert!(read.violations("items").is_empty());
            assert_eq!(read, map);
            names.iter().zip(0..).for_each(|(name, id)| assert_eq!(read.find(name), Some(id)));
            assert_eq!(artifact.has("items/sorted"), names == ["b", "", "a"]);
            assert!(IdMap::read(&artifact, "items/", names.len() + 1).is_err());
        }
    }

    #[test]
    fn selected_ids_keep_their_names() {
        let map = IdMap::from_names(["a", "b", "c"]).unwrap().select(&[2, 0]);
        assert_eq!((map.name(0), map.name(1), map.len()), (Some("c".into()), Some("a".into()), 2));
    }
}
