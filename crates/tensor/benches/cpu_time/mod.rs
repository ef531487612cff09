//! Time on the core instead of on the wall: benches of one thread on a shared machine.

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// CPU time of the calling thread, from `/proc/thread-self/schedstat` (a tick, some 4 ms, exact: let samples be long);
/// wall time where that does not exist.
pub(crate) struct CpuTime;

pub(crate) enum Start {
    Cpu(u64),
    Wall(Instant),
}

fn cpu_nanoseconds() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

impl Measurement for CpuTime {
    type Intermediate = Start;
    type Value = Duration;

    fn start(&self) -> Start {
        cpu_nanoseconds().map_or_else(|| Start::Wall(Instant::now()), Start::Cpu)
    }

    fn end(&self, start: Start) -> Duration {
        match (start, cpu_nanoseconds()) {
            (Start::Cpu(start), Some(end)) => Duration::from_nanos((end - start).max(1)),
            (Start::Wall(start), _) => start.elapsed(),
            (Start::Cpu(_), None) => panic!("the CPU clock went away"),
        }
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
