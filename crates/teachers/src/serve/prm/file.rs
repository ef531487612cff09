//! Saving and opening, first stage included.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Catalogue, Factors, Format, Index, Provenance, Violation};
use serde::{Deserialize, Serialize};

use super::PrmConfig;
use super::config::MODEL;
use super::model::Prm;
use super::network::arrays;
use crate::serve::scores::not_finite;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    settings: PrmConfig,
    first: Provenance,
    first_dim: usize,
}

impl Index for Prm {
    fn format() -> Format {
        Format { kind: MODEL, version: 1 }
    }

    fn size_bytes(&self) -> usize {
        self.first.size_bytes() + self.weights.iter().map(|array| size_of_val(&array[..])).sum::<usize>()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let (first, dim) = (&self.first, self.first.dim());
        let origin = first.provenance().clone();
        writer.config_of(prefix, &Saved { settings: self.config.clone(), first: origin, first_dim: dim });
        writer.array(&format!("{prefix}first.users"), &[first.n_users(), dim], first.users());
        writer.array(&format!("{prefix}first.items"), &[first.n_items(), dim], first.items());
        for ((name, rows, columns, _), weight) in arrays(&self.config, 2 * dim).iter().zip(&self.weights) {
            writer.array(&format!("{prefix}{name}"), &[*rows, *columns], &weight[..]);
        }
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Saved { settings, first: origin, first_dim: dim } = artifact.config_of(prefix)?;
        settings.validate().map_err(|error| artifact.field_error("rectify.config", error.to_string()))?;
        let table = |name: &str| -> Result<Array<f32>, ArtifactError> {
            let name = format!("{prefix}{name}");
            let (array, shape) = artifact.array::<f32>(&name)?;
            if dim == 0 || shape.len() != 2 || shape[1] != dim || u32::try_from(shape[0]).is_err() {
                let problem = format!("array has shape {shape:?}, expected [rows, {dim}] with at least one column");
                return Err(artifact.field_error(&name, problem));
            }
            Ok(array)
        };
        let first = Factors::from_vectors(table("first.users")?, table("first.items")?, dim, origin)
            .map_err(|error| artifact.field_error(&format!("{prefix}first"), error.to_string()))?;
        let arrays = arrays(&settings, 2 * dim).into_iter();
        let weights =
            arrays.map(|(name, rows, columns, _)| artifact.array_shaped(&format!("{prefix}{name}"), &[rows, columns]));
        let weights = weights.collect::<Result<_, _>>()?;
        Ok(Self::from_parts(settings, first, weights))
    }

    fn validate(&self) -> Vec<Violation> {
        let names = arrays(&self.config, 2 * self.first.dim()).into_iter().map(|(name, ..)| name);
        let own = names.zip(&self.weights).filter_map(|(name, weight)| not_finite(name, weight));
        self.first.validate().into_iter().chain(own).collect()
    }
}
