//! The step written on the graph: slower, shorter, and what the hand-written one is held against.

use rectify_tensor::{DenseKey, GraphError, Tensor, constant, ops, variable};

use super::Training;
use crate::ScoreLoss;

/// Mean loss of the batch, and gradients: of the distinct users, the distinct items, then weight, head and bias of each stage, empty
/// where there is none.
pub(super) fn gradients(training: &mut Training<'_>) -> Result<(f32, Vec<Vec<f32>>), GraphError> {
    let (config, d) = (training.config, training.config.embedding_dim);
    let (pass, keys, params) = (&training.pass, &training.keys, &training.params);
    let n = pass.batch.users.len();
    let rows = |key, rows: &[u32]| {
        let table = params.rows(key);
        let values: Vec<f32> = rows.iter().flat_map(|row| table.row(*row)).copied().collect();
        variable(&constant(&values, &[rows.len(), d])?)
    };
    let users = rows(keys.users, pass.users.rows())?;
    let items = rows(keys.items, pass.items.rows())?;
    let mut leaves = vec![Some(users.clone()), Some(items.clone())];
    let mut leaf = |key: Option<DenseKey>| {
        let made = key.map(|key| variable(&constant(params.dense(key).values(), &params.dense(key).shape())?));
        leaves.push(made.transpose()?);
        Ok::<Option<Tensor>, GraphError>(leaves.last().cloned().flatten())
    };
    let slots = |ids: &[u32], rows: &[u32]| -> Vec<u32> {
        ids.iter().map(|id| rows.iter().position(|row| row == id).unwrap() as u32).collect()
    };
    let p = ops::gather(&users, &slots(&pass.batch.users, pass.users.rows()))?;
    let q = ops::gather(&items, &slots(&pass.batch.items, pass.items.rows()))?;
    let z = (p * q)?;
    let (mut x, mut loss) = (z.clone(), constant(&[0.0], &[1])?.sum_all()?);
    for stage in 0..=keys.modules.len() {
        let module = keys.modules.get(stage);
        let weight = leaf(module.map(|keys| keys.weight))?;
        let head = leaf(module.map_or(keys.score, |keys| Some(keys.decision)))?;
        let bias = leaf(module.map_or(keys.score_bias, |keys| keys.bias))?;
        let mut value = match head {
            Some(head) => x.matmul(&head)?.reshape(n)?,
            None => x.sum(1)?,
        };
        if let Some(bias) = bias {
            value = value.broadcast_add(&bias.reshape(1)?)?;
        }
        match weight {
            Some(weight) => {
                if config.decisions.is_some() {
                    let labels = constant(&pass.batch.labels[stage], &[n])?;
                    // max(0, 1 − D d)
                    let terms = ((value * labels)?.neg()? + 1.0)?.relu()?;
                    let factor = config.decision_weights.get(stage).copied().unwrap_or(1.0);
                    loss = (loss + (terms.sum_all()? * factor)?)?;
                }
                x = Tensor::cat(&[&z, &x.matmul(&weight)?.relu()?], 1)?;
            }
            None => {
                let term = match config.score_loss {
                    ScoreLoss::Bernoulli => ops::bce_with_logits(&value, &pass.batch.scores)?,
                    ScoreLoss::Gaussian => ((value - constant(&pass.batch.scores, &[n])?)?.sqr()?.sum_all()? * 0.5)?,
                };
                loss = (loss + term)?;
            }
        }
    }
    let loss = (loss / n as f64)?;
    let store = loss.backward()?;
    let values = leaves.iter().map(|leaf| match leaf.as_ref().and_then(|leaf| store.get(leaf)) {
        Some(gradient) => ops::to_vec(gradient),
        None => Ok(Vec::new()),
    });
    Ok((loss.to_scalar::<f32>()?, values.collect::<Result<_, _>>()?))
}
