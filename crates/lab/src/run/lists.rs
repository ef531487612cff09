//! Lists of a model: how long, for whom, at what cost.

use std::time::Instant;

use anyhow::Result;
use rectify_core::{Exhaustive, ItemFilter, Retriever, TopK, UserId};
use rectify_data::Interactions;
use rectify_eval::Cut;
use rectify_models::Answers;

use crate::experiment::Plan;
use crate::measure::{Stopwatch, quantile};
use crate::measurement::Measurement;
use crate::record::tidy;

/// Users whose top lists are timed.
const TIMED_USERS: usize = 101;
/// Users whose lists are compared with their teacher's: enough for two digits, few enough for slow teachers.
const COMPARED_USERS: usize = 1000;

/// The longest cut-off of a plan, within the catalogue.
pub(super) fn longest(plan: &Plan, n_items: usize) -> usize {
    let cuts = plan.metrics.iter().filter_map(|metric| match metric.cut() {
        Cut::At(k) => Some(k),
        Cut::Truth | Cut::All => None,
    });
    cuts.max().unwrap_or(100).min(n_items)
}

/// Users that are listed for in one call.
const BATCH: usize = 256;

/// Does `work` with the model's fastest way to lists.
fn with_lists<T>(model: Answers<'_>, work: impl FnOnce(&dyn Retriever<Query = UserId>) -> Result<T>) -> Result<T> {
    match model.retriever {
        Some(retriever) => work(retriever),
        None => work(&Exhaustive::new(model.scorer)),
    }
}

/// What lists cost, each as long as the longest cut-off.
pub(super) struct ListCost {
    /// Median wall time of one user's list, on this thread.
    pub(super) query_us: f64,
    /// CPU time of the lists of all users, where the plan asks for it.
    pub(super) all_users_seconds: Option<f64>,
}

impl ListCost {
    /// Measures a model.
    pub(super) fn of_model(model: Answers<'_>, plan: &Plan, train: &Interactions) -> Result<Self> {
        with_lists(model, |lists| Self::of(lists, plan, train))
    }

    /// Measures a way to lists.
    pub(super) fn of(lists: &dyn Retriever<Query = UserId>, plan: &Plan, train: &Interactions) -> Result<Self> {
        let k = longest(plan, train.n_items());
        let all_users_seconds = if plan.time_all_users { all_users_seconds(lists, k, train)?.map(tidy) } else { None };
        Ok(Self { query_us: tidy(query_us(lists, k, train)?), all_users_seconds })
    }
}

fn all_users_seconds(lists: &dyn Retriever<Query = UserId>, k: usize, train: &Interactions) -> Result<Option<f64>> {
    let users: Vec<UserId> = train.users().collect();
    let watch = Stopwatch::of_process();
    let mut tops = vec![TopK::new(); BATCH];
    for users in users.chunks(BATCH) {
        let filters: Vec<_> = users.iter().map(|u| ItemFilter::seen(train.items_of(*u))).collect::<Result<_, _>>()?;
        let queries: Vec<&UserId> = users.iter().collect();
        lists.top_k_batch(&queries, k, &filters, &mut tops[..users.len()])?;
    }
    Ok(watch.cpu_seconds())
}

/// At most so many users, spread over all.
fn spread(train: &Interactions, most: usize) -> impl Iterator<Item = UserId> {
    let step = (train.n_users() / most).max(1);
    (0..train.n_users()).step_by(step).map(|u| UserId(u as u32)).take(most)
}

/// Users whose lists are timed.
pub(super) fn timed_users(train: &Interactions) -> impl Iterator<Item = UserId> {
    spread(train, TIMED_USERS)
}

/// Overlap@K of a student with its teacher, K the longest cut-off; with its id.
pub(super) fn overlap_with_teacher(
    teacher: Answers<'_>,
    student: Answers<'_>,
    plan: &Plan,
    train: &Interactions,
) -> Result<(String, f64)> {
    let k = longest(plan, train.n_items());
    let users: Vec<UserId> = spread(train, COMPARED_USERS).collect();
    let share = with_lists(teacher, |teacher| {
        with_lists(student, |student| Ok(rectify_eval::overlap(teacher, student, train, &users, k)?))
    })?;
    Ok((Measurement::Overlap(k).id(), tidy(share)))
}

fn query_us(lists: &dyn Retriever<Query = UserId>, k: usize, train: &Interactions) -> Result<f64> {
    let mut top = TopK::new();
    let mut times = Vec::with_capacity(TIMED_USERS);
    for user in timed_users(train) {
        let filter = ItemFilter::seen(train.items_of(user))?;
        let start = Instant::now();
        lists.top_k(&user, k, &filter, &mut top)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(quantile(&mut times, 0.5))
}
