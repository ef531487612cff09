#![doc = include_str!("../README.md")]

mod builtin;
mod error;
mod kind;
mod kinds;
mod model;
pub mod settings;
#[cfg(feature = "train")]
pub mod train;

pub use error::{BoxError, ModelError, SettingsError, TeacherForm};
pub use kind::{Abilities, CheckVariant, Kind, Needs, OpenVariant, Query, Read, Reader, Resolve};
pub use kinds::Kinds;
pub use model::{Answers, AsTeacher, ByHistory, ByVector, Model, Newcomers, Users};
pub use settings::Settings;
