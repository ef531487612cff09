//! The map from a teacher's item vectors to a student's, fitted when a student is distilled.

use rectify_core::{ItemId, ItemVectors};
use rectify_models::{Model, ModelError, Newcomers};
use rectify_tensor::linalg::Cholesky;

use crate::{Encoder, RecommendError};

/// Regularisation, as a share of the mean square of a teacher's coordinate: enough where some coordinate is constant.
const RIDGE: f64 = 1e-6;

/// `E = (TᵀT + λI)⁻¹ TᵀS` for item vectors T of the teacher and decoded ones S of the student; nothing where either has none.
pub(super) fn fit(teacher: &dyn Model, student: &dyn Model) -> Result<Option<Encoder>, RecommendError> {
    let (Newcomers::ByVector(teacher), Newcomers::ByVector(student)) = (teacher.newcomers(), student.newcomers())
    else {
        return Ok(None);
    };
    let (teacher, student): (&dyn ItemVectors, &dyn ItemVectors) = (teacher.items(), student.items());
    let (from, to) = (teacher.dim(), student.dim());
    let (mut square, mut right) = (vec![0.0f64; from * from], vec![0.0f64; from * to]);
    let (mut t, mut s) = (vec![0.0f32; from], vec![0.0f32; to]);
    for item in (0..teacher.n_items() as u32).map(ItemId) {
        teacher.item_vector_into(item, &mut t)?;
        student.item_vector_into(item, &mut s)?;
        for (i, &x) in t.iter().enumerate() {
            let x = f64::from(x);
            square[i * from..][..from].iter_mut().zip(&t).for_each(|(sum, y)| *sum += x * f64::from(*y));
            right[i * to..][..to].iter_mut().zip(&s).for_each(|(sum, y)| *sum += x * f64::from(*y));
        }
    }
    let trace: f64 = (0..from).map(|i| square[i * from + i]).sum();
    (0..from).for_each(|i| square[i * from + i] += (RIDGE * trace / from as f64).max(f64::MIN_POSITIVE));
    let singular =
        || ModelError::other("the teacher's item vectors are all zero: no encoder of new items can be fitted");
    let system = Cholesky::new(&square, from).ok_or_else(singular)?;
    let map = system.solve(&right, to);
    Ok(Some(Encoder::new(map.iter().map(|value| *value as f32).collect(), from, to)?))
}
