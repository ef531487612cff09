//! What an evaluation found, and how sure it is.

use rectify_core::UserId;
use serde::Serialize;

use crate::stats::{self, Bootstrap, Interval, TTest, Wilcoxon};
use crate::{Candidates, CompareError, Measure, Metric};

/// Values of metrics per user, aligned by user, so that two systems can be paired.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    candidates: Candidates,
    users: Vec<UserId>,
    metrics: Vec<Metric>,
    /// A value per user, or one alone for coverage.
    columns: Vec<Vec<f64>>,
    counts: Counts,
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Users evaluated.
    pub users: usize,
    /// Users skipped because nothing of theirs is held out.
    pub skipped_users: usize,
    /// True items of the evaluated users.
    pub true_items: usize,
    /// True items that their users were not offered, since they are training items too: missed by every system.
    pub unreachable_items: usize,
    /// Users whose list was shorter than the longest cut-off: a small catalogue, or a retriever that finds too little.
    pub short_lists: usize,
}

/// One line of a report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What.
    pub metric: Metric,
    /// Mean over users; for coverage the value of the system.
    pub value: f64,
    /// Interval of the mean; none for coverage.
    pub interval: Option<Interval>,
}

/// Two systems on one metric, over the same users; differences are first minus second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What.
    pub metric: Metric,
    /// Number of users.
    pub users: usize,
    /// Mean difference.
    pub mean_difference: f64,
    /// Bootstrap interval of the mean difference.
    pub interval: Interval,
    /// Is the mean difference zero?
    pub t_test: TTest,
    /// Are the differences symmetric about zero?
    pub wilcoxon: Wilcoxon,
}

impl Evaluation {
    pub(crate) const fn new(
        candidates: Candidates,
        users: Vec<UserId>,
        metrics: Vec<Metric>,
        columns: Vec<Vec<f64>>,
        counts: Counts,
    ) -> Self {
        Self { candidates, users, metrics, columns, counts }
    }

    /// What the true items competed with.
    #[must_use]
    pub const fn candidates(&self) -> Candidates {
        self.candidates
    }

    /// The users evaluated, ascending.
    #[must_use]
    pub fn users(&self) -> &[UserId] {
        &self.users
    }

    /// The metrics, in the order asked.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Values aligned with [`users`](Self::users); `None` for coverage and for a metric that was not asked for.
    #[must_use]
    pub fn per_user(&self, metric: Metric) -> Option<&[f64]> {
        self.column(metric).filter(|_| metric.measure() != Measure::Coverage)
    }

    /// Mean over users, or the system's coverage; `None` for a metric that was not asked for.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.column(metric).map(stats::mean)
    }

    /// Value and interval of every metric, in the order asked.
    ///
    /// # Errors
    /// Bootstrap settings out of range.
    pub fn summaries(&self, bootstrap: &Bootstrap) -> Result<Vec<Summary>, CompareError> {
        let per_user = |metric: &Metric| metric.measure() != Measure::Coverage;
        let columns = self.metrics.iter().zip(&self.columns);
        let paired: Vec<&[f64]> = columns.clone().filter(|(m, _)| per_user(m)).map(|(_, c)| c.as_slice()).collect();
        let mut intervals = bootstrap.mean_intervals(&paired)?.into_iter();
        Ok(columns
            .map(|(metric, column)| Summary {
                metric: *metric,
                value: stats::mean(column),
                interval: if per_user(metric) { intervals.next() } else { None },
            })
            .collect())
    }

    /// Repeats of one protocol as a single evaluation: the users of all of them, one after the other. Coverage becomes the
    /// mean of the repeats' coverage.
    ///
    /// # Errors
    /// No evaluation; other metrics or candidates than in the first.
    pub fn pooled(repeats: &[Self]) -> Result<Self, CompareError> {
        let Some((first, others)) = repeats.split_first() else { return Err(CompareError::NoRepeats) };
        let mut pooled = first.clone();
        for other in others {
            if other.candidates != first.candidates {
                return Err(CompareError::Protocols { expected: first.candidates, got: other.candidates });
            }
            let sums = &mut pooled.counts;
            sums.users += other.counts.users;
            sums.skipped_users += other.counts.skipped_users;
            sums.true_items += other.counts.true_items;
            sums.unreachable_items += other.counts.unreachable_items;
            sums.short_lists += other.counts.short_lists;
            pooled.users.extend_from_slice(&other.users);
            for (metric, column) in first.metrics.iter().zip(&mut pooled.columns) {
                let missing = || CompareError::NoValues { metric: *metric, held: other.metrics.clone() };
                column.extend_from_slice(other.column(*metric).ok_or_else(missing)?);
            }
        }
        Ok(pooled)
    }

    /// Compares with another system on the same users under the same protocol.
    ///
    /// # Errors
    /// Other users, another protocol, a metric without values per user in either, or fewer than two users.
    pub fn compare(&self, other: &Self, metric: Metric, bootstrap: &Bootstrap) -> Result<Comparison, CompareError> {
        if self.candidates != other.candidates {
            return Err(CompareError::Protocols { expected: self.candidates, got: other.candidates });
        }
        if self.users != other.users {
            return Err(CompareError::Users { expected: self.users.len(), got: other.users.len() });
        }
        let values = |evaluation: &Self| {
            let missing = || CompareError::NoValues { metric, held: evaluation.metrics.clone() };
            evaluation.per_user(metric).map(<[f64]>::to_vec).ok_or_else(missing)
        };
        let (a, b) = (values(self)?, values(other)?);
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        Ok(Comparison {
            metric,
            users: a.len(),
            mean_difference: stats::mean(&differences),
            interval: bootstrap.mean_interval(&differences)?,
            t_test: stats::paired_t_test(&a, &b)?,
            wilcoxon: stats::wilcoxon_signed_rank(&a, &b)?,
        })
    }

    fn column(&self, metric: Metric) -> Option<&[f64]> {
        self.metrics.iter().position(|m| *m == metric).map(|at| self.columns[at].as_slice())
    }
}
