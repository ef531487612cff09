//! Rows as they come from files, before anything is sorted.

use rectify_core::{ItemId, UserId};

use super::error::Problem;
use super::source::decode;

/// Which file a row came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    All,
    Train,
    Validation,
    Test,
}

/// Columns of all rows read, with ids numbered by first appearance.
#[derive(Default)]
pub(crate) struct EventLog {
    pub(crate) user_names: Interner,
    pub(crate) item_names: Interner,
    pub(crate) users: Vec<UserId>,
    pub(crate) items: Vec<ItemId>,
    pub(crate) weights: Column<f32>,
    pub(crate) times: Column<i64>,
    /// Where each part ends, in the order read.
    pub(crate) parts: Vec<(Part, usize)>,
}

/// A column that all rows have, or none.
#[derive(Default)]
pub(crate) enum Column<T> {
    #[default]
    Undecided,
    Absent,
    Present(Vec<T>),
}

impl<T> Column<T> {
    fn push(&mut self, value: Option<T>, what: &'static str) -> Result<(), Problem> {
        match (&mut *self, value) {
            (Self::Present(values), Some(value)) => values.push(value),
            (Self::Absent, None) => {}
            (Self::Undecided, Some(value)) => *self = Self::Present(vec![value]),
            (Self::Undecided, None) => *self = Self::Absent,
            (Self::Present(_), None) => {
                return Err(Problem::new(format!("no {what}"), format!("one, as all rows before have a {what}")));
            }
            (Self::Absent, Some(_)) => {
                return Err(Problem::new(format!("a {what}"), format!("none, as no row before has a {what}")));
            }
        }
        Ok(())
    }

    pub(crate) fn take(&mut self) -> Option<Vec<T>> {
        match std::mem::take(self) {
            Self::Present(values) => Some(values),
            Self::Absent | Self::Undecided => None,
        }
    }
}

impl EventLog {
    #[inline]
    pub(crate) fn push(
        &mut self,
        user: &[u8],
        item: &[u8],
        weight: Option<f32>,
        time: Option<i64>,
    ) -> Result<(), Problem> {
        let user = UserId(self.user_names.intern(user)?);
        self.push_item(user, item, weight, time)
    }

    #[inline]
    pub(crate) fn push_item(
        &mut self,
        user: UserId,
        item: &[u8],
        weight: Option<f32>,
        time: Option<i64>,
    ) -> Result<(), Problem> {
        let item = ItemId(self.item_names.intern(item)?);
        self.weights.push(weight, "rating")?;
        self.times.push(time, "time")?;
        self.users.push(user);
        self.items.push(item);
        Ok(())
    }

    pub(crate) fn end_part(&mut self, part: Part) {
        self.parts.push((part, self.users.len()));
    }
}

/// Numbers byte strings by first appearance.
#[derive(Default)]
pub(crate) struct Interner {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Open addressing: number + 1, or 0 for a free slot. The length is a power of two, at most half full.
    slots: Vec<u32>,
}

impl Interner {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn name(&self, id: u32) -> &[u8] {
        let id = id as usize;
        &self.bytes[if id == 0 { 0 } else { self.ends[id - 1] }..self.ends[id]]
    }

    #[inline]
    pub(crate) fn intern(&mut self, name: &[u8]) -> Result<u32, Problem> {
        if 2 * (self.len() + 1) > self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash(name) & mask;
        loop {
            match self.slots[slot] {
                0 => break,
                id if self.name(id - 1) == name => return Ok(id - 1),
                _ => slot = (slot + 1) & mask,
            }
        }
        let id = u32::try_from(self.len())
            .ok()
            .filter(|&id| id < u32::MAX)
            .ok_or_else(|| Problem::new("more ids than can be numbered", "at most 4294967294 different ids"))?;
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
        self.slots[slot] = id + 1;
        Ok(id)
    }

    fn grow(&mut self) {
        let n_slots = (4 * (self.len() + 1)).next_power_of_two().max(1024);
        self.slots = vec![0; n_slots];
        for id in 0..self.len() as u32 {
            let mut slot = hash(self.name(id)) & (n_slots - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (n_slots - 1);
            }
            self.slots[slot] = id + 1;
        }
    }

    /// All numbers, in the order of dense ids: by value if every name is a plain number, else by bytes. Dense ids then do
    /// not depend on the order of rows.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        let numbers: Option<Vec<u64>> = order.iter().map(|&id| plain_number(self.name(id))).collect();
        match numbers {
            Some(numbers) => order.sort_unstable_by_key(|&id| numbers[id as usize]),
            None => order.sort_unstable_by(|&a, &b| self.name(a).cmp(self.name(b))),
        }
        order
    }

    pub(crate) fn text(&self, id: u32) -> String {
        decode(self.name(id))
    }
}

/// The value of a decimal number in its one spelling: no sign, no leading zero.
pub(crate) fn plain_number(name: &[u8]) -> Option<u64> {
    if name.is_empty() || name.len() > 19 || (name[0] == b'0' && name.len() > 1) {
        return None;
    }
    name.iter().try_fold(0u64, |value, &byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

#[inline]
fn hash(name: &[u8]) -> usize {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut h = name.len() as u64;
    let mut chunks = name.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        h = (h ^ u64::from_le_bytes(word)).wrapping_mul(K);
        h ^= h >> 32;
    }
    let last = chunks.remainder().iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    h = (h ^ last).wrapping_mul(K);
    (h ^ h >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_numbers_by_first_appearance_and_order_by_value() {
        let mut names = Interner::default();
        let ids: Vec<u32> = ["10", "9", "10", "100"].iter().map(|n| names.intern(n.as_bytes()).unwrap()).collect();
        assert_eq!(ids, [0, 1, 0, 2]);
        assert_eq!(names.sorted(), [1, 0, 2], "by value");
        names.intern(b"1a").unwrap();
        assert_eq!(names.sorted(), [0, 2, 3, 1], "by bytes, since one is no number");
        for i in 0..10_000u32 {
            names.intern(format!("item-{i}-with-a-long-name").as_bytes()).unwrap();
        }
        assert_eq!(names.len(), 10_004);
        assert_eq!(names.intern(b"item-77-with-a-long-name").unwrap(), 4 + 77);
    }

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(plain_number(b"0"), Some(0));
        assert_eq!(plain_number(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for other in [&b""[..], b"01", b"-1", b"+1", b"1.0", b"12345678901234567890"] {
            assert_eq!(plain_number(other), None);
        }
    }
}
