//! The one container for everything rectify writes: models, indexes, prepared data, checkpoints.
//!
//! A file is [safetensors](https://huggingface.co/docs/safetensors): any tool of that ecosystem reads its arrays. On top
//! stand the metadata keys `rectify.kind`, `rectify.version`, `rectify.config` (JSON), `rectify.checksums` (BLAKE3 of each
//! array) and `rectify.header` (BLAKE3 of all the rest), so that a truncated or flipped file is refused before anything
//! in it is believed. Files appear whole or not at all: see [`write_atomically`].

mod array;
mod error;
mod read;
mod write;

pub use array::{Array, Element, MappedArray};
pub use error::ArtifactError;
pub use read::Artifact;
pub use write::{ArtifactWriter, Overwrite, write_atomically};

use safetensors::Dtype;

const KIND: &str = "rectify.kind";
const VERSION: &str = "rectify.version";
const CONFIG: &str = "rectify.config";
const CHECKSUMS: &str = "rectify.checksums";
const HEADER: &str = "rectify.header";

/// Digest of everything in the header but itself, in a fixed order.
fn header_digest<'a>(
    metadata: impl Iterator<Item = (&'a String, &'a String)>,
    arrays: impl Iterator<Item = (&'a str, Dtype, &'a [usize])>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for (key, value) in metadata.filter(|(key, _)| *key != HEADER) {
        part(key);
        part(value);
    }
    for (name, dtype, shape) in arrays {
        part(name);
        part(&format!("{dtype:?}{shape:?}"));
    }
    hasher.finalize().to_hex().to_string()
}
