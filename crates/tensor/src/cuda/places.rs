//! Lists of places, checked once, when they go to the device.

use super::{Buffer, GpuError, GpuOps};

/// Places on a device, each below a bound.
#[derive(Debug)]
pub struct Places {
    pub(super) buffer: Buffer<u32>,
    pub(super) below: usize,
}

/// Entries by the group they belong to: group g owns entries `offsets[g]..offsets[g + 1]`, and each entry is a place below a bound.
#[derive(Debug)]
pub struct Groups {
    pub(super) offsets: Buffer<u32>,
    pub(super) at: Buffer<u32>,
    pub(super) n_groups: usize,
    pub(super) below: usize,
}

impl Places {
    /// Number of places.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What each is below.
    #[must_use]
    pub const fn below(&self) -> usize {
        self.below
    }
}

impl Groups {
    /// Number of groups.
    #[must_use]
    pub const fn n_groups(&self) -> usize {
        self.n_groups
    }
}

impl GpuOps {
    /// Uploads places.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If one is not below the bound.
    pub fn places(&self, places: &[u32], below: usize) -> Result<Places, GpuError> {
        if let Some(at) = places.iter().position(|place| *place as usize >= below) {
            panic!("place {} at {at} is not below {below}", places[at]);
        }
        Ok(Places { buffer: self.gpu.upload(places)?, below })
    }

    /// Groups the positions of `group_of` by their values, each group in rising order: what adds gradients up row by row, always in
    /// the same order.
    ///
    /// # Errors
    /// [`GpuError`].
    ///
    /// # Panics
    /// If a value is not below `n_groups`, or there are 2³² positions or more.
    pub fn groups(&self, group_of: &[u32], n_groups: usize) -> Result<Groups, GpuError> {
        let positions = 0..u32::try_from(group_of.len()).expect("fewer than 2^32 positions");
        self.groups_of(positions.map(|at| (group_of[at as usize], at)), n_groups, group_of.len())
    }

    /// Groups entries `(group, place)` in their order.
    pub(super) fn groups_of(
        &self,
        entries: impl Iterator<Item = (u32, u32)> + Clone,
        n_groups: usize,
        below: usize,
    ) -> Result<Groups, GpuError> {
        let mut offsets = vec![0u32; n_groups + 1];
        for (group, place) in entries.clone() {
            assert!((group as usize) < n_groups, "group {group} is not below {n_groups}");
            assert!((place as usize) < below, "place {place} is not below {below}");
            offsets[group as usize + 1] += 1;
        }
        for g in 0..n_groups {
            offsets[g + 1] += offsets[g];
        }
        let mut next = offsets.clone();
        let mut at = vec![0u32; offsets[n_groups] as usize];
        for (group, place) in entries {
            let to = &mut next[group as usize];
            at[*to as usize] = place;
            *to += 1;
        }
        Ok(Groups { offsets: self.gpu.upload(&offsets)?, at: self.gpu.upload(&at)?, n_groups, below })
    }
}
