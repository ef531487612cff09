//! How a score moves with the vector that asks: what folding somebody in through the network needs.

use rectify_core::{Catalogue, ItemId, QueryError, check_len};

use super::network::input_dim;
use crate::CascadeItems;

impl CascadeItems<'_> {
    /// `∂y/∂P[u]` of an item's score at `vector`: as `D` and `y` are sums of relus without biases, `y = gradient · vector + b`.
    ///
    /// At the vector of zeros, where no unit is active, it is `w ⊙ Q[i]`.
    ///
    /// # Errors
    /// [`QueryError::UnknownItem`], a vector or `out` that is not [`embedding_dim`](crate::CascadeIndex::embedding_dim) long.
    pub fn gradient_into(&self, vector: &[f32], item: ItemId, out: &mut [f32]) -> Result<(), QueryError> {
        let network = self.index().network();
        let dim = network.dim;
        check_len("a vector", dim, vector.len())?;
        check_len("out", dim, out.len())?;
        if item.index() >= self.n_items() {
            return Err(QueryError::UnknownItem { item, n_items: self.n_items() });
        }
        let (q, n_modules) = (network.item(item.index()), network.n_modules());
        let z: Vec<f32> = vector.iter().zip(q).map(|(p, q)| p * q).collect();
        // What each module makes of a pair.
        let mut active: Vec<Vec<f32>> = Vec::with_capacity(n_modules);
        for stage in 0..n_modules {
            let mut h = vec![0.0; dim];
            let before = active.last().map_or(&[][..], |h| h);
            for (x, weights) in z.iter().chain(before).zip(network.weight(stage).chunks_exact(dim)) {
                if *x != 0.0 {
                    h.iter_mut().zip(weights).for_each(|(h, w)| *h += x * w);
                }
            }
            h.iter_mut().for_each(|h| *h = h.max(0.0));
            active.push(h);
        }
        // And back: of y with respect to z, and to what the module at hand made.
        let (head, tail) = network.head(n_modules).split_at(dim);
        out.copy_from_slice(head);
        let mut of_h = tail.to_vec();
        for stage in (0..n_modules).rev() {
            of_h.iter_mut().zip(&active[stage]).for_each(|(g, h)| *g = if *h > 0.0 { *g } else { 0.0 });
            let mut of_x = network.weight(stage).chunks_exact(dim).map(|weights| dot(weights, &of_h));
            out.iter_mut().zip(&mut of_x).for_each(|(g, x)| *g += x);
            let before: Vec<f32> = of_x.collect();
            debug_assert_eq!(before.len() + dim, input_dim(dim, stage));
            of_h = before;
        }
        out.iter_mut().zip(q).for_each(|(g, q)| *g *= q);
        Ok(())
    }
}

/// A product whose sixteen sums run side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a, b) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.0.iter().zip(b.0) {
        for l in 0..16 {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum::<f32>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use rectify_core::rng::Seed;

    use super::*;
    use crate::{CascadeIndex, CascadeParts, ModuleParts, Rejection};

    #[test]
    fn the_score_is_the_gradient_times_the_vector() {
        let mut rng = Seed(3).rng();
        let mut values = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.normal() as f32).collect() };
        for n_modules in 0..4 {
            let dim = 19;
            let module = |n: usize, values: &mut dyn FnMut(usize) -> Vec<f32>| ModuleParts {
                decision: values(input_dim(dim, n)),
                bias: 0.5,
                weight: values(input_dim(dim, n) * dim),
            };
            let parts = CascadeParts {
                embedding_dim: dim,
                users: vec![].into(),
                items: values(5 * dim).into(),
                modules: (0..n_modules).map(|n| module(n, &mut values)).collect(),
                score: values(input_dim(dim, n_modules)),
                score_bias: 0.25,
            };
            let index = CascadeIndex::new(parts, Rejection::learned(n_modules)).unwrap();
            let vector = values(dim);
            let mut gradient = vec![0.0; dim];
            for item in (0..5).map(ItemId) {
                index.items().gradient_into(&vector, item, &mut gradient).unwrap();
                let y = *index.items().values(&vector, item).unwrap().last().unwrap();
                let got = dot(&gradient, &vector) + 0.25;
                assert!((got - y).abs() <= 1e-4 * (1.0 + y.abs()), "{n_modules} modules: {got}, expected {y}");
            }
            assert!(index.items().gradient_into(&vector, ItemId(5), &mut gradient).is_err());
        }
    }
}
