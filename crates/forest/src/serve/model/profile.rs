//! A history as one level of a tree sees it.

use rectify_core::ItemId;

use super::super::Tree;
use super::PreferenceShape;

/// What one node of a history adds to a window: `share` of its embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// Which of the distinct nodes.
    pub(crate) slot: u32,
    /// Which window.
    pub(crate) window: u32,
    /// Positions of that node in the window over the window's size.
    pub(crate) share: f32,
}

/// A history at one level: its distinct nodes, and which share each has of each window.
///
/// Equal nodes get equal attention, so work is done once for each distinct one; near the root there are few.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    /// Rows of the distinct nodes, in order of first appearance.
    pub(crate) rows: Vec<u32>,
    /// Windows ascending.
    pub(crate) parts: Vec<Part>,
}

impl Profile {
    /// The profile of `history` (newest first; what the windows have no room for is left out) at a level.
    ///
    /// # Panics
    /// If an item is not in the tree, or the level is not.
    pub(crate) fn fill(&mut self, tree: &Tree, level: u32, history: &[ItemId], shape: &PreferenceShape) {
        self.rows.clear();
        self.parts.clear();
        let mut items = history.iter();
        for (window, &size) in shape.windows.iter().enumerate() {
            let first = self.parts.len();
            for &item in items.by_ref().take(size) {
                let row = tree.layout().row(level, tree.ancestor(item, level));
                let slot = self.rows.iter().position(|known| *known == row).unwrap_or_else(|| {
                    self.rows.push(row);
                    self.rows.len() - 1
                }) as u32;
                let share = 1.0 / size as f32;
                match self.parts[first..].iter_mut().find(|part| part.slot == slot) {
                    Some(part) => part.share += share,
                    None => self.parts.push(Part { slot, window: window as u32, share }),
                }
            }
        }
    }
}
