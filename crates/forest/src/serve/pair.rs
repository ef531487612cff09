//! A tree with the model that was trained on it.

use rectify_core::{Catalogue, ItemFilter, ItemId, QueryError, Scorer, TopK, check_len};

use super::beam::{Beam, Reached};
use super::model::{Network, Profile, Scratch};
use super::{NetworkError, Tree};

/// A tree and a preference model for its nodes.
///
/// As a [`Scorer`] it gives the preference for an item's leaf, whatever a beam would have reached. A query is a history of items,
/// newest first; what the model's windows have no room for is left out, an empty one is answered too.
#[derive(Clone, Debug)]
pub struct TreeModel {
    tree: Tree,
    network: Network,
}

/// What a query needs and leaves nothing in; one for each thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    profile: Profile,
    scratch: Scratch,
    rows: Vec<u32>,
    pub(crate) beam: Beam,
}

impl TreeModel {
    /// Puts a tree and a model of as many nodes together.
    ///
    /// # Errors
    /// [`NetworkError::Nodes`].
    pub fn new(tree: Tree, network: Network) -> Result<Self, NetworkError> {
        let (expected, got) = (tree.layout().n_nodes(), network.n_nodes());
        if expected == got { Ok(Self { tree, network }) } else { Err(NetworkError::Nodes { expected, got }) }
    }

    /// The tree.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The model.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Fails if a history holds an unknown item.
    pub(crate) fn check_query(&self, query: &[ItemId]) -> Result<(), QueryError> {
        let n_items = self.tree.n_items();
        match query.iter().find(|item| item.index() >= n_items) {
            Some(&item) => Err(QueryError::UnknownItem { item, n_items }),
            None => Ok(()),
        }
    }

    /// Scores nodes of one level, by place, for a checked history.
    pub(crate) fn score_places(
        &self,
        query: &[ItemId],
        level: u32,
        places: &[u32],
        work: &mut Workspace,
        out: &mut [f32],
    ) -> Result<(), QueryError> {
        let Workspace { profile, scratch, rows, .. } = work;
        profile.fill(&self.tree, level, query, self.network.shape());
        rows.clear();
        rows.extend(places.iter().map(|&place| self.tree.layout().row(level, place)));
        self.network.score(profile, rows, scratch, out);
        match out.iter().position(|score| score.is_nan()) {
            Some(position) => Err(QueryError::NotFinite { position: places[position] as usize, value: f32::NAN }),
            None => Ok(()),
        }
    }

    /// The leaves that a beam reaches, for a checked history.
    pub(crate) fn reach<'w>(
        &self,
        query: &[ItemId],
        beam_width: usize,
        work: &'w mut Workspace,
    ) -> Result<Reached<'w>, QueryError> {
        let mut beam = std::mem::take(&mut work.beam);
        let outcome = beam
            .search(self.tree.layout(), beam_width, |level, places, out| {
                self.score_places(query, level, places, work, out)
            })
            .map(|_| ());
        work.beam = beam;
        outcome?;
        Ok(work.beam.reached())
    }

    /// Beam search in this tree alone: the best `k` of the leaves that a beam of `beam_width` (or `k`, if that is more) reaches;
    /// returns how many nodes were scored.
    ///
    /// # Errors
    /// A history with an unknown item, or a preference that is not a number.
    pub fn search(
        &self,
        query: &[ItemId],
        beam_width: usize,
        k: usize,
        filter: &ItemFilter<'_>,
        out: &mut TopK,
    ) -> Result<usize, QueryError> {
        out.clear();
        self.check_query(query)?;
        let mut work = Workspace::default();
        let reached = self.reach(query, beam_width.max(k), &mut work)?;
        out.assign(k, reached.hits(&self.tree).filter(|hit| filter.allows(hit.item)));
        Ok(reached.n_scored)
    }
}

impl Catalogue for TreeModel {
    fn n_items(&self) -> usize {
        self.tree.n_items()
    }
}

impl Scorer for TreeModel {
    type Query = [ItemId];

    fn score_into(&self, query: &[ItemId], items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", items.len(), out.len())?;
        self.check_query(query)?;
        let n_items = self.tree.n_items();
        if let Some(&item) = items.iter().find(|item| item.index() >= n_items) {
            return Err(QueryError::UnknownItem { item, n_items });
        }
        let leaves: Vec<u32> = items.iter().map(|item| self.tree.leaf(*item)).collect();
        self.score_places(query, self.tree.layout().leaf_level(), &leaves, &mut Workspace::default(), out)
    }

    fn score_all_into(&self, query: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("output", self.tree.n_items(), out.len())?;
        self.check_query(query)?;
        let leaves: Vec<u32> = (0..self.tree.n_items() as u32).map(|item| self.tree.leaf(ItemId(item))).collect();
        self.score_places(query, self.tree.layout().leaf_level(), &leaves, &mut Workspace::default(), out)
    }
}
