//! A forest, served.

mod with_users;

use rectify_core::artifact::{Artifact, ArtifactError, ArtifactWriter};
use rectify_core::{
    Catalogue, Format, Hit, Index, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, Violation, check_len,
};
use serde::{Deserialize, Serialize};

use super::beam::Beam;
use super::pair::Workspace;
use super::tree::LEAF_CODES;
use super::{ForestError, Network, PreferenceShape, Tree, TreeModel};

/// How a forest is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// Nodes kept on each level (`B`), at least 1; a search for more than that many items keeps as many as it is asked for.
    /// Default 150.
    pub beam_width: usize,
    /// What each tree of several adds to the candidates. Default its best `k`.
    pub candidates: Candidates,
}

/// What each tree of several adds to the candidates.
///
/// **Reading**: the paper says "some candidates".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Candidates {
    /// As many as the answer holds.
    #[default]
    TopK,
    /// As many as the beam holds.
    Beam,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { beam_width: 150, candidates: Candidates::TopK }
    }
}

/// What a file says of a forest beside its arrays.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    n_items: usize,
    n_trees: usize,
    search: SearchConfig,
    shape: PreferenceShape,
}

/// Trees with their models, searched by beam (DeFoRec, section 3.3).
///
/// - **Query**: a history of items, newest first; see [`TreeModel`].
/// - **Search**: a beam in each tree; the candidates of all trees, each once, are ranked by the discriminator, which is the last model
///   at the leaves of the last tree, or any scorer ([`with_discriminator`](Self::with_discriminator)).
/// - **Score**: the discriminator's. Equal scores go to the lower id.
/// - **Filter**: items that may not be returned are left out of the candidates of each tree, so an answer can have fewer than `k` items
///   where the beam reaches few others.
///
/// A beam as wide as the leaf level is exact search by the discriminator.
#[derive(Clone, Debug)]
pub struct ForestIndex {
    trees: Vec<TreeModel>,
    search: SearchConfig,
}

impl ForestIndex {
    /// A forest of at least one tree, in the order in which they were learned.
    ///
    /// # Errors
    /// [`ForestError`]: no trees, trees that do not fit each other, a beam of width 0.
    pub fn new(trees: Vec<TreeModel>, search: SearchConfig) -> Result<Self, ForestError> {
        let first = trees.first().ok_or(ForestError::Empty)?;
        if search.beam_width == 0 {
            return Err(ForestError::BeamWidth);
        }
        for (tree, other) in trees.iter().enumerate() {
            let (expected, got) = (first.tree().n_items(), other.tree().n_items());
            if expected != got {
                return Err(ForestError::Items { tree, expected, got });
            }
            if other.network().shape() != first.network().shape() {
                return Err(ForestError::Shape { tree });
            }
        }
        Ok(Self { trees, search })
    }

    /// The trees with their models, in the order in which they were learned.
    #[must_use]
    pub fn trees(&self) -> &[TreeModel] {
        &self.trees
    }

    /// The last tree and model, which rank the candidates.
    ///
    /// # Panics
    /// Never: a forest has a tree.
    #[must_use]
    pub fn last(&self) -> &TreeModel {
        self.trees.last().expect("a forest has a tree")
    }

    /// How it is searched.
    #[must_use]
    pub const fn search_config(&self) -> SearchConfig {
        self.search
    }

    /// The same forest, searched in another way.
    ///
    /// # Errors
    /// [`ForestError::BeamWidth`].
    pub fn with_search(self, search: SearchConfig) -> Result<Self, ForestError> {
        Self::new(self.trees, search)
    }

    /// The forest as it was after its first `n` trees; the last of them ranks.
    ///
    /// # Errors
    /// [`ForestError::Trees`].
    pub fn first_trees(mut self, n: usize) -> Result<Self, ForestError> {
        let n_trees = self.trees.len();
        if !(1..=n_trees).contains(&n) {
            return Err(ForestError::Trees { n_trees, got: n });
        }
        self.trees.truncate(n);
        Ok(self)
    }

    /// A forest whose candidates are ranked by `scorer`.
    ///
    /// # Errors
    /// [`QueryError::Length`] if it knows another number of items.
    pub fn with_discriminator<S: Scorer<Query = [ItemId]>>(
        &self,
        scorer: S,
    ) -> Result<Discriminated<'_, S>, QueryError> {
        check_len("the discriminator's catalogue", self.last().tree().n_items(), scorer.n_items())?;
        Ok(Discriminated { forest: self, scorer })
    }

    /// [`Retriever::top_k`] that tells how many nodes were scored, those for the last ranking included.
    ///
    /// # Errors
    /// A history with an unknown item, or a preference that is not a number.
    pub fn search(
        &self,
        query: &[ItemId],
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<usize, QueryError> {
        out.clear();
        self.last().check_query(query)?;
        if k == 0 {
            return Ok(0);
        }
        let (beams, mut n_scored) = self.reach(query, k)?;
        let hits = |t: usize| beams[t].reached().hits(self.trees[t].tree());
        let (mut known, others) = self.candidates(k, filter, hits);
        let mut scores = vec![0.0; others.len()];
        self.last().score_into(query, &others, &mut scores)?;
        n_scored += others.len();
        known.extend(others.iter().zip(&scores).map(|(&item, &score)| Hit::new(item, score)));
        out.assign(k, known);
        Ok(n_scored)
    }

    /// Where the beam of each tree comes to, for a checked history, and how many nodes were scored on the way.
    fn reach(&self, query: &[ItemId], k: usize) -> Result<(Vec<Beam>, usize), QueryError> {
        let beam_width = self.search.beam_width.max(k);
        let (mut work, mut beams, mut n_scored) = (Workspace::default(), Vec::new(), 0);
        for tree in &self.trees {
            n_scored += tree.reach(query, beam_width, &mut work)?.n_scored;
            beams.push(std::mem::take(&mut work.beam));
        }
        Ok((beams, n_scored))
    }

    /// The candidates of the last tree, whose beam has scored them as the discriminator does, and the items that only other trees
    /// found, ascending, each once. `hits` gives what a tree's beam reached.
    pub(crate) fn candidates<H: Iterator<Item = Hit>>(
        &self,
        k: usize,
        filter: &ItemFilter<'_>,
        hits: impl Fn(usize) -> H,
    ) -> (Vec<Hit>, Vec<ItemId>) {
        let n_candidates = match self.search.candidates {
            Candidates::TopK => k,
            Candidates::Beam => self.search.beam_width.max(k),
        };
        let (mut items, mut best) = (Vec::new(), TopK::new());
        for t in 0..self.trees.len() {
            best.assign(n_candidates, hits(t).filter(|hit| filter.allows(hit.item)));
            items.extend(best.items());
        }
        let known = best.hits().to_vec();
        let mut known_items: Vec<ItemId> = best.items().collect();
        known_items.sort_unstable();
        items.sort_unstable();
        items.dedup();
        items.retain(|item| known_items.binary_search(item).is_err());
        (known, items)
    }

    fn config(&self) -> Config {
        Config {
            n_items: self.last().tree().n_items(),
            n_trees: self.trees.len(),
            search: self.search,
            shape: self.last().network().shape().clone(),
        }
    }
}

impl Catalogue for ForestIndex {
    fn n_items(&self) -> usize {
        self.last().tree().n_items()
    }
}

impl Retriever for ForestIndex {
    type Query = [ItemId];

    fn top_k(&self, query: &[ItemId], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        self.search(query, k, filter, out).map(|_| ())
    }
}

/// The discriminator: the last model at the leaves of the last tree.
impl Scorer for ForestIndex {
    type Query = [ItemId];

    fn score_into(&self, query: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.last().score_into(query, items, out)
    }

    fn score_all_into(&self, query: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        self.last().score_all_into(query, out)
    }
}

impl Index for ForestIndex {
    fn format() -> Format {
        Format { kind: "forest-index", version: 1 }
    }

    fn size_bytes(&self) -> usize {
        // Of a tree a search reads the leaf and the item of each, and the code of each leaf.
        self.trees.iter().map(|tree| tree.network().size_bytes() + 12 * tree.tree().n_items()).sum()
    }

    fn write<'a>(&'a self, writer: &mut ArtifactWriter<'a>, prefix: &str) {
        writer.config_of(prefix, &self.config());
        for (t, pair) in self.trees.iter().enumerate() {
            let codes = pair.tree().leaf_codes();
            writer.array_owned(&format!("{prefix}tree{t}/{LEAF_CODES}"), &[codes.len()], &codes);
            pair.network().write_into(writer, &format!("{prefix}tree{t}"));
        }
    }

    fn read(artifact: &Artifact, prefix: &str) -> Result<Self, ArtifactError> {
        let Config { n_items, n_trees, search, shape } = artifact.config_of(prefix)?;
        let mut trees = Vec::new();
        for t in 0..n_trees {
            let name = format!("{prefix}tree{t}");
            let tree = Tree::read_from(artifact, &format!("{name}/{LEAF_CODES}"), n_items)?;
            let network = Network::read_from(artifact, &name, &shape, tree.layout().n_nodes())?;
            let pair = TreeModel::new(tree, network);
            trees.push(pair.map_err(|error| artifact.field_error(&name, error.to_string()))?);
        }
        Self::new(trees, search).map_err(|error| artifact.field_error(&format!("{prefix}n_trees"), error.to_string()))
    }

    fn validate(&self) -> Vec<Violation> {
        let of_tree = |(t, pair): (usize, &TreeModel)| {
            let found =
                pair.tree().validate().into_iter().chain(pair.network().violations(pair.tree().layout().n_nodes()));
            let named = move |v: Violation| Violation { field: format!("tree{t}/{}", v.field), ..v };
            found.map(named).collect::<Vec<_>>()
        };
        self.trees.iter().enumerate().flat_map(of_tree).collect()
    }
}

/// A forest whose candidates are ranked by a scorer of the user's choice.
#[derive(Clone, Debug)]
pub struct Discriminated<'a, S> {
    forest: &'a ForestIndex,
    scorer: S,
}

impl<S: Scorer<Query = [ItemId]>> Catalogue for Discriminated<'_, S> {
    fn n_items(&self) -> usize {
        self.forest.n_items()
    }
}

impl<S: Scorer<Query = [ItemId]>> Retriever for Discriminated<'_, S> {
    type Query = [ItemId];

    fn top_k(&self, query: &[ItemId], k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        self.forest.last().check_query(query)?;
        if k == 0 {
            return Ok(());
        }
        let (beams, _) = self.forest.reach(query, k)?;
        let hits = |t: usize| beams[t].reached().hits(self.forest.trees[t].tree());
        let (known, mut items) = self.forest.candidates(k, filter, hits);
        items.extend(known.iter().map(|hit| hit.item));
        items.sort_unstable();
        let mut scores = vec![0.0; items.len()];
        self.scorer.score_into(query, &items, &mut scores)?;
        if let Some(position) = scores.iter().position(|score| score.is_nan()) {
            return Err(QueryError::NotFinite { position: items[position].index(), value: f32::NAN });
        }
        out.assign(k, items.iter().zip(&scores).map(|(&item, &score)| Hit::new(item, score)));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
