//! Saving and opening.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Catalogue, Format, Index, Violation};

use super::ConvNcfConfig;
use super::config::MODEL;
use super::model::{ConvNcf, Parts};
use crate::serve::scores::not_finite;

impl Index for ConvNcf {
    fn format() -> Format {
        Format { kind: MODEL, version: 1 }
    }

    fn size_bytes(&self) -> usize {
        let Parts { users, items, layers, output, .. } = &self.parts;
        let layers: usize = layers.iter().map(|(weight, bias)| weight.len() + bias.len()).sum();
        size_of::<f32>() * (users.len() + items.len() + layers + output.len() + 1)
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let (Parts { users, items, layers, output, bias }, d) = (&self.parts, self.config.embedding_dim);
        let name = |name: &str| format!("{prefix}{name}");
        writer.config_of(prefix, &self.config);
        writer.array(&name("users"), &[self.n_users(), d], users);
        writer.array(&name("items"), &[self.n_items(), d], items);
        for (l, (weight, bias)) in layers.iter().enumerate() {
            writer.array(&name(&format!("layer.{l}.weight")), &[weight.len() / bias.len(), bias.len()], weight);
            writer.array(&name(&format!("layer.{l}.bias")), &[1, bias.len()], bias);
        }
        writer.array(&name("output.weight"), &[output.len(), 1], output);
        writer.array_owned(&name("output.bias"), &[1, 1], &[*bias]);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let config: ConvNcfConfig = artifact.config_of(prefix)?;
        config.validate().map_err(|error| artifact.field_error("rectify.config", error.to_string()))?;
        let table = |name: &str| -> Result<Array<f32>, ArtifactError> {
            let name = format!("{prefix}{name}");
            let (array, shape) = artifact.array::<f32>(&name)?;
            if shape.len() != 2 || shape[1] != config.embedding_dim || u32::try_from(shape[0]).is_err() {
                let problem = format!("array has shape {shape:?}, expected [rows, {}]", config.embedding_dim);
                return Err(artifact.field_error(&name, problem));
            }
            Ok(array)
        };
        let shaped = |name: &str, shape: &[usize]| artifact.array_shaped::<f32>(&format!("{prefix}{name}"), shape);
        let (users, items) = (table("users")?, table("items")?);
        let mut layers = Vec::new();
        for (l, (inputs, outputs)) in config.layers().into_iter().enumerate() {
            let weight = shaped(&format!("layer.{l}.weight"), &[inputs, outputs])?;
            layers.push((weight, shaped(&format!("layer.{l}.bias"), &[1, outputs])?));
        }
        let output = shaped("output.weight", &[config.channels, 1])?;
        let bias = shaped("output.bias", &[1, 1])?[0];
        Ok(Self::from_parts(config, Parts { users, items, layers, output, bias }))
    }

    fn validate(&self) -> Vec<Violation> {
        let Parts { users, items, layers, output, bias } = &self.parts;
        let tables = [("users", &users[..]), ("items", &items[..]), ("output.weight", &output[..])];
        let layers = layers.iter().flat_map(|(weight, bias)| [("layers", &weight[..]), ("layers", &bias[..])]);
        let arrays = tables.into_iter().chain(layers).chain([("output.bias", std::slice::from_ref(bias))]);
        arrays.filter_map(|(name, values)| not_finite(name, values)).collect()
    }
}
