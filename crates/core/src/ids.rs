//! Dense identifiers: what every array of the workspace is indexed by.

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

macro_rules! dense_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable, Serialize, Deserialize,
        )]
        #[repr(transparent)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// Position of this id in an array.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl From<u32> for $name {
            fn from(id: u32) -> Self {
                Self(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

dense_id! {
    /// A user, numbered from 0 without gaps; the user's own name lives in an id map.
    UserId
}
dense_id! {
    /// An item, numbered from 0 without gaps; the item's own name lives in an id map.
    ItemId
}

/// Views a slice of ids as plain numbers, without copying.
#[must_use]
pub fn as_u32s<T: DenseId>(ids: &[T]) -> &[u32] {
    bytemuck::cast_slice(ids)
}

/// Views plain numbers as ids, without copying.
#[must_use]
pub fn from_u32s<T: DenseId>(ids: &[u32]) -> &[T] {
    bytemuck::cast_slice(ids)
}

/// [`UserId`] or [`ItemId`]: one `u32` in memory.
pub trait DenseId: Pod {}
impl DenseId for UserId {}
impl DenseId for ItemId {}
