//! The step written on the graph: slower, shorter, and what the hand-written one is held against.

use rectify_tensor::{GraphError, Tensor, constant, ops, variable};

use super::{Distillation, Model, Recurrence, Similarity};

/// One gradient a leaf that has one.
type Gradients = Vec<Option<Vec<f32>>>;

/// Loss with L2, and the gradients of all users, the entering items, codebooks, forms, bias and the recurrence's matrices.
pub(super) fn gradients(model: &Model<'_>) -> Result<(f32, Gradients), GraphError> {
    let (config, batch, keys) = (model.config, &model.batch, model.encoder.keys);
    let d = model.teacher.dim();
    let table = |values: &[f32]| constant(values, &[values.len() / d, d]);
    let users = variable(&table(model.params.rows(model.users).values())?)?;
    let items = model.items.map_or(model.teacher.items(), |key| model.params.rows(key).values());
    let rows = batch.items.rows().iter().flat_map(|row| &items[*row as usize * d..][..d]);
    let entering = variable(&table(&rows.copied().collect::<Vec<f32>>())?)?;
    let dense = |key: Option<_>| {
        key.map(|key| {
            let param = model.params.dense(key);
            variable(&constant(param.values(), &param.shape())?)
        })
        .transpose()
    };
    let codebooks = dense(Some(keys.codebooks))?.expect("there are always codebooks");
    let (forms, bias, matrices) = (dense(keys.forms)?, dense(keys.bias)?, dense(keys.recurrence)?);

    // Encode.
    let w = config.n_codewords;
    let (mut x, mut y) = (entering.clone(), entering.zeros_like()?);
    for b in 0..config.n_codebooks {
        let codebook = codebooks.narrow(0, b * w, w)?;
        let form = forms.as_ref().map(|forms| forms.narrow(0, b * d, d)).transpose()?;
        let similarity = match (config.similarity, &form) {
            (Similarity::Bilinear, Some(form)) => {
                let plain = x.matmul(form)?.matmul(&codebook.t()?)?;
                match &bias {
                    Some(bias) => plain.broadcast_add(&bias.narrow(0, b, 1)?.matmul(&codebook.t()?)?)?,
                    None => plain,
                }
            }
            (Similarity::RepresentationOnly, Some(form)) => x.matmul(form)?,
            (Similarity::ScaledDot, _) => (x.matmul(&codebook.t()?)? / (d as f64).sqrt())?,
            (Similarity::Euclidean, _) => {
                x.unsqueeze(1)?.broadcast_sub(&codebook.unsqueeze(0)?)?.sqr()?.sum(2)?.neg()?
            }
            _ => x.matmul(&codebook.t()?)?,
        };
        let part = ops::select_codes(&similarity, &codebook, config.temperature as f32)?;
        y = (y + &part)?;
        let matrix = |m: usize| matrices.as_ref().expect("made for this rule").narrow(0, m * d, d);
        x = match config.recurrence {
            Recurrence::None => entering.clone(),
            Recurrence::Residual => (x - part)?,
            Recurrence::Projected => (x - part.matmul(&matrix(0)?)?)?,
            Recurrence::General => (x.matmul(&matrix(0)?)? - part.matmul(&matrix(1)?)?)?,
        };
    }

    // Rank.
    let pair_ids: Vec<u32> =
        batch.user_ids.iter().flat_map(|user| std::iter::repeat_n(*user, batch.n_negatives)).collect();
    let positive = ops::gather_dot(&users, &pair_ids, &y, &batch.pair_positives)?;
    let negative = ops::gather_dot(&users, &pair_ids, &y, batch.negative_slots())?;
    let mut loss = (ops::bpr(&positive, &negative)? / pair_ids.len() as f64)?;
    let occurring = ops::gather(&y, &batch.item_slots)?;
    let norms = (ops::gather(&users, &batch.user_ids)?.sqr()?.sum_all()? + occurring.sqr()?.sum_all()?)?;
    loss = (loss + (norms * (0.5 * config.l2 / batch.n as f64))?)?;

    // Distil.
    let teacher_users = table(model.teacher.users())?;
    let teacher_items = ops::gather(&table(model.teacher.items())?, &batch.item_ids)?;
    let inner_product = |weight: f64| -> Result<Tensor, GraphError> {
        let gap = (teacher_users.matmul(&teacher_items.t()?)? - users.matmul(&occurring.t()?)?)?;
        Ok((gap.sqr()?.mean_all()? * weight)?)
    };
    match config.distillation {
        Distillation::None => {}
        Distillation::Euclidean { weight } => {
            let gap = (ops::gather(&entering, &batch.item_slots)? - &occurring)?;
            loss = (loss + (gap.sqr()?.sum_all()? * (weight / batch.item_slots.len() as f64))?)?;
        }
        Distillation::InnerProduct { weight } => loss = (loss + inner_product(weight)?)?,
        Distillation::RankedInnerProduct { weight, ranking_weight, ranking_temperature } => {
            let dots = batch.item_ids[batch.n..].iter().zip(&pair_ids).map(|(item, user)| {
                let (p, q) = (model.teacher.user(*user as usize), model.teacher.item(*item as usize));
                p.iter().zip(q).map(|(p, q)| p * q).sum::<f32>()
            });
            let student = negative.reshape((batch.n, batch.n_negatives))?;
            let ranking =
                ops::softmax_cross_entropy(&student, &dots.collect::<Vec<f32>>(), ranking_temperature as f32)?;
            loss = ((loss + inner_product(weight)?)? + (ranking * (ranking_weight / batch.n as f64))?)?;
        }
    }

    let found = loss.backward()?;
    let mut all = Vec::new();
    for leaf in [Some(users), Some(entering), Some(codebooks), forms, bias, matrices] {
        let gradient = leaf.and_then(|leaf| found.get(&leaf).map(ops::to_vec)).transpose()?;
        all.push(gradient);
    }
    Ok((loss.to_scalar()?, all))
}
