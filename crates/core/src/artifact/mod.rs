//! The one container for everything rectify writes: models, indexes, prepared data, checkpoints.
//!
//! A file is [safetensors](https://huggingface.co/docs/safetensors): any tool of that ecosystem reads its arrays. On top
//! stand the metadata keys `rectify.kind`, `rectify.version`, `rectify.config` (JSON), `rectify.checksums` (BLAKE3 of each
//! array) and `rectify.header` (BLAKE3 of all the rest), so that a truncated or flipped file is refused before anything
//! in it is believed. Files appear whole or not at all: see [`write_atomically`].
//!
//! The checksums find accidents, not attacks: whoever can write a file can also write its checksums. What a reader relies on
//! beyond that (ids in range, offsets ascending) it must check itself, and report through [`Artifact::reject`].
//!
//! # Layout
//! Eight bytes of header length, the JSON header padded with spaces so that arrays start at a multiple of 64 bytes, then the
//! arrays without gaps, widest elements first, then by name. The header lists the metadata by key, then the arrays as they
//! lie. Equal content gives equal bytes.

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

/// Longest JSON header, the limit of the safetensors format.
const MAX_HEADER_BYTES: usize = 100_000_000;
/// Arrays start at a multiple of this.
const ALIGNMENT: usize = 64;

#[cfg(target_endian = "big")]
compile_error!("artifacts are read in place and hold little-endian numbers");

/// Metadata key of the configuration of the part whose names begin with `prefix`.
fn config_key(prefix: &str) -> String {
    if prefix.is_empty() { CONFIG.to_owned() } else { format!("{CONFIG}:{prefix}") }
}

/// Digest of everything in the header but itself, in a fixed order.
fn header_digest<'a>(
    metadata: impl Iterator<Item = (&'a String, &'a String)>,
    arrays: impl Iterator<Item = (&'a str, Dtype, &'a [usize])>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    // Lengths and a letter for what follows, so that no two headers are one text.
    let mut part = |what: &[u8; 1], text: &str| {
        hasher.update(what);
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for (key, value) in metadata.filter(|(key, _)| *key != HEADER) {
        part(b"k", key);
        part(b"v", value);
    }
    for (name, dtype, shape) in arrays {
        part(b"n", name);
        part(b"t", &dtype.to_string());
        shape.iter().for_each(|size| part(b"s", &size.to_string()));
    }
    hasher.finalize().to_hex().to_string()
}
