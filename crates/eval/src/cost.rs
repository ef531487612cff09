//! What an answer costs: time and memory.

use std::time::Duration;

use rectify_core::Index;
use serde::Serialize;

use crate::stats::{mean, percentile};

/// Latency of single queries, in microseconds. Percentiles interpolate linearly between samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Number of queries timed.
    pub queries: usize,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Slowest.
    pub max_us: f64,
}

impl Latency {
    /// Runs `query(0)`, …, `query(n − 1)` one after another, reading `clock` before and after each.
    ///
    /// Libraries read no clock, so the caller brings it: `|| start.elapsed()` for wall time, a thread's CPU time on a
    /// machine that is shared. `None` for no queries.
    ///
    /// # Errors
    /// The first error of `query`.
    pub fn measure<E>(
        queries: usize,
        mut clock: impl FnMut() -> Duration,
        mut query: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Option<Self>, E> {
        let mut samples = Vec::with_capacity(queries);
        for i in 0..queries {
            let before = clock();
            query(i)?;
            samples.push(clock().saturating_sub(before));
        }
        Ok(Self::of(&samples))
    }

    /// Sums up samples in any order; `None` of none.
    #[must_use]
    pub fn of(samples: &[Duration]) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.iter().map(|sample| sample.as_secs_f64() * 1e6).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            queries: sorted.len(),
            max_us: *sorted.last()?,
            mean_us: mean(&sorted),
            p50_us: percentile(&sorted, 0.5),
            p90_us: percentile(&sorted, 0.9),
            p99_us: percentile(&sorted, 0.99),
        })
    }
}

/// Bytes that a search reads, per item; `None` for an index without items.
#[must_use]
pub fn bytes_per_item<I: Index + ?Sized>(index: &I) -> Option<f64> {
    (!index.is_empty()).then(|| index.size_bytes() as f64 / index.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rectify_core::{ExactConfig, ExactIndex};

    #[test]
    fn latencies_are_the_differences_of_the_clock() {
        // Query i takes i + 1 microseconds; the clock itself takes none.
        let now = std::cell::Cell::new(Duration::ZERO);
        let latency = Latency::measure(
            101,
            || now.get(),
            |i| {
                now.set(now.get() + Duration::from_micros(i as u64 + 1));
                Ok::<_, ()>(())
            },
        );
        let latency = latency.unwrap().unwrap();
        let got = [latency.mean_us, latency.p50_us, latency.p90_us, latency.p99_us, latency.max_us];
        for (got, expected) in got.iter().zip([51.0, 51.0, 91.0, 100.0, 101.0]) {
            assert!((got - expected).abs() < 1e-9, "{latency:?}");
        }
        assert_eq!(latency.queries, 101);
    }

    #[test]
    fn a_failing_query_is_reported_and_no_query_has_no_latency() {
        assert_eq!(Latency::measure(3, || Duration::ZERO, |i| if i == 1 { Err(i) } else { Ok(()) }), Err(1));
        assert_eq!(Latency::measure(0, || Duration::ZERO, |_| Ok::<_, ()>(())), Ok(None));
    }

    #[test]
    fn bytes_of_an_exact_index_are_at_least_its_rows() {
        let index = ExactIndex::build(vec![0.0; 100 * 16], 16, &ExactConfig { first_pass: false }).unwrap();
        assert_eq!(bytes_per_item(&index), Some(64.0));
        let empty = ExactIndex::build(Vec::new(), 16, &ExactConfig::default()).unwrap();
        assert_eq!(bytes_per_item(&empty), None);
    }
}
