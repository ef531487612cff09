//! Plots as inline SVG, drawn by plotters.
//!
//! What plotters does not do is here: where labels go, so that they collide neither with each other nor with points, and which
//! points are dominated. Colours are written as those of the light theme; the page's style maps them for dark readers.

use std::ops::Range;

use anyhow::Result;
use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

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
    /// For positive values; linear where they span less than ten times, which has no power of ten to mark.
    Log,
}

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Line,
    /// A dot each of quality (y) against cost (x): those that another one beats in both are greyed, the front is joined.
    Pareto,
}

/// Points with a name.
pub(crate) struct Series {
    pub(crate) name: String,
    /// The same number gives the same colour in every plot.
    pub(crate) colour: usize,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Series {
    /// The last point: where its label belongs.
    fn end(&self) -> (f64, f64) {
        self.points.last().copied().unwrap_or_default()
    }
}

type Pixel = (i32, i32);

const SIZE: (u32, u32) = (560, 380);
/// Room beside the axes: for numbers and titles at the left and below, for labels at the right.
const EDGE: u32 = 6;
const LEFT: u32 = 62;
const BELOW: u32 = 46;
const RIGHT: u32 = 120;
const ABOVE: u32 = 16;
/// Sizes of letters; plotters' unit is about .8 pixels.
const TICK_SIZE: i32 = 14;
const NAME_SIZE: i32 = 15;
/// Least distance between two labels: a line of text.
const LABEL_HEIGHT: i32 = 14;
/// Width of a letter of a label, about.
const LABEL_ADVANCE: i32 = 7;
/// From a point to its label.
const LABEL_GAP: i32 = 11;

/// The colours of `style.css`, light; it knows them by these values.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x1F, 0x5F, 0xA8),
    RGBColor(0xC2, 0x57, 0x0C),
    RGBColor(0x1B, 0x7F, 0x5C),
    RGBColor(0xA3, 0x33, 0x6D),
    RGBColor(0x6A, 0x4F, 0xB3),
    RGBColor(0x8C, 0x6D, 0x08),
    RGBColor(0x0D, 0x7F, 0x92),
    RGBColor(0xB3, 0x31, 0x2C),
    RGBColor(0x5A, 0x64, 0x70),
    RGBColor(0x4F, 0x7A, 0x1C),
];
const INK: RGBColor = RGBColor(0x1D, 0x1C, 0x1A);
const SOFT: RGBColor = RGBColor(0x6B, 0x67, 0x60);
const GREY: RGBColor = RGBColor(0xA9, 0xA4, 0x9B);
const GRID: RGBColor = RGBColor(0xDD, 0xD9, 0xD1);

/// The plot as a figure of the page.
pub(crate) fn render(plot: &Plot) -> Result<Markup> {
    let mut svg = String::new();
    let y = span(plot.series.iter().flat_map(|s| s.points.iter().map(|p| p.1)));
    let xs = || plot.series.iter().flat_map(|s| s.points.iter().map(|p| p.0));
    let Range { start, end } = span(xs().map(f64::log10));
    if plot.x_scale == Scale::Log && end - start > 1.0 {
        let x = (10f64.powf(start)..10f64.powf(end)).log_scale();
        draw(plot, x.with_key_points(log_ticks(start, end)), y, &mut svg)?;
    } else {
        draw(plot, span(xs()), y, &mut svg)?;
    }
    // Inside a page the namespace is known.
    let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let points = plot.series.iter().filter_map(|s| s.points.last().map(|p| (s, p)));
    let described: Vec<String> =
        points.map(|(s, (x, y))| format!("{}: {y:.4} at {}", s.name, tick_label(*x))).collect();
    let described = format!("{}. {} by {}. {}", plot.title, plot.y_label, plot.x_label, described.join("; "));
    Ok(html! {
        figure.plot {
            figcaption { (plot.title) }
            div role="img" aria-label=(described) { (PreEscaped(svg)) }
        }
    })
}

fn draw<X>(plot: &Plot, x: X, y: Range<f64>, svg: &mut String) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin_top(ABOVE)
        .margin_left(EDGE)
        .margin_right(RIGHT)
        .x_label_area_size(BELOW)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(x, y)?;
    let text = |size: i32, colour: RGBColor| ("sans-serif", size).into_font().color(&colour);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(SOFT)
        .x_labels(6)
        .y_labels(6)
        .label_style(text(TICK_SIZE, SOFT))
        .axis_desc_style(text(NAME_SIZE, INK))
        .x_label_formatter(&|v| tick_label(*v))
        .y_label_formatter(&|v| tick_label(*v))
        .x_desc(&plot.x_label)
        .y_desc(&plot.y_label)
        .draw()?;

    let series: Vec<&Series> = plot.series.iter().filter(|s| !s.points.is_empty()).collect();
    let dominated = match plot.style {
        Style::Line => vec![false; series.len()],
        Style::Pareto => dominated(&series),
    };
    let colour = |i: usize| if dominated[i] { GREY } else { COLOURS[series[i].colour % COLOURS.len()] };
    match plot.style {
        Style::Line => {
            for (i, series) in series.iter().enumerate() {
                let points = series.points.iter().copied();
                chart.draw_series(LineSeries::new(points, colour(i).stroke_width(2)))?;
            }
        }
        Style::Pareto => {
            chart.draw_series(LineSeries::new(front(&series, &dominated), SOFT.stroke_width(1)))?;
        }
    }
    let radius = if plot.style == Style::Line { 3 } else { 5 };
    let ends: Vec<Pixel> = series.iter().map(|s| chart.backend_coord(&s.end())).collect();
    let widths: Vec<i32> = series.iter().map(|s| s.name.chars().count() as i32 * LABEL_ADVANCE).collect();
    for (i, (end, label)) in ends.iter().zip(place_labels(&ends, &widths)).enumerate() {
        root.draw(&Circle::new(*end, radius, colour(i).filled()))?;
        if (label.1 - end.1).abs() > 4 {
            let near = if label.0 < end.0 { label.0 + widths[i] + 2 } else { label.0 - 2 };
            root.draw(&PathElement::new(vec![*end, (near, label.1)], colour(i).stroke_width(1)))?;
        }
        let style =
            text(NAME_SIZE, if dominated[i] { SOFT } else { colour(i) }).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(series[i].name.as_str(), label, style))?;
    }
    root.present()?;
    Ok(())
}

/// The range of values with a margin; something around zero where there are none.
fn span(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    let margin = if high > low { (high - low) * 0.06 } else { 0.5_f64.min(low.abs().max(0.1)) };
    low - margin..high + margin
}

/// Values to mark between two powers of ten: those powers, with steps between them where they are few.
fn log_ticks(start: f64, end: f64) -> Vec<f64> {
    let within = |digits: &[f64]| -> Vec<f64> {
        (start.floor() as i32..=end.ceil() as i32)
            .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
            .filter(|value| (start..=end).contains(&value.log10()))
            .collect()
    };
    let choices = [[1.0].as_slice(), &[1.0, 3.0], &[1.0, 2.0, 5.0]];
    choices.into_iter().map(within).find(|ticks| ticks.len() >= 3).unwrap_or_else(|| within(choices[2]))
}

/// Which series have a rival that costs no more and is no worse, and better in one of the two.
fn dominated(series: &[&Series]) -> Vec<bool> {
    let beaten = |of: &&Series| {
        let (x, y) = of.end();
        series.iter().map(|s| s.end()).any(|(a, b)| a <= x && b >= y && (a < x || b > y))
    };
    series.iter().map(beaten).collect()
}

/// The best that a given cost buys, as steps from the cheapest to the dearest point that is not dominated.
fn front(series: &[&Series], dominated: &[bool]) -> Vec<(f64, f64)> {
    let kept = series.iter().zip(dominated).filter(|(_, beaten)| !**beaten);
    let mut points: Vec<(f64, f64)> = kept.map(|(s, _)| s.end()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (x, y) in points {
        steps.extend(steps.last().map(|last| (x, last.1)));
        steps.push((x, y));
    }
    steps
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

/// Where the labels of some points begin: right of each, or left, moved up or down as little as keeps them off other labels and
/// points and inside the picture. `widths[i]` is the length of label `i`.
fn place_labels(points: &[Pixel], widths: &[i32]) -> Vec<Pixel> {
    let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
    let mut placed: Vec<Pixel> = Vec::new();
    for (i, &(x, y)) in points.iter().enumerate() {
        let free = |&(left, at): &Pixel| {
            let right = left + widths[i];
            let off_labels = placed.iter().enumerate().all(|(j, &(other, other_y))| {
                (other_y - at).abs() >= LABEL_HEIGHT || other + widths[j] <= left || right <= other
            });
            let off_points = points.iter().enumerate().all(|(j, &(px, py))| {
                j == i || (py - at).abs() >= LABEL_HEIGHT * 4 / 5 || px + 5 <= left || right <= px - 5
            });
            let inside = right <= width && left >= LEFT as i32;
            off_labels && off_points && inside && (ABOVE as i32 - 6..=height - BELOW as i32 - 4).contains(&at)
        };
        let tries = (0..60).flat_map(|step| {
            let moved = (step + 1) / 2 * LABEL_HEIGHT / 2;
            let at = if step % 2 == 0 { y + moved } else { y - moved };
            [(x + LABEL_GAP, at), (x - LABEL_GAP - widths[i], at)]
        });
        let right_first = tries.clone().step_by(2).take(6).chain(tries);
        placed.push(right_first.into_iter().find(free).unwrap_or((x + LABEL_GAP, y)));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.into(), colour: 12, points: points.to_vec() }
    }

    fn plot(x_scale: Scale, style: Style, series: Vec<Series>) -> Plot {
        Plot { title: "t".into(), x_label: "x".into(), y_label: "y".into(), x_scale, style, series }
    }

    #[test]
    fn labels_keep_off_each_other_and_off_points_and_stay_where_there_is_room() {
        let points = [(200, 100), (200, 101), (200, 290), (230, 100), (400, 100), (500, 200)];
        let widths = [50; 6];
        let placed = place_labels(&points, &widths);
        assert_eq!((placed[2].1, placed[4].1), (290, 100), "nothing is near these");
        for (i, a) in placed.iter().enumerate() {
            assert!(a.0 + widths[i] <= SIZE.0 as i32, "{placed:?}");
            for (j, b) in placed.iter().enumerate().filter(|(j, _)| *j != i) {
                let beside = a.0 + widths[i] <= b.0 || b.0 + widths[j] <= a.0;
                assert!(beside || (a.1 - b.1).abs() >= LABEL_HEIGHT, "{i} and {j} in {placed:?}");
            }
        }
        // Right of the last there is no room.
        assert!(placed[5].0 < points[5].0, "{placed:?}");
    }

    #[test]
    fn a_log_axis_has_three_marks_at_least() {
        assert_eq!(log_ticks(0.9, 5.1), [10.0, 100.0, 1000.0, 10_000.0, 100_000.0]);
        assert_eq!(log_ticks(1.1, 2.2), [20.0, 50.0, 100.0]);
        assert_eq!(log_ticks(0.9, 2.1), [10.0, 30.0, 100.0]);
    }

    #[test]
    fn the_front_is_what_nothing_beats_in_both() {
        let all = [
            series("cheap", &[(1.0, 0.1)]),
            series("beaten", &[(3.0, 0.2)]),
            series("good", &[(2.0, 0.3)]),
            series("the same cost, worse", &[(2.0, 0.25)]),
            series("best", &[(9.0, 0.4)]),
        ];
        let all: Vec<&Series> = all.iter().collect();
        let beaten = dominated(&all);
        assert_eq!(beaten, [false, true, false, true, false]);
        assert_eq!(front(&all, &beaten), [(1.0, 0.1), (2.0, 0.1), (2.0, 0.3), (9.0, 0.3), (9.0, 0.4)]);
        let all = vec![series("kept", &[(1.0, 0.5)]), series("lost", &[(20.0, 0.2)])];
        let svg = render(&plot(Scale::Log, Style::Pareto, all)).unwrap().into_string();
        assert!(svg.contains("#A9A49B") && svg.contains("lost") && svg.contains("\n10\n"), "{svg}");
    }

    #[test]
    fn plots_of_one_point_and_of_none_have_finite_coordinates() {
        for points in [vec![(5.0, 0.2)], vec![]] {
            let only = vec![series("only <one>", &points)];
            let svg = render(&plot(Scale::Log, Style::Pareto, only)).unwrap().into_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(points.is_empty() || svg.contains("only &lt;one&gt;"), "{svg}");
        }
    }
}
