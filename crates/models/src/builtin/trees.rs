//! Kinds that search trees over items: TDM, JTM and DeFoRec.

use std::path::Path;

use rectify_core::artifact::ArtifactWriter;
use rectify_core::{ForUsers, Format, Histories, Index};
use rectify_forest::{Candidates, ForestIndex, SearchConfig};
use serde::Deserialize;
use serde_json::Value;

#[cfg(feature = "train")]
use super::learn::trees as learn;
use super::learning;
use crate::settings::read;
use crate::{Answers, Kind, Model, ModelError, Needs, Newcomers, Query, Reader, Settings, SettingsError, Users};

/// A forest with what its users did.
pub(super) type Forest = ForUsers<Histories, ForestIndex>;

impl Model for Forest {
    fn answers(&self) -> Answers<'_> {
        Answers::listed(self)
    }

    fn format(&self) -> Format {
        <Self as Index>::format()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        Index::write(self, writer, prefix);
    }

    fn newcomers(&self) -> Newcomers<'_> {
        Newcomers::by_history(self.index())
    }

    fn users(&self) -> Option<Users> {
        Some(Users::Histories(ForUsers::users(self).clone()))
    }

    fn with_users(&self, users: Users) -> Result<Box<dyn Model>, ModelError> {
        Ok(Box::new(Self::new(users.histories()?, self.index().clone(), self.provenance().clone())?))
    }

    fn item_bytes(&self) -> Option<usize> {
        Some(self.index().size_bytes())
    }
}

/// How else a trained forest is served; what is not said stays as it was trained.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Served {
    beam_width: Option<usize>,
    candidates: Option<Candidates>,
    /// The first trees alone.
    n_trees: Option<usize>,
}

fn read_served(how: &Settings) -> Result<Served, SettingsError> {
    read(Value::Object(how.clone()))
}

fn check_variant(config: &Value, how: &Settings) -> Result<(), SettingsError> {
    let learned: usize = read(config["forest"]["n_trees"].clone())?;
    let wrong = |problem: String| Err(SettingsError::Values(problem.into()));
    match read_served(how)? {
        Served { beam_width: Some(0), .. } => wrong("beam_width is 0, expected at least 1".into()),
        Served { n_trees: Some(n), .. } if n == 0 || n > learned => {
            wrong(format!("n_trees is {n}, expected 1 to {learned}, as many as are learned"))
        }
        Served { .. } => Ok(()),
    }
}

fn open_variant(path: &Path, how: &Settings) -> Result<Box<dyn Model>, ModelError> {
    let wrong = |problem| ModelError::Variant { kind: "deforec", problem };
    let Served { beam_width, candidates, n_trees } = read_served(how).map_err(wrong)?;
    let (histories, mut forest, provenance) = Forest::open(path)?.into_parts();
    if let Some(n) = n_trees {
        forest = forest.first_trees(n).map_err(ModelError::other)?;
    }
    let own = forest.search_config();
    let search = SearchConfig {
        beam_width: beam_width.unwrap_or(own.beam_width),
        candidates: candidates.unwrap_or(own.candidates),
    };
    let forest = forest.with_search(search).map_err(ModelError::other)?;
    Ok(Box::new(Forest::new(histories, forest, provenance)?))
}

const fn kind(name: &'static str, paper: &'static str) -> Kind {
    Kind::new(name, paper, Reader::of::<Forest>())
        .needing(Needs { teacher: None, text: false, times: true, categories: true, training_users: true })
        .by_epochs()
        .asked_by(Query::History)
        .folding_in()
        .varied(check_variant, open_variant)
}

pub(super) fn kinds() -> Vec<Kind> {
    vec![
        learning!(kind("deforec", "Feng et al., DeFoRec, SIGIR 2022"), learn::deforec_settings, learn::fit),
        learning!(kind("jtm", "Zhu et al., Joint Tree-based Models, NeurIPS 2019"), learn::jtm_settings, learn::fit),
        learning!(kind("tdm", "Zhu et al., Tree-based Deep Models, KDD 2018"), learn::tdm_settings, learn::fit),
    ]
}
