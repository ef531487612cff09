//! The preference model as its equations stand, in double precision: slow, plain, and what everything else is held against.

use super::PreferenceShape;

/// What stands between the product and the PReLU of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Norm {
    /// Batch norm over all rows given, then scale and shift.
    Batch,
    /// The shift alone: a norm that was folded into the weights.
    Folded,
}

/// ε under the root of the variance.
pub(crate) const EPSILON: f64 = 1e-5;

/// All parameters: embeddings, then the attention unit and the head (in the order of `WeightNames`), then weight, scale, shift and slope
/// of each layer.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) shape: PreferenceShape,
    pub(crate) blocks: Vec<Vec<f64>>,
}

/// Rows of the history's nodes (newest first, each position one) and the row of the node.
pub(crate) type Input = (Vec<u32>, u32);

fn prelu(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

/// `g_w = (1/s_w) Σ_{k in w} a_k e_k`, all windows in one vector.
pub(crate) fn pool(vectors: &[Vec<f64>], weights: &[f64], windows: &[usize], dim: usize) -> Vec<f64> {
    let mut pooled = Vec::new();
    let mut first = 0;
    for &size in windows {
        let mut g = vec![0.0; dim];
        for k in first..(first + size).min(vectors.len()) {
            for (g, e) in g.iter_mut().zip(&vectors[k]) {
                *g += weights[k] * e / size as f64;
            }
        }
        pooled.extend(g);
        first += size;
    }
    pooled
}

impl Reference {
    pub(crate) fn embedding(&self, row: u32) -> Vec<f64> {
        let dim = self.shape.embedding_dim;
        self.blocks[0][row as usize * dim..][..dim].to_vec()
    }

    fn attention(&self, e: &[f64], node: &[f64]) -> f64 {
        let a = self.shape.attention_dim;
        let [history, product, own, bias, slope, out, out_bias] = std::array::from_fn(|i| &self.blocks[1 + i]);
        let hidden = (0..a).map(|h| {
            let z: f64 = (0..e.len())
                .map(|d| e[d] * history[d * a + h] + e[d] * node[d] * product[d * a + h] + node[d] * own[d * a + h])
                .sum();
            out[h] * prelu(z + bias[h], slope[h])
        });
        hidden.sum::<f64>() + out_bias[0]
    }

    /// Outputs of all inputs, which are one batch.
    pub(crate) fn forward(&self, inputs: &[Input], norm: Norm) -> Vec<f64> {
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for (history, node) in inputs {
            let node = self.embedding(*node);
            let vectors: Vec<Vec<f64>> =
                history.iter().take(self.shape.history_len()).map(|row| self.embedding(*row)).collect();
            let weights: Vec<f64> = vectors.iter().map(|e| self.attention(e, &node)).collect();
            let mut row = pool(&vectors, &weights, &self.shape.windows, self.shape.embedding_dim);
            row.extend(node);
            rows.push(row);
        }
        for (i, (n_in, n_out)) in self.shape.layer_sizes().into_iter().enumerate() {
            let [weight, scale, shift, slope] = std::array::from_fn(|part| &self.blocks[10 + 4 * i + part]);
            for row in &mut rows {
                assert_eq!(row.len(), n_in);
                *row = (0..n_out).map(|o| (0..n_in).map(|d| row[d] * weight[d * n_out + o]).sum()).collect();
            }
            let n = rows.len() as f64;
            for o in 0..n_out {
                let mean = rows.iter().map(|row| row[o]).sum::<f64>() / n;
                let variance = rows.iter().map(|row| (row[o] - mean).powi(2)).sum::<f64>() / n;
                for row in &mut rows {
                    let y = match norm {
                        Norm::Batch => scale[o] * (row[o] - mean) / (variance + EPSILON).sqrt() + shift[o],
                        Norm::Folded => row[o] + shift[o],
                    };
                    row[o] = prelu(y, slope[o]);
                }
            }
        }
        let (head, bias) = (&self.blocks[8], self.blocks[9][0]);
        rows.iter().map(|row| row.iter().zip(head).map(|(x, w)| x * w).sum::<f64>() + bias).collect()
    }
}

#[test]
fn windows_pool_as_worked_out_by_hand() {
    let vectors = [vec![1.0, 0.0], vec![0.0, 1.0], vec![2.0, 2.0]];
    assert_eq!(pool(&vectors, &[0.5, 1.0, -0.25], &[1, 2], 2), [0.5, 0.0, -0.25, 0.25]);
    assert_eq!(pool(&[], &[], &[1, 2], 2), [0.0; 4], "padding leaves the windows at zero");
}

#[test]
fn batch_norm_takes_the_scale_of_a_product_away() {
    let shape = PreferenceShape { embedding_dim: 2, windows: vec![1], attention_dim: 1, layers: vec![2] };
    let mut model = Reference {
        shape,
        blocks: [
            &[0.3, -0.2, 0.5, 0.1, -0.4, 0.7][..],
            &[1.0, 0.5],
            &[0.2, -0.3],
            &[0.1, 0.4],
            &[0.0],
            &[0.25],
            &[1.0],
            &[0.1],
            &[1.0, -1.0],
            &[0.5],
            &[30.0, 20.0, -10.0, 40.0, 50.0, -60.0, 70.0, 80.0],
            &[1.0, 2.0],
            &[0.0, 0.5],
            &[0.25, 0.25],
        ]
        .map(<[f64]>::to_vec)
        .to_vec(),
    };
    let inputs = [(vec![0], 1), (vec![1], 2), (vec![], 0)];
    let before = model.forward(&inputs, Norm::Batch);
    model.blocks[10].iter_mut().for_each(|w| *w *= 100.0);
    for (before, after) in before.iter().zip(model.forward(&inputs, Norm::Batch)) {
        assert!((before - after).abs() < 1e-4, "{before} {after}");
    }
}
