//! Experiments: what their files say, and what follows for a data set and a profile.

mod builtin;
mod expected;
mod file;
mod matrix;
mod plan;
mod print;
mod protocol;
mod set;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;

pub(crate) use expected::{ClaimSpec, Side};
pub use file::Experiment;
pub(crate) use file::RerankPlan;
pub use plan::Plan;
pub(crate) use plan::PlannedModel;
pub(crate) use print::{How, print};
pub(crate) use protocol::{describe, describe_cleaning};
pub(crate) use set::set;

use crate::refusal;

/// How much work an experiment does; `quick` is minutes, `paper` what the paper did.
pub const PROFILES: [&str; 4] = ["quick", "small", "medium", "paper"];

/// An experiment's file: its name, its place for error messages, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExperimentFile {
    /// The paper, or what it is otherwise called.
    pub name: String,
    place: String,
    text: String,
}

impl ExperimentFile {
    /// A file that is at hand as text.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), place: format!("{name}.toml"), text: text.to_owned() }
    }

    /// The experiments of rectify.
    #[must_use]
    pub fn builtin() -> Vec<Self> {
        builtin::EXPERIMENTS.iter().map(|(name, text)| Self::new(name, text)).collect()
    }

    /// Those of a folder, by name.
    ///
    /// # Errors
    /// A folder that cannot be listed, or a file that cannot be read.
    pub fn of_folder(folder: &Path) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(folder)
            .map_err(|error| refusal::input(format!("cannot list the experiments in {}: {error}", folder.display())))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let mut files = paths.map(|path| Self::at(&path)).collect::<Result<Vec<_>>>()?;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// One of your own, named as its file without the ending.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let problem = format!("cannot read the experiment {}: {error}", path.display());
            refusal::input(format!("{problem}; name one of rectify's, or a file that exists"))
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, place: path.display().to_string(), text })
    }

    /// Parses and checks it.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn read(&self) -> Result<Experiment> {
        let place = &self.place;
        Experiment::parse(&self.text, self.name.clone(), place.clone())
            .map_err(|problem| refusal::input(format!("{place}:{problem}")))
    }
}
