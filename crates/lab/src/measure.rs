//! Clocks and memory, as far as the operating system tells.

use std::time::Instant;

/// Highest resident memory of this process so far, in bytes.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// CPU time of all threads of this process, in seconds.
pub fn process_cpu_seconds() -> Option<f64> {
    clock(Clock::Process)
}

/// CPU time of the calling thread, in seconds.
pub fn thread_cpu_seconds() -> Option<f64> {
    clock(Clock::Thread)
}

#[derive(Clone, Copy)]
enum Clock {
    Process,
    Thread,
}

#[cfg(unix)]
fn clock(which: Clock) -> Option<f64> {
    let id = match which {
        Clock::Process => rustix::time::ClockId::ProcessCPUTime,
        Clock::Thread => rustix::time::ClockId::ThreadCPUTime,
    };
    let time = rustix::time::clock_gettime(id);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

#[cfg(not(unix))]
fn clock(_: Clock) -> Option<f64> {
    None
}

/// Wall and CPU time since it was started.
pub struct Stopwatch {
    wall: Instant,
    cpu: Option<f64>,
    read: fn() -> Option<f64>,
}

impl Stopwatch {
    /// Counts the CPU time of all threads.
    pub fn of_process() -> Self {
        Self { wall: Instant::now(), cpu: process_cpu_seconds(), read: process_cpu_seconds }
    }

    /// Counts the CPU time of the calling thread.
    pub fn of_thread() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu_seconds(), read: thread_cpu_seconds }
    }

    /// Seconds on the wall.
    pub fn wall_seconds(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    /// CPU seconds, where the system counts them.
    pub fn cpu_seconds(&self) -> Option<f64> {
        Some((self.read)()? - self.cpu?)
    }
}

/// The clocks of this process, as trainings are measured by them.
#[cfg(feature = "train")]
pub struct ProcessMeter(Instant);

#[cfg(feature = "train")]
impl Default for ProcessMeter {
    fn default() -> Self {
        Self(Instant::now())
    }
}

#[cfg(feature = "train")]
impl rectify_models::train::Meter for ProcessMeter {
    fn read(&self) -> rectify_models::train::Reading {
        rectify_models::train::Reading {
            wall_seconds: self.0.elapsed().as_secs_f64(),
            cpu_seconds: process_cpu_seconds(),
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

/// The value that a share `q` of the values does not exceed (nearest rank); NaN for none.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_unstable_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(quantile(&mut values, 0.5), 3.0);
        assert_eq!(quantile(&mut values, 0.9), 5.0);
        assert_eq!(quantile(&mut values, 0.0), 1.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_costs_cpu_time_and_memory_is_resident() {
        let watch = Stopwatch::of_thread();
        let mut x = 1u64;
        while watch.wall_seconds() < 0.02 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        let cpu = watch.cpu_seconds().unwrap_or(f64::NAN);
        assert!(cpu > 0.0 && cpu <= watch.wall_seconds() * 1.05, "{cpu}");
        assert!(peak_rss_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
