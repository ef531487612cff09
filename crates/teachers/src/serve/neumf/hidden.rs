//! The joint vectors of pairs, which students imitate.

use rectify_core::{Hidden, HiddenWidths, ItemId, QueryError, Teacher, UserId, check_len};

use super::NeuMf;
use super::scores::BLOCK;

impl Teacher for NeuMf {
    fn hidden(&self) -> Option<&dyn Hidden> {
        Some(self)
    }
}

impl Hidden for NeuMf {
    fn widths(&self) -> HiddenWidths {
        HiddenWidths { user: 0, item: 0, pair: self.config.joint_dim() }
    }

    fn user_into(&self, _: UserId, _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("a user has no vector of its own in NeuMF; ask for the vector of a pair".into()))
    }

    fn item_into(&self, _: ItemId, _: &mut [f32]) -> Result<(), QueryError> {
        Err(QueryError::Unsupported("an item has no vector of its own in NeuMF; ask for the vector of a pair".into()))
    }

    fn pairs_into(&self, pairs: &[(UserId, ItemId)], out: &mut [f32]) -> Result<(), QueryError> {
        let (joint, gmf) = (self.config.joint_dim(), self.config.gmf_dim);
        check_len("out", pairs.len() * joint, out.len())?;
        let width = self.config.hidden.first().copied().unwrap_or(0);
        let mut scratch = self.scratch(pairs.len());
        let mut start = 0;
        while start < pairs.len() {
            // Pairs of one user that stand together share the user's part.
            let user = pairs[start].0;
            let run = pairs[start..].iter().take(BLOCK).take_while(|pair| pair.0 == user).count();
            let (product, embedding) = self.user(user)?;
            self.user_first(embedding, &mut scratch.first);
            let items: Vec<ItemId> = pairs[start..start + run].iter().map(|pair| pair.1).collect();
            self.known(&items)?;
            let first: Vec<f32> =
                items.iter().flat_map(|item| &self.first[item.index() * width..][..width]).copied().collect();
            self.tower(&first, &mut scratch);
            for (j, item) in items.iter().enumerate() {
                let (left, right) = out[(start + j) * joint..(start + j + 1) * joint].split_at_mut(gmf);
                let item = &self.products[item.index() * gmf..][..gmf];
                left.iter_mut().zip(product).zip(item).for_each(|((out, p), q)| *out = p * q);
                if let Some(top) = scratch.layers.last() {
                    right.copy_from_slice(&top[j * right.len()..(j + 1) * right.len()]);
                }
            }
            start += run;
        }
        Ok(())
    }
}
