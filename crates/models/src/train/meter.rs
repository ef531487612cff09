//! What training costs, as far as the caller measures it: this crate reads no clock.

/// A moment of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Seconds on the wall since any fixed moment.
    pub wall_seconds: f64,
    /// Seconds on the CPU, all threads, since any fixed moment, where the system counts them.
    pub cpu_seconds: Option<f64>,
    /// Highest resident memory of the process so far.
    pub peak_rss_bytes: Option<u64>,
}

impl Reading {
    /// Wall and CPU time since an earlier moment.
    pub(super) fn since(self, earlier: Self) -> (f64, Option<f64>) {
        let cpu = self.cpu_seconds.zip(earlier.cpu_seconds).map(|(now, then)| now - then);
        (self.wall_seconds - earlier.wall_seconds, cpu)
    }
}

/// The caller's clock.
pub trait Meter {
    /// Reads it.
    fn read(&self) -> Reading;
}

/// No clock: every training takes no time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn read(&self) -> Reading {
        Reading::default()
    }
}
