//! Names and numbers in reports.

use crate::record::Record;

/// Models of some records, in their order.
pub(super) fn models<'a>(records: &[&'a Record]) -> Vec<(&'a str, &'a str)> {
    let mut models = Vec::new();
    for record in records {
        let key = (record.model.as_str(), record.variant.as_str());
        if !models.contains(&key) {
            models.push(key);
        }
    }
    models
}

/// Metrics of some records, in their order.
pub(super) fn metrics<'a>(records: &[&'a Record]) -> Vec<&'a str> {
    let mut metrics = Vec::new();
    for record in records {
        if !metrics.contains(&record.metric.as_str()) {
            metrics.push(record.metric.as_str());
        }
    }
    metrics
}

/// A number with about four digits.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size < 1.0 => format!("{value:.4}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// Seconds, as a person reads them.
pub(super) fn seconds(s: f64) -> String {
    if s < 0.0995 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 99.5 {
        format!("{s:.1} s")
    } else if s < 5970.0 {
        format!("{:.0} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3600.0)
    }
}

/// Bytes, likewise.
pub(super) fn bytes(b: f64) -> String {
    if b < 1e3 {
        format!("{b:.0} B")
    } else if b < 1e6 {
        format!("{:.1} kB", b / 1e3)
    } else if b < 1e9 {
        format!("{:.1} MB", b / 1e6)
    } else {
        format!("{:.2} GB", b / 1e9)
    }
}

/// Microseconds, likewise.
pub(super) fn microseconds(us: f64) -> String {
    if us < 100.0 {
        format!("{us:.1} µs")
    } else if us < 1e4 {
        format!("{us:.0} µs")
    } else {
        format!("{:.1} ms", us / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_chosen_by_size() {
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(65.04), "65.0 s");
        assert_eq!(seconds(600.0), "10 min");
        assert_eq!(bytes(1_234_567.0), "1.2 MB");
        assert_eq!(microseconds(12_345.0), "12.3 ms");
    }
}
