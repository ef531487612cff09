//! Forests whose nodes are scored on a GPU.

use std::sync::Arc;

use rectify_core::{Catalogue, Hit, ItemFilter, ItemId, QueryError, Retriever, TopK, all_or_none, check_batch};
use rectify_cuda::{Args, Buffer, Gpu, GpuError, Shape, Source};
use rectify_gpu_search::device_error;

use super::beam::Beam;
use super::model::Profile;
use super::{ForestIndex, TreeModel};

/// The kernel file of this crate.
pub static SOURCE: Source =
    Source { name: "tree_scores", text: include_str!("../../kernels/tree_scores.cu"), kernels: &["score_nodes"] };

/// Queries whose beams go down together.
const QUERIES: usize = 256;
/// Warps that score nodes at a time; each has scratch memory of its own.
const WARPS: usize = 16_384;

/// A [`ForestIndex`] whose nodes are scored on a device: beams of many queries go down level by level together, and their nodes on a
/// level are one launch. What depends on a user and a level alone, and the choice of the nodes that stay, is the CPU's.
///
/// The scores have the bits of the CPU's where that has fused multiply-adds (AVX2 and above), and so have the lists.
#[derive(Debug)]
pub struct DeviceForestIndex {
    gpu: Arc<Gpu>,
    forest: ForestIndex,
    trees: Vec<DeviceNetwork>,
}

/// A preference model on a device.
#[derive(Debug)]
struct DeviceNetwork {
    embeddings: Buffer<f32>,
    weights: Buffer<f32>,
    widths: Buffer<u32>,
}

/// Nodes of one level, by place, with the query that asks for each.
#[derive(Debug, Default)]
struct LevelNodes {
    users: Vec<u32>,
    places: Vec<u32>,
}

impl ForestIndex {
    /// Uploads the models of all trees.
    ///
    /// # Errors
    /// [`GpuError`].
    pub fn on_device(&self, gpu: &Arc<Gpu>) -> Result<DeviceForestIndex, GpuError> {
        let trees = self.trees().iter().map(|tree| DeviceNetwork::upload(gpu, tree)).collect::<Result<_, _>>()?;
        Ok(DeviceForestIndex { gpu: Arc::clone(gpu), forest: self.clone(), trees })
    }
}

impl DeviceNetwork {
    fn upload(gpu: &Gpu, tree: &TreeModel) -> Result<Self, GpuError> {
        let network = tree.network();
        let widths: Vec<u32> = network.shape().layers.iter().map(|width| *width as u32).collect();
        Ok(Self {
            embeddings: gpu.upload(network.embeddings())?,
            weights: gpu.upload(&network.weights_of_a_node())?,
            widths: gpu.upload(&widths)?,
        })
    }

    /// Scores of nodes of a level for the queries that ask.
    #[expect(unsafe_code, reason = "a launch is a promise about its arguments")]
    fn score(
        &self,
        gpu: &Gpu,
        tree: &TreeModel,
        level: u32,
        queries: &[&[ItemId]],
        asked: &LevelNodes,
    ) -> Result<Vec<f32>, GpuError> {
        let (network, n) = (tree.network(), asked.places.len());
        let shape = network.shape();
        let (mut starts, mut nodes, mut first, mut pooled) = (vec![0u32], Vec::new(), Vec::new(), Vec::new());
        let mut profile = Profile::default();
        for query in queries {
            profile.fill(tree.tree(), level, query, shape);
            network.prepare_rows(&profile, &mut first, &mut pooled);
            nodes.extend_from_slice(&profile.rows);
            starts.push(nodes.len() as u32);
        }
        let rows: Vec<u32> = asked.places.iter().map(|place| tree.tree().layout().row(level, *place)).collect();
        let longest = starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0) as usize;
        // Outputs stand behind each other through all layers.
        let room = shape.attention_dim + longest + shape.layers.iter().sum::<usize>();
        let launched = Shape::warps_for(n.min(WARPS));
        let n_warps = launched.blocks[0] as usize * launched.threads as usize / 32;
        let mut scratch = gpu.zeros::<f32>(n_warps * room)?;
        let mut scores = gpu.zeros::<f32>(n)?;
        let (starts, nodes) = (gpu.upload(&starts)?, gpu.upload(&nodes)?);
        let (first, pooled) = (gpu.upload(&first)?, gpu.upload(&pooled)?);
        let (users, rows) = (gpu.upload(&asked.users)?, gpu.upload(&rows)?);
        let args = Args::new().read(&self.embeddings).read(&starts).read(&nodes).read(&first).read(&pooled);
        let args = args.read(&users).read(&rows).size(n).size(shape.embedding_dim).size(shape.attention_dim);
        let args = args.read(&self.widths).size(shape.layers.len()).size(shape.windows.len() * shape.embedding_dim);
        let args = args.read(&self.weights).float(network.out_bias()).float(network.head_bias()).size(room);
        let args = args.write(&mut scratch).write(&mut scores);
        // SAFETY: the parameters of `score_nodes`; rows and history nodes are rows of this tree's embeddings, users are below the number of
        // queries, and `room` holds hidden values, the longest history and the outputs of all layers.
        unsafe { gpu.run(&SOURCE, "score_nodes", launched, args) }?;
        gpu.download(&scores)
    }
}

impl DeviceForestIndex {
    /// The forest that is searched.
    #[must_use]
    pub const fn forest(&self) -> &ForestIndex {
        &self.forest
    }

    fn score(&self, t: usize, level: u32, queries: &[&[ItemId]], asked: &LevelNodes) -> Result<Vec<f32>, QueryError> {
        if asked.places.is_empty() {
            return Ok(Vec::new());
        }
        let tree = &self.forest.trees()[t];
        let scores = self.trees[t].score(&self.gpu, tree, level, queries, asked).map_err(device_error)?;
        match scores.iter().position(|score| score.is_nan()) {
            Some(at) => Err(QueryError::NotFinite { position: asked.places[at] as usize, value: f32::NAN }),
            None => Ok(scores),
        }
    }

    /// Beams of some queries through one tree.
    fn reach(&self, t: usize, queries: &[&[ItemId]], beam_width: usize) -> Result<Vec<Beam>, QueryError> {
        let layout = self.forest.trees()[t].tree().layout();
        let mut beams = vec![Beam::default(); queries.len()];
        let first = Beam::first_level(layout, beam_width);
        beams.iter_mut().for_each(|beam| beam.start(layout, first));
        for level in first..=layout.leaf_level() {
            let mut asked = LevelNodes::default();
            for (q, beam) in beams.iter().enumerate() {
                asked.users.extend(std::iter::repeat_n(q as u32, beam.places().len()));
                asked.places.extend_from_slice(beam.places());
            }
            let scores = self.score(t, level, queries, &asked)?;
            let mut rest = &scores[..];
            for beam in &mut beams {
                let (own, others) = rest.split_at(beam.places().len());
                beam.take(own);
                if level < layout.leaf_level() {
                    beam.descend(layout, beam_width, level);
                }
                rest = others;
            }
        }
        Ok(beams)
    }

    fn search(
        &self,
        queries: &[&[ItemId]],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        let (trees, last) = (self.forest.trees(), self.trees.len() - 1);
        queries.iter().try_for_each(|query| self.forest.last().check_query(query))?;
        if k == 0 {
            return Ok(());
        }
        let beam_width = self.forest.search_config().beam_width.max(k);
        let beams = (0..trees.len()).map(|t| self.reach(t, queries, beam_width)).collect::<Result<Vec<_>, _>>()?;
        let (mut asked, mut found) = (LevelNodes::default(), Vec::new());
        for q in 0..queries.len() {
            let filter = &filters[if filters.len() == 1 { 0 } else { q }];
            let hits = |t: usize| beams[t][q].reached().hits(trees[t].tree());
            let (known, others) = self.forest.candidates(k, filter, hits);
            asked.users.extend(std::iter::repeat_n(q as u32, others.len()));
            asked.places.extend(others.iter().map(|item| trees[last].tree().leaf(*item)));
            found.push((known, others));
        }
        let leaves = trees[last].tree().layout().leaf_level();
        let mut scores = self.score(last, leaves, queries, &asked)?.into_iter();
        for (out, (known, others)) in out.iter_mut().zip(found) {
            let scored = others.into_iter().zip(scores.by_ref()).map(|(item, score)| Hit::new(item, score));
            out.assign(k, known.into_iter().chain(scored));
        }
        Ok(())
    }
}

impl Catalogue for DeviceForestIndex {
    fn n_items(&self) -> usize {
        self.forest.n_items()
    }
}

impl Retriever for DeviceForestIndex {
    type Query = [ItemId];

    fn top_k(&self, query: &[ItemId], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.top_k_batch(&[query], k, std::slice::from_ref(filter), std::slice::from_mut(out))
    }

    fn top_k_batch(
        &self,
        queries: &[&[ItemId]],
        k: usize,
        filters: &[ItemFilter<'_>],
        out: &mut [TopK],
    ) -> Result<(), QueryError> {
        check_batch(queries.len(), filters.len(), out)?;
        let chunks = queries.chunks(QUERIES).zip(out.chunks_mut(QUERIES)).enumerate();
        let results = chunks.map(|(t, (queries, out))| {
            let filters = if filters.len() == 1 { filters } else { &filters[t * QUERIES..][..queries.len()] };
            self.search(queries, k, filters, out)
        });
        all_or_none(results.collect(), out)
    }
}
