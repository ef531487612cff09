//! A data set in numbers.

use serde::Serialize;

use crate::{Dataset, Interactions};

/// What [`describe`] counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// Name of the data set.
    pub name: String,
    /// Users, those without interactions included.
    pub n_users: usize,
    /// Items.
    pub n_items: usize,
    /// Pairs.
    pub n_interactions: usize,
    /// Share of all user-item pairs that are there, in 0..1.
    pub density: f64,
    /// Interactions a user.
    pub user_degrees: Quantiles,
    /// Interactions an item.
    pub item_degrees: Quantiles,
    /// Inequality of item popularity, 0 (all equal) to 1.
    pub item_gini: f64,
    /// Earliest and latest time, if times are known.
    pub time_span: Option<(i64, i64)>,
    /// Least and greatest weight, if weights are known.
    pub weight_range: Option<(f32, f32)>,
    /// Rows read.
    pub n_rows: u64,
    /// Rows that repeated a pair and were merged.
    pub n_duplicates: u64,
    /// Pairs of validation and test files that an earlier part had.
    pub n_repeated: u64,
    /// Number of categories, and of items that have one.
    pub categories: Option<(usize, usize)>,
    /// Size of the vocabulary, and number of items that have words.
    pub words: Option<(usize, usize)>,
    /// Pairs in the training, validation and test part of the files.
    pub fixed: Option<(usize, usize, usize)>,
}

/// Spread of counts; quantile `q` of `n` sorted numbers is number `round(q (n - 1))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Least.
    pub min: u32,
    /// A tenth is at most this.
    pub p10: u32,
    /// Half is at most this.
    pub median: u32,
    /// Nine tenths are at most this.
    pub p90: u32,
    /// Greatest.
    pub max: u32,
    /// Mean.
    pub mean: f64,
}

impl Quantiles {
    fn of(mut counts: Vec<u32>) -> Self {
        let Some(last) = counts.len().checked_sub(1) else { return Self::default() };
        counts.sort_unstable();
        let at = |q: f64| counts[(q * last as f64).round() as usize];
        let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / counts.len() as f64;
        Self { min: counts[0], p10: at(0.1), median: at(0.5), p90: at(0.9), max: counts[last], mean }
    }
}

/// Counts what a data set holds.
#[must_use]
pub fn describe(data: &Dataset) -> Description {
    let all = &data.interactions;
    let cells = all.n_users() as f64 * all.n_items() as f64;
    let range = |times: &[i64]| Some((*times.iter().min()?, *times.iter().max()?));
    let n_with = |rows: &crate::Ragged<u32>| rows.rows().filter(|row| !row.is_empty()).count();
    Description {
        name: data.name.clone(),
        n_users: all.n_users(),
        n_items: all.n_items(),
        n_interactions: all.n_interactions(),
        density: if cells > 0.0 { all.n_interactions() as f64 / cells } else { 0.0 },
        user_degrees: Quantiles::of(all.user_counts()),
        item_degrees: Quantiles::of(all.item_counts()),
        item_gini: gini(all.item_counts()),
        time_span: all.all_times().and_then(range),
        weight_range: all.all_weights().filter(|weights| !weights.is_empty()).map(|weights| {
            weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &w| (low.min(w), high.max(w)))
        }),
        n_rows: data.provenance.n_rows,
        n_duplicates: data.provenance.n_duplicates,
        n_repeated: data.provenance.n_repeated,
        categories: data.categories.as_ref().map(|categories| (categories.names().len(), n_with(categories.rows()))),
        words: data.text.as_ref().map(|text| (text.n_words(), n_with(text.rows()))),
        fixed: data.fixed.as_ref().map(|fixed| {
            let validation = fixed.validation.as_ref().map_or(0, Interactions::n_interactions);
            (fixed.train.n_interactions(), validation, fixed.test.n_interactions())
        }),
    }
}

/// Gini coefficient: `Σᵢ (2i − n − 1) xᵢ / (n Σ x)` over ascending `x₁..xₙ`.
fn gini(mut counts: Vec<u32>) -> f64 {
    counts.sort_unstable();
    let n = counts.len() as f64;
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    if total == 0.0 {
        return 0.0;
    }
    let weighted = |(i, &count): (usize, &u32)| (2.0 * (i as f64 + 1.0) - n - 1.0) * f64::from(count);
    counts.iter().enumerate().map(weighted).sum::<f64>() / (n * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gini_is_zero_for_equals_and_near_one_for_a_monopoly() {
        assert_eq!(gini(vec![3, 3, 3]), 0.0);
        assert_eq!(gini(vec![0, 0, 0, 8]), 0.75);
        assert_eq!(gini(vec![1, 3]), 0.25);
        assert_eq!((gini(vec![]), gini(vec![0, 0])), (0.0, 0.0));
    }

    #[test]
    fn quantiles_of_the_first_numbers() {
        let found = Quantiles::of((1..=11).rev().collect());
        assert_eq!((found.min, found.p10, found.median, found.p90, found.max, found.mean), (1, 2, 6, 10, 11, 6.0));
        assert_eq!(Quantiles::of(vec![]), Quantiles::default());
    }
}
