//! The frozen model.

use std::path::Path;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter, Overwrite};
use rectify_core::{ItemId, QueryError, Scorer, Teacher, UserId, Violation, check_len};

use super::ConvNcfConfig;
use super::network::{Pass, Weights, positions};

const KIND: &str = "conv-ncf";
const VERSION: u32 = 1;
/// Pairs that go through the layers together.
const BLOCK: usize = 32;

/// A frozen ConvNCF: scores any pair by its interaction map. A black box as a teacher.
#[derive(Clone, Debug)]
pub struct ConvNcf {
    config: ConvNcfConfig,
    users: Array<f32>,
    items: Array<f32>,
    /// Weight (4 · inputs, channels) and bias of each layer.
    layers: Vec<(Array<f32>, Array<f32>)>,
    output: Array<f32>,
    bias: f32,
    positions: Vec<(u16, u16)>,
}

/// Its arrays.
pub(super) struct Parts {
    pub(super) users: Array<f32>,
    pub(super) items: Array<f32>,
    pub(super) layers: Vec<(Array<f32>, Array<f32>)>,
    pub(super) output: Array<f32>,
    pub(super) bias: f32,
}

impl ConvNcf {
    pub(super) fn from_parts(config: ConvNcfConfig, parts: Parts) -> Self {
        let Parts { users, items, layers, output, bias } = parts;
        let positions = positions(config.embedding_dim);
        Self { config, users, items, layers, output, bias, positions }
    }

    /// The settings it was trained with.
    #[must_use]
    pub const fn config(&self) -> &ConvNcfConfig {
        &self.config
    }

    fn score(&self, user: UserId, n: usize, item: impl Fn(usize) -> usize, out: &mut [f32]) -> Result<(), QueryError> {
        let d = self.config.embedding_dim;
        let n_users = self.users.len() / d;
        let start = user.index() * d;
        let user = self.users.get(start..start + d).ok_or(QueryError::UnknownUser { user, n_users })?;
        let layers: Vec<(&[f32], &[f32])> = self.layers.iter().map(|(w, b)| (&w[..], &b[..])).collect();
        let weights = Weights { layers: &layers, output: &self.output, bias: self.bias };
        let mut pass = Pass::default();
        for first in (0..n).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(n);
            let pairs = block.clone().map(|at| (user, &self.items[item(at) * d..][..d]));
            pass.forward(&weights, &self.positions, pairs);
            out[block].copy_from_slice(&pass.scores);
        }
        Ok(())
    }

    /// Writes the model to one file.
    ///
    /// # Errors
    /// As [`ArtifactWriter::save`].
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<(), ArtifactError> {
        let (d, bias) = (self.config.embedding_dim, [self.bias]);
        let mut writer = ArtifactWriter::new(KIND, VERSION);
        writer.config(&self.config);
        writer.array("users", &[self.users.len() / d, d], &self.users[..]);
        writer.array("items", &[self.items.len() / d, d], &self.items[..]);
        for (l, (weight, bias)) in self.layers.iter().enumerate() {
            writer.array(&format!("layer.{l}.weight"), &[weight.len() / bias.len(), bias.len()], &weight[..]);
            writer.array(&format!("layer.{l}.bias"), &[1, bias.len()], &bias[..]);
        }
        writer.array("output.weight", &[self.output.len(), 1], &self.output[..]);
        writer.array("output.bias", &[1, 1], &bias);
        writer.save(path, overwrite)
    }

    /// Maps a model that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// A file that is not such a model, is damaged, or holds a value that is not finite.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let artifact = Artifact::open(path, KIND, VERSION)?;
        let config: ConvNcfConfig = artifact.config()?;
        config.validate().map_err(|error| artifact.field_error("rectify.config", error.to_string()))?;
        let table = |name: &str| -> Result<Array<f32>, ArtifactError> {
            let (array, shape) = artifact.array::<f32>(name)?;
            if shape.len() != 2 || shape[1] != config.embedding_dim || u32::try_from(shape[0]).is_err() {
                let problem = format!("array has shape {shape:?}, expected [rows, {}]", config.embedding_dim);
                return Err(artifact.field_error(name, problem));
            }
            Ok(array)
        };
        let (users, items) = (table("users")?, table("items")?);
        let mut layers = Vec::new();
        for (l, (inputs, outputs)) in config.layers().into_iter().enumerate() {
            let weight = artifact.array_shaped(&format!("layer.{l}.weight"), &[inputs, outputs])?;
            layers.push((weight, artifact.array_shaped(&format!("layer.{l}.bias"), &[1, outputs])?));
        }
        let output = artifact.array_shaped("output.weight", &[config.channels, 1])?;
        let bias = artifact.array_shaped::<f32>("output.bias", &[1, 1])?[0];
        let model = Self::from_parts(config, Parts { users, items, layers, output, bias });
        artifact.reject(model.not_finite())?;
        Ok(model)
    }

    fn not_finite(&self) -> Vec<Violation> {
        let tables = [("users", &self.users[..]), ("items", &self.items), ("output.weight", &self.output)];
        let layers = self.layers.iter().flat_map(|(w, b)| [("layers", &w[..]), ("layers", &b[..])]);
        let bias = [("output.bias", std::slice::from_ref(&self.bias))];
        let bad = tables.into_iter().chain(layers).chain(bias).filter_map(|(field, values)| {
            let at = values.iter().position(|x| !x.is_finite())?;
            let problem = format!("value {at} is {}, expected a finite number", values[at]);
            Some(Violation { field: field.to_owned(), problem })
        });
        bad.collect()
    }
}

impl Scorer for ConvNcf {
    type Query = UserId;

    fn n_items(&self) -> usize {
        self.items.len() / self.config.embedding_dim
    }

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        let n_items = self.n_items();
        if let Some(item) = items.iter().find(|item| item.index() >= n_items) {
            return Err(QueryError::UnknownItem { item: *item, n_items });
        }
        self.score(*user, items.len(), |at| items[at].index(), out)
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.n_items(), out.len())?;
        self.score(*user, self.n_items(), |at| at, out)
    }
}

impl Teacher for ConvNcf {}
