//! From files to a [`Dataset`](crate::Dataset).

mod error;
mod formats;
mod items;
mod load;
mod log;
mod options;
mod source;
mod zip;

pub use error::ReadError;
pub use items::{ItemFormat, read_categories, read_words};
pub(crate) use load::find_files;
pub use load::{Files, PartFile, load, load_path};
pub use options::{Format, ReadOptions};
pub use source::Source;
pub(crate) use source::hex;
