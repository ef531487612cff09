//! The user's own ids, and the dense numbers that stand for them.

use rectify_core::Violation;
use rectify_core::artifact::Array;

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
        /// Ids in the byte order of their names, for the way back.
        sorted: Array<u32>,
    },
}

/// Own ids of users and items.
#[derive(Clone, Debug, PartialEq)]
pub struct IdMaps {
    /// Users.
    pub users: IdMap,
    /// Items.
    pub items: IdMap,
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
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let (mut offsets, mut bytes) = (vec![0u64], Vec::new());
        for name in names {
            bytes.extend_from_slice(name.as_ref().as_bytes());
            offsets.push(bytes.len() as u64);
        }
        let name = |id: u32| &bytes[offsets[id as usize] as usize..offsets[id as usize + 1] as usize];
        let mut sorted: Vec<u32> = (0..offsets.len() as u32 - 1).collect();
        sorted.sort_unstable_by(|&a, &b| name(a).cmp(name(b)));
        if let Some(pair) = sorted.windows(2).find(|pair| name(pair[0]) == name(pair[1])) {
            return Err(String::from_utf8_lossy(name(pair[0])).into_owned());
        }
        Ok(Self(Kind::Named { offsets: offsets.into(), bytes: bytes.into(), sorted: sorted.into() }))
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Kind::Numbered(len) => *len,
            Kind::Named { sorted, .. } => sorted.len(),
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
            Kind::Named { sorted, .. } if id as usize >= sorted.len() => None,
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
                sorted.binary_search_by(|&id| self.bytes_of(id).cmp(name.as_bytes())).ok().map(|at| sorted[at])
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

    /// Arrays to save: offsets, bytes, order; `None` for numbered ids.
    pub(crate) fn arrays(&self) -> Option<(&[u64], &[u8], &[u32])> {
        match &self.0 {
            Kind::Numbered(_) => None,
            Kind::Named { offsets, bytes, sorted } => Some((offsets, bytes, sorted)),
        }
    }

    /// From saved arrays; [`violations`](Self::violations) must be asked before any name is.
    pub(crate) const fn from_arrays(offsets: Array<u64>, bytes: Array<u8>, sorted: Array<u32>) -> Self {
        Self(Kind::Named { offsets, bytes, sorted })
    }

    /// What is wrong with the arrays.
    pub(crate) fn violations(&self, field: &str) -> Vec<Violation> {
        let Kind::Named { offsets, bytes, sorted } = &self.0 else { return Vec::new() };
        let problem = if offsets.len() != sorted.len() + 1
            || offsets.first() != Some(&0)
            || offsets.last() != Some(&(bytes.len() as u64))
            || offsets.windows(2).any(|w| w[0] > w[1])
        {
            "offsets of names do not ascend from 0 to the end of the names"
        } else if sorted.iter().any(|&id| id as usize >= sorted.len()) {
            "order of names holds an id out of range"
        } else if sorted.windows(2).any(|w| self.bytes_of(w[0]) >= self.bytes_of(w[1])) {
            "names are not distinct and in order"
        } else {
            return Vec::new();
        };
        vec![Violation { field: field.to_owned(), problem: problem.to_owned() }]
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
        assert_eq!(IdMap::from_names(["x", "y", "x"]), Err("x".to_owned()));
    }

    #[test]
    fn numbered_ids_have_one_spelling() {
        let map = IdMap::numbered(12);
        assert_eq!((map.find("11"), map.find("011"), map.find("+1"), map.find("12")), (Some(11), None, None, None));
        assert_eq!(map, IdMap::from_names((0..12).map(|i| i.to_string())).unwrap());
    }

    #[test]
    fn selected_ids_keep_their_names() {
        let map = IdMap::from_names(["a", "b", "c"]).unwrap().select(&[2, 0]);
        assert_eq!((map.name(0), map.name(1), map.len()), (Some("c".into()), Some("a".into()), 2));
    }
}
