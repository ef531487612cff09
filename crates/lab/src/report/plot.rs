//! Small plots as inline SVG.
//!
//! Drawn here rather than by a plotting crate since colours must follow the reader's light or dark theme: every stroke is
//! a CSS class of the page.

use maud::{Markup, html};

/// One plot; every series is labelled where it ends, so that no legend is needed.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) x_scale: Scale,
    pub(crate) style: Style,
    pub(crate) series: Vec<Series>,
}

/// How an axis maps values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// For positive values.
    Log,
}

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Line,
    Dots,
}

/// Points with a name.
pub(crate) struct Series {
    pub(crate) name: String,
    /// The same number gives the same colour in every plot.
    pub(crate) colour: usize,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 86.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 46.0;
/// Least distance between two labels, in user units: a line of text.
const LABEL_HEIGHT: f64 = 13.0;
/// Width of a letter of a label, about.
const LABEL_ADVANCE: f64 = 7.0;
/// From a point to its label.
const LABEL_GAP: f64 = 11.0;
/// Number of colour classes in the page's style.
const N_COLOURS: usize = 10;

/// Maps values to places along an axis.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, scale: Scale, start: f64, end: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|v| v.is_finite()) {
            let value = if scale == Scale::Log { value.log10() } else { value };
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let margin = if high > low { (high - low) * 0.06 } else { 0.5_f64.min(low.abs().max(0.1)) };
        Self { scale, low: low - margin, high: high + margin, start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Log { value.log10() } else { value };
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }

    /// Values to mark: steps of 1, 2 or 5 times a power of ten, at most about seven.
    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high),
            Scale::Log => {
                let within = |digits: &[f64]| -> Vec<f64> {
                    (self.low.floor() as i32..=self.high.ceil() as i32)
                        .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
                        .filter(|v| (self.low..=self.high).contains(&v.log10()))
                        .collect()
                };
                [[1.0].as_slice(), &[1.0, 3.0], &[1.0, 2.0, 5.0]]
                    .into_iter()
                    .map(within)
                    .find(|ticks| ticks.len() >= 3)
                    // A range of less than half a decade: plain steps.
                    .unwrap_or_else(|| linear_ticks(10f64.powf(self.low), 10f64.powf(self.high)))
            }
        }
    }
}

fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick's label, with k and M for thousands and millions.
fn tick_label(value: f64) -> String {
    let trim = |v: f64, unit: &str| {
        let text = format!("{v:.4}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value.abs() {
        a if a >= 1e9 => trim(value / 1e9, "G"),
        a if a >= 1e6 => trim(value / 1e6, "M"),
        a if a >= 1e4 => trim(value / 1e3, "k"),
        _ => trim(value, ""),
    }
}

/// Where the labels of some points go: right of each, moved up or down as little as keeps them off other labels and points.
///
/// `widths[i]` is the length of label `i`; the result is the y of each.
fn place_labels(points: &[(f64, f64)], widths: &[f64]) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        let (left, right) = (x + LABEL_GAP, x + LABEL_GAP + widths[i]);
        let free = |at: f64| {
            let off_labels = placed.iter().enumerate().all(|(j, &other)| {
                let (other_left, other_right) = (points[j].0 + LABEL_GAP, points[j].0 + LABEL_GAP + widths[j]);
                (other - at).abs() >= LABEL_HEIGHT || other_right <= left || right <= other_left
            });
            let off_points = points.iter().enumerate().all(|(j, &(px, py))| {
                j == i || (py - at).abs() >= LABEL_HEIGHT * 0.8 || px + 5.0 <= left || right <= px - 5.0
            });
            off_labels && off_points && (TOP - 6.0..=HEIGHT - BOTTOM).contains(&at)
        };
        let tries = (0..40).map(|step| {
            let moved = f64::from((step + 1) / 2) * LABEL_HEIGHT;
            if step % 2 == 0 { y + moved } else { y - moved }
        });
        placed.push(tries.into_iter().find(|at| free(*at)).unwrap_or(y));
    }
    placed
}

/// The plot as SVG that follows the page's theme.
pub(crate) fn render(plot: &Plot) -> Markup {
    let all = || plot.series.iter().flat_map(|s| s.points.iter());
    let x = Axis::new(all().map(|p| p.0), plot.x_scale, LEFT, WIDTH - RIGHT);
    let y = Axis::new(all().map(|p| p.1), Scale::Linear, HEIGHT - BOTTOM, TOP);
    let ends: Vec<(f64, f64)> = plot
        .series
        .iter()
        .map(|s| s.points.last().map_or((LEFT, TOP), |&(px, py)| (x.place(px), y.place(py))))
        .collect();
    let widths: Vec<f64> = plot.series.iter().map(|s| s.name.chars().count() as f64 * LABEL_ADVANCE).collect();
    let labels = place_labels(&ends, &widths);
    let described = plot
        .series
        .iter()
        .filter_map(|s| s.points.last().map(|p| format!("{}: {:.4} at {}", s.name, p.1, tick_label(p.0))))
        .collect::<Vec<_>>()
        .join("; ");
    html! {
        figure.plot {
            figcaption { (plot.title) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{}. {} by {}. {described}", plot.title, plot.y_label, plot.x_label)) {
                g.grid {
                    @for tick in y.ticks() {
                        line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(y.place(tick))) y2=(px(y.place(tick))) {}
                        text.tick x=(LEFT - 7.0) y=(px(y.place(tick) + 4.0)) text-anchor="end" { (tick_label(tick)) }
                    }
                    @for tick in x.ticks() {
                        line.short x1=(px(x.place(tick))) x2=(px(x.place(tick))) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 5.0) {}
                        text.tick x=(px(x.place(tick))) y=(HEIGHT - BOTTOM + 18.0) text-anchor="middle" { (tick_label(tick)) }
                    }
                    line.base x1=(LEFT) x2=(WIDTH - RIGHT) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
                }
                text.axis x=(px(f64::midpoint(LEFT, WIDTH - RIGHT))) y=(HEIGHT - 6.0) text-anchor="middle" { (plot.x_label) }
                text.axis transform=(format!("translate(12 {}) rotate(-90)", px(f64::midpoint(TOP, HEIGHT - BOTTOM)))) text-anchor="middle" { (plot.y_label) }
                @for (i, series) in plot.series.iter().enumerate() {
                    g class=(format!("c{}", series.colour % N_COLOURS)) {
                        @if plot.style == Style::Line {
                            polyline points=(series.points.iter().map(|&(a, b)| format!("{},{}", px(x.place(a)), px(y.place(b)))).collect::<Vec<_>>().join(" ")) {}
                        }
                        @let (end_x, end_y) = ends[i];
                        circle cx=(px(end_x)) cy=(px(end_y)) r=(if plot.style == Style::Dots { 5.0 } else { 3.0 }) {
                            title { (series.name) }
                        }
                        @if (labels[i] - end_y).abs() > 4.0 {
                            polyline.leader points=(format!("{},{} {},{}", px(end_x), px(end_y), px(end_x + 9.0), px(labels[i]))) {}
                        }
                        text.label x=(px(end_x + LABEL_GAP)) y=(px(labels[i] + 4.0)) { (series.name) }
                    }
                }
            }
        }
    }
}

/// A coordinate with one decimal: more would be noise in the file.
fn px(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round_numbers_inside_the_range() {
        let ticks = linear_ticks(0.03, 0.19);
        let rounded: Vec<i64> = ticks.iter().map(|t| (t * 1000.0).round() as i64).collect();
        assert_eq!(rounded, [50, 100, 150]);
    }

    #[test]
    fn a_log_axis_marks_powers_of_ten_and_places_them_evenly() {
        let axis = Axis::new([10.0, 100_000.0].into_iter(), Scale::Log, 0.0, 100.0);
        let ticks: Vec<String> = axis.ticks().into_iter().map(tick_label).collect();
        assert_eq!(ticks, ["10", "100", "1000", "10k", "100k"]);
        let (a, b, c) = (axis.place(10.0), axis.place(100.0), axis.place(1000.0));
        assert!((b - a - (c - b)).abs() < 1e-9);
    }

    #[test]
    fn labels_keep_off_each_other_and_off_points_and_stay_where_there_is_room() {
        let points = [(100.0, 100.0), (100.0, 101.0), (100.0, 290.0), (130.0, 100.0), (300.0, 100.0)];
        let placed = place_labels(&points, &[50.0; 5]);
        assert_eq!((placed[2], placed[4]), (290.0, 100.0), "nothing is near these");
        for i in 0..3 {
            for j in 0..i {
                assert!((placed[i] - placed[j]).abs() >= LABEL_HEIGHT, "{placed:?}");
            }
        }
        // The first label would cover the point at x = 130.
        assert!((placed[0] - 100.0).abs() >= LABEL_HEIGHT * 0.8, "{placed:?}");
    }

    #[test]
    fn a_plot_of_a_single_point_has_finite_coordinates() {
        let series = vec![Series { name: "only <one>".into(), colour: 12, points: vec![(5.0, 0.2)] }];
        let plot = Plot {
            title: "t".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            x_scale: Scale::Log,
            style: Style::Dots,
            series,
        };
        let svg = render(&plot).into_string();
        assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("only &lt;one&gt;"), "{svg}");
    }
}
