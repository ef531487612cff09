//! Saving and opening a network.

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{Format, Index, Violation};

use super::first_pass::FirstPass;
use super::parts::Parts;
use super::{NeuMf, NeuMfConfig};
use crate::serve::scores::not_finite;

/// The items' shares of the first layer are not saved: they are computed when a file is opened.
impl Index for NeuMf {
    fn format() -> Format {
        Format { kind: "neumf", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        let pass = self.first_pass.as_ref().map_or(0, FirstPass::size_bytes);
        4 * (self.n_params() - self.parts.items.len() + self.products.len() + self.first.len()) + pass
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let (Parts { users, items, layers, output, bias }, dim) = (&self.parts, self.config.embedding_dim());
        let name = |name: &str| format!("{prefix}{name}");
        writer.config_of(prefix, &self.config);
        writer.array(&name("users"), &[self.n_users, dim], users);
        writer.array(&name("items"), &[self.n_items, dim], items);
        for (l, (weight, bias)) in layers.iter().enumerate() {
            writer.array(&name(&format!("layer.{l}.weight")), &[weight.len() / bias.len(), bias.len()], weight);
            writer.array(&name(&format!("layer.{l}.bias")), &[1, bias.len()], bias);
        }
        writer.array(&name("output.weight"), &[output.len(), 1], output);
        writer.array_owned(&name("output.bias"), &[1, 1], &[*bias]);
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let config: NeuMfConfig = artifact.config_of(prefix)?;
        config.validate().map_err(|error| artifact.field_error("rectify.config", error.to_string()))?;
        let table = |name: &str| -> Result<Array<f32>, ArtifactError> {
            let name = format!("{prefix}{name}");
            let (array, shape) = artifact.array::<f32>(&name)?;
            if shape.len() != 2 || shape[1] != config.embedding_dim() || u32::try_from(shape[0]).is_err() {
                let problem = format!("array has shape {shape:?}, expected [rows, {}]", config.embedding_dim());
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
        let output = shaped("output.weight", &[config.joint_dim(), 1])?;
        let bias = shaped("output.bias", &[1, 1])?[0];
        Ok(Self::from_parts(config, Parts { users, items, layers, output, bias }))
    }

    fn validate(&self) -> Vec<Violation> {
        let Parts { users, items, layers, output, bias } = &self.parts;
        let mut arrays = vec![("users".to_owned(), &users[..]), ("items".to_owned(), &items[..])];
        for (l, (weight, bias)) in layers.iter().enumerate() {
            arrays.extend([(format!("layer.{l}.weight"), &weight[..]), (format!("layer.{l}.bias"), &bias[..])]);
        }
        arrays.extend([
            ("output.weight".to_owned(), &output[..]),
            ("output.bias".to_owned(), std::slice::from_ref(bias)),
        ]);
        arrays.into_iter().filter_map(|(name, values)| not_finite(name, values)).collect()
    }
}
