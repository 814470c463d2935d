//! Charts of what was given away when, drawn as SVG here: they need no script, and no style but the sheet's. Whoever can't see
//! them has the same as a sentence and as a table.

use std::fmt::Write;

use jiff::Timestamp;

use crate::history::series::{COMPLETED, OVER_HTTP, SENT, TO_PEERS};
use crate::history::{Figures, Series};
use crate::words;

/// A time that a chart shows, up to now.
#[derive(Debug)]
pub(super) struct Span {
    /// For addresses in the page.
    id: &'static str,
    title: &'static str,
    /// Of the series.
    level: usize,
    bars: usize,
    /// Periods that are one bar.
    group: usize,
    /// What a bar stands for.
    each: &'static str,
    start: &'static str,
}

/// What is shown of the box.
pub(super) const OF_THE_BOX: [Span; 4] = [
    Span::new("hour", "Last hour", 0, 60, 1, "in a minute", "an hour ago"),
    Span::new("day", "Last day", 0, 96, 15, "in a quarter of an hour", "a day ago"),
    Span::new("month", "Last month", 2, 31, 1, "in a day", "31 days ago"),
    Span::new("years", "Last two years", 2, 104, 7, "in a week", "two years ago"),
];

/// What is shown of an item or a member.
pub(super) const OF_ONE: [Span; 3] = [
    Span::new("day", "Last day", 0, 24, 1, "in an hour", "a day ago"),
    Span::new("month", "Last month", 1, 31, 1, "in a day", "31 days ago"),
    Span::new("years", "Last two years", 2, 104, 1, "in a week", "two years ago"),
];

/// From one bar to the next, in units of the drawing, which is stretched as wide as there is room.
const STEP: usize = 10;

/// Width of a bar.
const WIDTH: usize = 8;

/// Height of the highest bar.
const HEIGHT: u64 = 180;

/// Where bars stand: below the marks of completed downloads.
const GROUND: u64 = 200;

/// Height of a mark.
const MARK: u64 = 12;

/// A chart as the template has it.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// All of it, in a sentence.
    pub(super) summary: String,
    /// What the highest bar comes to; empty if there is none.
    pub(super) scale: String,
    pub(super) start: &'static str,
    pub(super) width: usize,
    pub(super) height: u64,
    /// Paths of the drawing.
    pub(super) to_peers: String,
    pub(super) over_http: String,
    pub(super) completed: String,
    /// Of the bars in which there was something, newest first.
    pub(super) rows: Vec<Row>,
}

/// A bar in figures.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) from: String,
    pub(super) to_peers: String,
    pub(super) over_http: String,
    pub(super) completed: u64,
}

impl Span {
    const fn new(
        id: &'static str,
        title: &'static str,
        level: usize,
        bars: usize,
        group: usize,
        each: &'static str,
        start: &'static str,
    ) -> Self {
        Self { id, title, level, bars, group, each, start }
    }

    /// The chart of this time until `now` (seconds since 1970).
    pub(super) fn chart(&self, series: &Series, now: i64) -> Chart {
        let bars = self.bars(series, now);
        let total = sum(&bars);
        let highest = bars.iter().map(|bar| given(*bar)).max().unwrap_or_default();
        let mut chart = Chart {
            id: self.id,
            title: self.title,
            summary: summary(total),
            scale: if highest == 0 {
                String::new()
            } else {
                format!("{} {}", words::bytes(highest), self.each)
            },
            start: self.start,
            width: self.bars * STEP,
            height: GROUND,
            to_peers: String::new(),
            over_http: String::new(),
            completed: String::new(),
            rows: self.rows(series, &bars, now),
        };
        for (x, bar) in (0..).step_by(STEP).zip(bars) {
            chart.draw(x, bar, highest);
        }
        chart
    }

    /// The sums of the bars, oldest first.
    fn bars(&self, series: &Series, now: i64) -> Vec<Figures> {
        series.last(self.level, self.bars * self.group, now).chunks(self.group).map(sum).collect()
    }

    fn rows(&self, series: &Series, bars: &[Figures], now: i64) -> Vec<Row> {
        let seconds = series.levels()[self.level].seconds;
        let begin = |age: usize| {
            let periods = i64::try_from(age * self.group + self.group - 1).unwrap_or(i64::MAX);
            let start = (now.div_euclid(seconds).saturating_sub(periods)).saturating_mul(seconds);
            let format = if seconds * 24 > 86_400 { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M UTC" };
            Timestamp::from_second(start)
                .map_or_else(|_| String::new(), |time| time.strftime(format).to_string())
        };
        let with_figures = bars.iter().rev().enumerate().filter(|(_, bar)| **bar != Figures::default());
        let row = |(age, bar): (usize, &Figures)| Row {
            from: begin(age),
            to_peers: words::bytes(bar[TO_PEERS]),
            over_http: words::bytes(bar[OVER_HTTP]),
            completed: bar[COMPLETED],
        };
        with_figures.map(row).collect()
    }
}

/// What a member was sent in each of the last 31 days, as a path in a drawing of 310 by 180; and all of it in words.
pub(super) fn of_a_member(series: &Series, now: i64) -> (String, String) {
    let bars = OF_ONE[1].bars(series, now);
    let highest = bars.iter().map(|bar| bar[SENT]).max().unwrap_or_default();
    let mut path = String::new();
    for (x, bar) in (0..).step_by(STEP).zip(&bars) {
        rectangle(&mut path, x, HEIGHT, scaled(bar[SENT], highest));
    }
    (path, words::bytes(sum(&bars)[SENT]))
}

/// A bar that stands on `ground`.
fn rectangle(path: &mut String, x: usize, ground: u64, height: u64) {
    if height > 0 {
        // Writing to a string does not fail.
        let _ = write!(path, "M{} {ground}v-{height}h{WIDTH}v{height}z", x + (STEP - WIDTH) / 2);
    }
}

impl Chart {
    /// One bar: what went over HTTP stands on what went to peers.
    fn draw(&mut self, x: usize, bar: Figures, highest: u64) {
        let to_peers = scaled(bar[TO_PEERS], highest);
        // So that both together are as high as their sum.
        let over_http = scaled(given(bar), highest).saturating_sub(to_peers);
        rectangle(&mut self.to_peers, x, GROUND, to_peers);
        rectangle(&mut self.over_http, x, GROUND - to_peers, over_http);
        if bar[COMPLETED] > 0 {
            rectangle(&mut self.completed, x, MARK, MARK);
        }
    }
}

/// The height of a bar: what is little can be seen too.
fn scaled(bytes: u64, highest: u64) -> u64 {
    if bytes == 0 || highest == 0 {
        return 0;
    }
    let height = u128::from(bytes) * u128::from(HEIGHT) / u128::from(highest);
    u64::try_from(height).unwrap_or(HEIGHT).clamp(2, HEIGHT)
}

/// All bytes that left.
fn given(figures: Figures) -> u64 {
    figures[TO_PEERS].saturating_add(figures[OVER_HTTP])
}

fn sum(periods: &[Figures]) -> Figures {
    let add = |a: Figures, b: &Figures| [0, 1, 2].map(|at| a[at].saturating_add(b[at]));
    periods.iter().fold(Figures::default(), add)
}

fn summary(total: Figures) -> String {
    let completed = words::count(total[COMPLETED], "download", "downloads");
    match (given(total), total[OVER_HTTP]) {
        (0, _) if total[COMPLETED] == 0 => "Nothing was given away.".into(),
        (all, 0) => format!("{} given away, {completed} completed.", words::bytes(all)),
        (all, http) if all == http => {
            format!("{} given away, all of it over HTTP; {completed} completed.", words::bytes(all))
        }
        (all, http) => format!(
            "{} given away, {} of that over HTTP; {completed} completed.",
            words::bytes(all),
            words::bytes(http)
        ),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::history::series;

    const NOW: i64 = 1_700_000_000;

    /// A series of the box in which something was given away now, and half as much half an hour ago.
    pub(in crate::web) fn some() -> (Series, i64) {
        let mut series = Series::new(&series::OF_THE_BOX);
        series.add(NOW, [3_000_000, 1_000_000, 2]);
        series.add(NOW - 1800, [2_000_000, 0, 0]);
        (series, NOW)
    }

    /// Heights of the bars of a path by their places.
    fn heights(path: &str) -> Vec<(usize, u64)> {
        let bar = |bar: &str| {
            let (x, rest) = bar.split_once(' ').unwrap();
            let height = rest.split_once("v-").unwrap().1.split('h').next().unwrap();
            (x.parse().unwrap(), height.parse().unwrap())
        };
        path.split('M').skip(1).map(bar).collect()
    }

    #[test]
    fn bars_are_as_high_as_what_was_given_away() {
        let (series, now) = some();
        let [hour, day, month, _] = OF_THE_BOX.map(|span| span.chart(&series, now));
        assert_eq!(heights(&hour.to_peers), [(291, 90), (591, 135)]);
        assert_eq!(heights(&hour.over_http), [(591, 45)]);
        assert_eq!(heights(&hour.completed), [(591, MARK)]);
        assert_eq!(hour.scale, "4.0 MB in a minute");
        assert_eq!(hour.summary, "6.0 MB given away, 1.0 MB of that over HTTP; 2 downloads completed.");
        assert_eq!(heights(&day.to_peers), [(931, 90), (951, 135)]);
        assert_eq!(heights(&month.to_peers), [(301, 150)]);
        let rows: Vec<_> = hour.rows.iter().map(|row| (row.from.as_str(), row.to_peers.as_str())).collect();
        assert_eq!(rows, [("2023-11-14 22:13 UTC", "3.0 MB"), ("2023-11-14 21:43 UTC", "2.0 MB")]);
        assert_eq!(month.rows[0].from, "2023-11-14");
    }

    #[test]
    fn an_empty_chart_says_so() {
        let [hour, ..] = OF_THE_BOX.map(|span| span.chart(&Series::new(&series::OF_THE_BOX), NOW));
        assert_eq!((hour.summary.as_str(), hour.scale.as_str()), ("Nothing was given away.", ""));
        assert!(hour.to_peers.is_empty() && hour.rows.is_empty());
    }

    #[test]
    fn whatever_figures_there_are_fit_into_the_chart() {
        let mut series = Series::new(&series::OF_ONE);
        series.add(NOW, [u64::MAX, u64::MAX, u64::MAX]);
        series.add(NOW - 3600, [1, 0, 0]);
        let [day, ..] = OF_ONE.map(|span| span.chart(&series, NOW));
        assert_eq!(heights(&day.to_peers), [(221, 2), (231, HEIGHT)]);
        assert_eq!(heights(&day.over_http), []);
    }
}
