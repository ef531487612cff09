//! Scores of a frozen network, block by block of items.

use rectify_core::{Exhaustive, Hit, ItemFilter, ItemId, QueryError, Retriever, Scorer, TopK, UserId, check_len};
use rectify_tensor::kernels::{Activation, bias_act, dots, linear_bias_act, small_product};

use super::NeuMf;
use super::kernels::first_layer;
use super::parts::Layer;

/// Items scored together. A product of a large layer has this many rows, filled or not, so that the bits of a score depend neither on
/// how many items were asked nor on their order.
pub(super) const BLOCK: usize = 128;
/// Weights of a layer that stay in the nearest cache; its product sums each row alike, however many there are.
const SMALL: usize = 1 << 14;

/// What a query writes on its way.
pub(super) struct Scratch {
    pub(super) first: Vec<f32>,
    pub(super) layers: Vec<Vec<f32>>,
    products: Vec<f32>,
    scores: Vec<f32>,
}

impl NeuMf {
    /// Whether the product of a layer sums each row alike, however many there are.
    fn is_small((weight, bias): &Layer) -> bool {
        weight.len() <= SMALL && bias.len().is_multiple_of(32)
    }

    /// For blocks of up to `n` items.
    pub(super) fn scratch(&self, n: usize) -> Scratch {
        let rows = if self.parts.layers.iter().skip(1).all(Self::is_small) { n.min(BLOCK) } else { BLOCK };
        let layers = self.config.hidden.iter().map(|width| vec![0.0; rows * width]).collect();
        let first = self.config.hidden.first().map_or_else(Vec::new, |width| vec![0.0; *width]);
        Scratch { first, layers, products: Vec::new(), scores: vec![0.0; n.min(BLOCK)] }
    }

    /// The tower above the first layer's inputs of a block's items: `layers` of the scratch.
    pub(super) fn tower(&self, first: &[f32], scratch: &mut Scratch) {
        let Some(bottom) = scratch.layers.first_mut() else { return };
        let rows = first.len() / scratch.first.len();
        first_layer(&scratch.first, first, &mut bottom[..first.len()]);
        for (l, layer) in self.parts.layers.iter().enumerate().skip(1) {
            let (weight, bias) = layer;
            let (below, above) = scratch.layers.split_at_mut(l);
            let (below, above) = (&below[l - 1], &mut above[0]);
            if Self::is_small(layer) {
                let (n, k) = (bias.len(), weight.len() / bias.len());
                let above = &mut above[..rows * n];
                small_product((rows, n, k), &below[..rows * k], weight, false, above);
                bias_act(above, bias, Activation::Relu);
            } else {
                linear_bias_act(below, weight, bias, Activation::Relu, above);
            }
        }
    }

    /// Scores a block of items whose shares are given, `out.len() <= BLOCK`.
    fn score_block(&self, weighted: &[f32], products: &[f32], first: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
        self.tower(first, scratch);
        let gmf = self.config.gmf_dim;
        let n = out.len();
        match scratch.layers.last() {
            Some(top) => {
                let weights = &self.parts.output[gmf..];
                dots(weights, &top[..n * weights.len()], out);
            }
            None => out.fill(0.0),
        }
        if gmf > 0 {
            dots(weighted, products, &mut scratch.scores[..n]);
            out.iter_mut().zip(&scratch.scores).for_each(|(out, score)| *out += score);
        }
        out.iter_mut().for_each(|out| *out += self.parts.bias);
    }
}

impl Scorer for NeuMf {
    type Query = UserId;

    fn score_into(&self, user: &UserId, items: &[ItemId], out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", items.len(), out.len())?;
        let (product, embedding) = self.user(*user)?;
        self.known(items)?;
        let (gmf, width) = (self.config.gmf_dim, self.config.hidden.first().copied().unwrap_or(0));
        let (mut scratch, weighted) = (self.scratch(items.len()), self.weighted(product));
        self.user_first(embedding, &mut scratch.first);
        let mut first = Vec::with_capacity(BLOCK * width);
        for (items, out) in items.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let mut products = std::mem::take(&mut scratch.products);
            products.clear();
            first.clear();
            for item in items {
                products.extend_from_slice(&self.products[item.index() * gmf..][..gmf]);
                first.extend_from_slice(&self.first[item.index() * width..][..width]);
            }
            self.score_block(&weighted, &products, &first, &mut scratch, out);
            scratch.products = products;
        }
        Ok(())
    }

    fn score_all_into(&self, user: &UserId, out: &mut [f32]) -> Result<(), QueryError> {
        check_len("out", self.n_items, out.len())?;
        let (product, embedding) = self.user(*user)?;
        let (gmf, width) = (self.config.gmf_dim, self.config.hidden.first().copied().unwrap_or(0));
        let (mut scratch, weighted) = (self.scratch(self.n_items), self.weighted(product));
        self.user_first(embedding, &mut scratch.first);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let items = block * BLOCK..block * BLOCK + out.len();
            let products = &self.products[items.start * gmf..items.end * gmf];
            let first = &self.first[items.start * width..items.end * width];
            self.score_block(&weighted, products, first, &mut scratch, out);
        }
        Ok(())
    }
}

impl Retriever for NeuMf {
    type Query = UserId;

    fn top_k(&self, user: &UserId, k: usize, filter: &ItemFilter<'_>, out: &mut TopK) -> Result<(), QueryError> {
        out.clear();
        // With so many asked for, f32 has most items to score anyway.
        let few = k > 0 && k <= self.n_items / 8;
        let candidates = if few { self.candidates(*user, k, filter)? } else { None };
        let Some(candidates) = candidates else { return Exhaustive::new(self).top_k(user, k, filter, out) };
        let mut scores = vec![0.0; candidates.len()];
        self.score_into(user, &candidates, &mut scores)?;
        out.assign(k, candidates.iter().zip(&scores).map(|(item, score)| Hit { item: *item, score: *score }));
        Ok(())
    }
}
