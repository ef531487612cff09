//! A cascade as a file.

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Catalogue, Format, Index, Violation};
use serde::{Deserialize, Serialize};

use super::network::Network;
use crate::{CascadeIndex, Rejection, RejectionRatios};

const VERSION: u32 = 1;
const THRESHOLDS: &str = "thresholds";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    n_users: usize,
    n_items: usize,
    embedding_dim: usize,
    n_modules: usize,
    rejection: RuleName,
}

/// The rule in a file; thresholds are an array beside it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RuleName {
    Above,
    Share(RejectionRatios),
    Never,
}

impl Index for CascadeIndex {
    fn format() -> Format {
        Format { kind: "cascade-index", version: VERSION }
    }

    fn size_bytes(&self) -> usize {
        self.network().size_bytes()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let rejection = match self.rejection() {
            Rejection::Above(_) => RuleName::Above,
            Rejection::Share(ratios) => RuleName::Share(ratios.clone()),
            Rejection::Never => RuleName::Never,
        };
        let config = Config {
            n_users: self.n_users(),
            n_items: self.n_items(),
            embedding_dim: self.embedding_dim(),
            n_modules: self.n_modules(),
            rejection,
        };
        writer.config_of(prefix, &config);
        self.network().write_into(writer, prefix);
        if let Rejection::Above(thresholds) = self.rejection() {
            writer.array(&format!("{prefix}{THRESHOLDS}"), &[thresholds.len()], thresholds);
        }
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Config { n_users, n_items, embedding_dim, n_modules, rejection } = artifact.config_of(prefix)?;
        let network = Network::read_from(artifact, prefix, [n_users, n_items, embedding_dim, n_modules])?;
        let rejection = match rejection {
            RuleName::Above => {
                Rejection::Above(artifact.array_shaped(&format!("{prefix}{THRESHOLDS}"), &[n_modules])?.to_vec())
            }
            RuleName::Share(ratios) => Rejection::Share(ratios),
            RuleName::Never => Rejection::Never,
        };
        Self::from_network(network, rejection)
            .map_err(|error| artifact.field_error(&format!("{prefix}rejection"), error.to_string()))
    }

    fn validate(&self) -> Vec<Violation> {
        self.network().violations()
    }
}
