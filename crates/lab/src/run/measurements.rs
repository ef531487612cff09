//! What is measured of a model beside its quality: how much a cascade rejects, and what lists cost by batches of items.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use rectify_cascade::{BatchWise, CascadeIndex, Rejection, Stage};
use rectify_core::{Hit, ItemFilter, ItemId, Scorer, Selector, TopK, UserId};
use rectify_data::Interactions;
use rectify_models::Model;
use serde_json::Value;

use super::lists::timed_users;
use crate::measure::quantile;
use crate::measurement::{Curve, Measurement};
use crate::record::{Figure, Line, tidy};

/// Curves, and single numbers by id.
#[derive(Default)]
pub(super) struct Measurements {
    pub(super) figures: Vec<Figure>,
    pub(super) measured: BTreeMap<String, f64>,
}

/// Measures lists of length `k`; `batch_sizes` for what is timed by batches.
pub(super) fn of(
    model: &dyn Model,
    config: &Value,
    batch_sizes: &[usize],
    k: usize,
    train: &Interactions,
) -> Result<Measurements> {
    let mut found = Measurements::default();
    let users: Vec<UserId> = train.users().collect();
    if let Some(cascade) = model.cascade() {
        let cost = cascade.cost(&users, k)?;
        let per_pair = cost.multiply_adds as f64 / (users.len() * train.n_items()).max(1) as f64;
        found.measured.insert(Measurement::MultiplyAdds.id(), tidy(per_pair));
        let asked: Option<Vec<f64>> = serde_json::from_value(config["rejection_ratios"].clone()).ok();
        if let (Some(asked), Rejection::Above(_)) = (asked.filter(|a| !a.is_empty()), cascade.rejection()) {
            let pairs: Vec<[f64; 2]> = asked.into_iter().zip(cost.rejected()).map(|(a, got)| [a, tidy(got)]).collect();
            let gap = pairs.iter().map(|[asked, got]| (asked - got).abs()).fold(0.0, f64::max);
            found.measured.insert(Measurement::RejectionGap.id(), tidy(gap));
            let line = Line { name: String::new(), points: pairs };
            found.figures.push(figure(Curve::Rejection, ["asked for", "share rejected"], vec![line]));
        }
    }
    if !batch_sizes.is_empty() {
        found.figures.extend(by_batches(model, batch_sizes, k, train)?);
    }
    Ok(found)
}

/// Median wall time of a list, as a whole and stage by stage; items are sorted by popularity, which is not timed.
fn by_batches(model: &dyn Model, sizes: &[usize], k: usize, train: &Interactions) -> Result<[Figure; 2]> {
    let counts = train.item_counts();
    let mut order: Vec<ItemId> = (0..train.n_items() as u32).map(ItemId).collect();
    order.sort_by_key(|item| (std::cmp::Reverse(counts[item.index()]), *item));
    let n_modules = model.cascade().map_or(0, CascadeIndex::n_modules);
    let mut totals = Vec::new();
    let mut stages: Vec<Line> = Vec::new();
    for size in sizes {
        let batches = match model.cascade() {
            Some(cascade) => Some(cascade.batch_wise(&order, *size)?),
            None => None,
        };
        let mut spent: Vec<Vec<f64>> = Vec::new();
        for user in timed_users(train) {
            let filter = ItemFilter::seen(train.items_of(user))?;
            spent.push(match &batches {
                Some(lists) => staged(lists, n_modules, user, k, &filter)?,
                None => scored(model.answers().scorer, &order, *size, user, k, &filter)?,
            });
        }
        let names = (1..=n_modules).map(|n| format!("module {n}"));
        let names = names.chain(["scoring".to_owned(), "top-k".to_owned()]);
        for (stage, name) in names.enumerate() {
            let mut times: Vec<f64> = spent.iter().map(|times| times[stage]).collect();
            let point = [*size as f64, tidy(quantile(&mut times, 0.5))];
            match stages.get_mut(stage) {
                Some(line) => line.points.push(point),
                None => stages.push(Line { name, points: vec![point] }),
            }
        }
        let mut all: Vec<f64> = spent.iter().map(|times| times.iter().sum()).collect();
        totals.push([*size as f64, tidy(quantile(&mut all, 0.5))]);
    }
    let labels = ["items in a batch", "µs a list"];
    let total = vec![Line { name: String::new(), points: totals }];
    Ok([figure(Curve::ListTime, labels, total), figure(Curve::StageTime, labels, stages)])
}

fn figure(curve: Curve, [x_label, y_label]: [&str; 2], lines: Vec<Line>) -> Figure {
    Figure {
        id: curve.id().to_owned(),
        title: curve.title().to_owned(),
        x_label: x_label.to_owned(),
        y_label: y_label.to_owned(),
        lines,
    }
}

/// Microseconds of each module, of scoring and of choosing.
fn staged(lists: &BatchWise, n_modules: usize, user: UserId, k: usize, filter: &ItemFilter<'_>) -> Result<Vec<f64>> {
    let mut times = vec![0.0; n_modules + 2];
    let (mut stage, mut since) = (0, Instant::now());
    let mut on_stage = |next: Stage| {
        let now = Instant::now();
        times[stage] += (now - since).as_secs_f64() * 1e6;
        stage = match next {
            Stage::Module(n) => n - 1,
            Stage::Scoring => n_modules,
            Stage::TopK => n_modules + 1,
        };
        since = now;
    };
    lists.search(user, k, filter, &mut TopK::new(), &mut on_stage)?;
    times[stage] += since.elapsed().as_secs_f64() * 1e6;
    Ok(times)
}

/// Microseconds of scoring and of choosing, for a model that scores everything.
fn scored(
    scorer: &dyn Scorer<Query = UserId>,
    order: &[ItemId],
    size: usize,
    user: UserId,
    k: usize,
    filter: &ItemFilter<'_>,
) -> Result<Vec<f64>> {
    let (mut scores, mut selector, mut times) = (vec![0.0; size], Selector::new(k), vec![0.0; 2]);
    for items in order.chunks(size) {
        let start = Instant::now();
        scorer.score_into(&user, items, &mut scores[..items.len()])?;
        let middle = Instant::now();
        for (item, score) in items.iter().zip(&scores) {
            if *score >= selector.threshold() && filter.allows(*item) {
                selector.push(Hit { item: *item, score: *score });
            }
        }
        times[0] += (middle - start).as_secs_f64() * 1e6;
        times[1] += middle.elapsed().as_secs_f64() * 1e6;
    }
    let start = Instant::now();
    selector.finish_into(&mut TopK::new());
    times[1] += start.elapsed().as_secs_f64() * 1e6;
    Ok(times)
}
