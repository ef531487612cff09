//! The student as arrays, and what a search reads of it.

use std::sync::OnceLock;

use rectify_core::artifact::{Array, Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{QueryError, UserId, Violation};

use super::kernels::{LANES, Lanes};
use super::limits::Limits;
use crate::{CascadeError, PartName};

/// Widest vector of a user or an item.
pub(crate) const MAX_DIM: usize = 4096;
/// Most modules.
pub(crate) const MAX_MODULES: usize = 32;
const BY_LANE: &str = "items_by_lane";

/// One decision module: `D = decision · x + bias`, `h = relu(x · weight)`.
///
/// Its input x is `z = P[u] ⊙ Q[i]` in the first module and `[z ; h of the one before]` in the others.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleParts {
    /// `θ`, as long as the input; a pair with D above 0 is rejected.
    pub decision: Vec<f32>,
    /// Added to D; 0 in the paper.
    pub bias: f32,
    /// `Wᵀ`, (input, embedding_dim) row-major.
    pub weight: Vec<f32>,
}

/// A hierarchical decision network, learned anywhere (HDN, Chen and Pan).
#[derive(Clone, Debug)]
pub struct CascadeParts {
    /// Width of all vectors (`d`), 1 to 4096.
    pub embedding_dim: usize,
    /// `P`, (n_users, embedding_dim) row-major.
    pub users: Array<f32>,
    /// `Q`, (n_items, embedding_dim) row-major.
    pub items: Array<f32>,
    /// The decision modules in their order, up to 32.
    pub modules: Vec<ModuleParts>,
    /// `w` of the score `w · [z ; h_N] + b`, as long as its input (`z` alone without modules).
    pub score: Vec<f32>,
    /// `b` of the score; 0 in the paper.
    pub score_bias: f32,
}

/// Parts with what a search reads.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) dim: usize,
    /// Groups of sixteen in a vector.
    pub(super) chunks: usize,
    pub(super) n_users: usize,
    pub(super) n_items: usize,
    users: Array<f32>,
    items: Array<f32>,
    /// Items in groups of sixteen side by side, `[groups, dim, 16]`.
    by_lane: Array<f32>,
    modules: Vec<ModuleParts>,
    score: Vec<f32>,
    score_bias: f32,
    /// `θ_1 … θ_N, w`, each half padded to whole chunks.
    heads: Vec<Vec<Lanes>>,
    /// `W_1 … W_N`, each row padded to whole chunks.
    layers: Vec<Vec<Lanes>>,
    /// Made when it is first asked for: a mapped file need not be read whole.
    limits: OnceLock<Limits>,
}

/// Values padded to whole chunks.
fn padded(row: &[f32]) -> impl Iterator<Item = Lanes> + '_ {
    row.chunks(LANES).map(|part| std::array::from_fn(|l| part.get(l).copied().unwrap_or(0.0)))
}

fn by_lane(items: &[f32], dim: usize) -> Vec<f32> {
    let n_items = items.len() / dim;
    let mut out = vec![0.0; n_items.div_ceil(LANES) * dim * LANES];
    for (i, item) in items.chunks_exact(dim).enumerate() {
        let group = &mut out[i / LANES * dim * LANES..][..dim * LANES];
        for (j, x) in item.iter().enumerate() {
            group[j * LANES + i % LANES] = *x;
        }
    }
    out
}

/// Width of what head or layer `stage` (from 0) reads.
pub(crate) const fn input_dim(dim: usize, stage: usize) -> usize {
    if stage == 0 { dim } else { 2 * dim }
}

impl Network {
    pub(super) fn new(parts: CascadeParts) -> Result<Self, CascadeError> {
        let dim = parts.embedding_dim;
        if !(1..=MAX_DIM).contains(&dim) {
            return Err(CascadeError::Size { what: "embedding_dim", got: dim, most: MAX_DIM });
        }
        let by_lane = by_lane(&parts.items[..parts.items.len() / dim * dim], dim).into();
        let network = Self::assemble(parts, by_lane)?;
        network.check_values()?;
        Ok(network)
    }

    /// Checks sizes, and lays weights out for the kernels.
    fn assemble(parts: CascadeParts, by_lane: Array<f32>) -> Result<Self, CascadeError> {
        let CascadeParts { embedding_dim: dim, users, items, modules, score, score_bias } = parts;
        if modules.len() > MAX_MODULES {
            return Err(CascadeError::Size { what: "number of modules", got: modules.len(), most: MAX_MODULES });
        }
        for (what, table) in [(PartName::Users, &users), (PartName::Items, &items)] {
            let rows = table.len() / dim;
            if rows * dim != table.len() {
                let (expected, got) = ((rows + 1) * dim, table.len());
                return Err(CascadeError::Length { what, shape: "rows of embedding_dim", expected, got });
            }
            if u32::try_from(rows).is_err() {
                let what = if what == PartName::Users { "users" } else { "items" };
                return Err(CascadeError::Size { what, got: rows, most: u32::MAX as usize });
            }
        }
        let check = |what, shape, expected, got| {
            if expected == got { Ok(()) } else { Err(CascadeError::Length { what, shape, expected, got }) }
        };
        for (n, module) in modules.iter().enumerate() {
            let (input, decision, weight) =
                (input_dim(dim, n), PartName::Decision { module: n + 1 }, PartName::Weight { module: n + 1 });
            check(decision, "as its input", input, module.decision.len())?;
            check(weight, "input · embedding_dim", input * dim, module.weight.len())?;
        }
        check(PartName::Score, "as its input", input_dim(dim, modules.len()), score.len())?;
        let halves = |row: &Vec<f32>| row.chunks_exact(dim).flat_map(padded).collect::<Vec<Lanes>>();
        let heads = modules.iter().map(|module| &module.decision).chain([&score]).map(halves).collect();
        let layers = modules.iter().map(|module| halves(&module.weight)).collect();
        Ok(Self {
            dim,
            chunks: dim.div_ceil(LANES),
            n_users: users.len() / dim,
            n_items: items.len() / dim,
            users,
            items,
            by_lane,
            modules,
            score,
            score_bias,
            heads,
            layers,
            limits: OnceLock::new(),
        })
    }

    pub(super) fn n_modules(&self) -> usize {
        self.modules.len()
    }

    /// `θ` of module `stage + 1`, or `w` after all modules.
    pub(super) fn head(&self, stage: usize) -> &[f32] {
        self.modules.get(stage).map_or(&self.score[..], |module| &module.decision)
    }

    pub(super) fn packed_head(&self, stage: usize) -> &[Lanes] {
        &self.heads[stage]
    }

    /// Weights of module `stage + 1`.
    pub(super) fn packed_layer(&self, stage: usize) -> &[Lanes] {
        &self.layers[stage]
    }

    /// What is added to a product with the head.
    pub(super) fn bias(&self, stage: usize) -> f32 {
        self.modules.get(stage).map_or(self.score_bias, |module| module.bias)
    }

    pub(super) fn user(&self, user: UserId) -> Result<&[f32], QueryError> {
        let start = user.index() * self.dim;
        self.users.get(start..start + self.dim).ok_or(QueryError::UnknownUser { user, n_users: self.n_users })
    }

    pub(super) fn item(&self, item: usize) -> &[f32] {
        &self.items[item * self.dim..][..self.dim]
    }

    /// All vectors of users.
    pub(super) fn users(&self) -> &[f32] {
        &self.users
    }

    /// All vectors of items.
    pub(super) fn items(&self) -> &[f32] {
        &self.items
    }

    /// `Wᵀ` of module `stage + 1`.
    pub(super) fn weight(&self, stage: usize) -> &[f32] {
        &self.modules[stage].weight
    }

    /// What no value may exceed.
    pub(super) fn limits(&self) -> &Limits {
        self.limits.get_or_init(|| Limits::of(self))
    }

    /// Groups of sixteen items side by side.
    pub(super) fn groups(&self) -> &[Lanes] {
        self.by_lane.as_chunks().0
    }

    /// The same network with its items in another order.
    pub(super) fn reordered(&self, order: impl Iterator<Item = usize>) -> Self {
        let items: Vec<f32> = order.flat_map(|item| self.item(item)).copied().collect();
        let by_lane = by_lane(&items, self.dim).into();
        Self { items: items.into(), by_lane, ..self.clone() }
    }

    pub(super) fn parts(&self) -> CascadeParts {
        CascadeParts {
            embedding_dim: self.dim,
            users: self.users.clone(),
            items: self.items.clone(),
            modules: self.modules.clone(),
            score: self.score.clone(),
            score_bias: self.score_bias,
        }
    }

    /// Multiply-adds of one item at `stage`: into the layer before it and the head.
    pub(super) fn multiply_adds(&self, stage: usize) -> u64 {
        let layer = if stage == 0 { 0 } else { input_dim(self.dim, stage - 1) * self.dim };
        (layer + input_dim(self.dim, stage)) as u64
    }

    pub(super) fn size_bytes(&self) -> usize {
        let lanes: usize = self.heads.iter().chain(&self.layers).map(Vec::len).sum();
        4 * (self.users.len() + self.items.len() + self.by_lane.len() + lanes * LANES + self.heads.len())
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        let violation = |field: &str, problem| vec![Violation { field: field.into(), problem }];
        if let Err(error) = self.check_values() {
            return violation("weights", error.to_string());
        }
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        if !same(&self.by_lane, &by_lane(&self.items, self.dim)) {
            return violation(BY_LANE, "holds other items than `items`".into());
        }
        Vec::new()
    }

    pub(super) fn write_into<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        let name = |name: &str| format!("{prefix}{name}");
        writer.array(&name("users"), &[self.n_users, self.dim], &self.users[..]);
        writer.array(&name("items"), &[self.n_items, self.dim], &self.items[..]);
        writer.array(&name(BY_LANE), &[self.n_items.div_ceil(LANES), self.dim, LANES], &self.by_lane[..]);
        for (n, module) in self.modules.iter().enumerate() {
            let input = input_dim(self.dim, n);
            writer.array(&name(&format!("module{n}/decision")), &[input], &module.decision);
            writer.array(&name(&format!("module{n}/weight")), &[input, self.dim], &module.weight);
        }
        writer.array(&name("score"), &[self.score.len()], &self.score);
        let biases: Vec<f32> = (0..=self.n_modules()).map(|stage| self.bias(stage)).collect();
        writer.array_owned(&name("biases"), &[biases.len()], &biases);
    }

    pub(super) fn read_from(
        artifact: &Artifact,
        prefix: &str,
        [n_users, n_items, dim, n_modules]: [usize; 4],
    ) -> Result<Self, ArtifactError> {
        let name = |name: &str| format!("{prefix}{name}");
        if !(1..=MAX_DIM).contains(&dim) || n_modules > MAX_MODULES {
            let problem = format!("{n_modules} modules of width {dim}, expected up to {MAX_MODULES} of 1 to {MAX_DIM}");
            return Err(artifact.field_error(&name("embedding_dim"), problem));
        }
        let biases = artifact.array_shaped::<f32>(&name("biases"), &[n_modules + 1])?;
        let mut modules = Vec::new();
        for n in 0..n_modules {
            let input = input_dim(dim, n);
            modules.push(ModuleParts {
                decision: artifact.array_shaped(&name(&format!("module{n}/decision")), &[input])?.to_vec(),
                weight: artifact.array_shaped(&name(&format!("module{n}/weight")), &[input, dim])?.to_vec(),
                bias: biases[n],
            });
        }
        let parts = CascadeParts {
            embedding_dim: dim,
            users: artifact.array_shaped(&name("users"), &[n_users, dim])?,
            items: artifact.array_shaped(&name("items"), &[n_items, dim])?,
            score: artifact.array_shaped(&name("score"), &[input_dim(dim, n_modules)])?.to_vec(),
            modules,
            score_bias: biases[n_modules],
        };
        let by_lane = artifact.array_shaped(&name(BY_LANE), &[n_items.div_ceil(LANES), dim, LANES])?;
        Self::assemble(parts, by_lane).map_err(|error| artifact.field_error(&name("items"), error.to_string()))
    }
}
