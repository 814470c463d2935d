//! Figures of minutes, hours, days: what is old is kept in less detail, and then dropped. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Three sums of a period: of the box and of an item what [`TO_PEERS`] and its neighbours say; of a member the bytes that it was
/// [`SENT`], those that its clients say they have received from anybody, and those that they say they have sent.
pub type Figures = [u64; 3];

/// Bytes of content sent to peers.
pub const TO_PEERS: usize = 0;
/// Bytes of content sent over HTTP: to web seeds' clients and browsers.
pub const OVER_HTTP: usize = 1;
/// Downloads that peers reported as completed.
pub const COMPLETED: usize = 2;

/// Bytes of content that the box sent to a member.
pub const SENT: usize = 0;

/// A resolution.
#[derive(Debug, PartialEq, Eq)]
pub struct Level {
    /// Length of a period; they are counted since 1970.
    pub seconds: i64,
    /// Periods that are kept, the present one included.
    pub kept: i64,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Of the box: a day of minutes, a month of hours, two years of days. What happened just now is looked at by the minute; a
/// month of hours shows when in the day and in the week people come; two years show the same season twice. 2,915 periods of 33
/// bytes are less than 100 kB.
pub static OF_THE_BOX: [Level; 3] = [
    Level { seconds: MINUTE, kept: 24 * 60 },
    Level { seconds: HOUR, kept: 31 * 24 },
    Level { seconds: DAY, kept: 2 * 365 },
];

/// Of an item and of a member, of which there may be ten thousand: a day of hours, a month of days, two years of weeks. Only
/// periods are kept in which there was something; all 159 of them take about 5 kB, so ten thousand items that give something
/// away in every hour of two years take 50 MB on the disk, and none of it in memory.
pub static OF_ONE: [Level; 3] = [
    Level { seconds: HOUR, kept: 24 },
    Level { seconds: DAY, kept: 31 },
    Level { seconds: 7 * DAY, kept: 104 },
];

/// A level (by its index) and the number of a period since 1970.
pub type Period = (u8, i64);

/// The figures of all periods that are kept and have any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    levels: &'static [Level; 3],
    periods: BTreeMap<Period, Figures>,
    /// Periods that are not on disk as they are here.
    changed: BTreeSet<Period>,
}

impl Series {
    /// One without figures.
    pub fn new(levels: &'static [Level; 3]) -> Self {
        Self { levels, periods: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// What was written: what makes no sense is left out.
    pub fn read(levels: &'static [Level; 3], periods: impl IntoIterator<Item = (Period, Figures)>) -> Self {
        let mut series = Self::new(levels);
        let known = periods.into_iter().filter(|((level, _), _)| usize::from(*level) < levels.len());
        series.periods.extend(known);
        series
    }

    /// Adds what was counted in the periods around a time (seconds since 1970).
    pub fn add(&mut self, at: i64, figures: Figures) {
        self.change(at, figures, u64::saturating_add);
    }

    /// Takes back what was added at a time.
    pub fn take(&mut self, at: i64, figures: Figures) {
        self.change(at, figures, u64::saturating_sub);
    }

    fn change(&mut self, at: i64, figures: Figures, change: fn(u64, u64) -> u64) {
        if figures == Figures::default() {
            return;
        }
        for period in periods_of(self.levels, at) {
            let sums = self.periods.entry(period).or_default();
            for (sum, figure) in sums.iter_mut().zip(figures) {
                *sum = change(*sum, figure);
            }
            if *sums == Figures::default() {
                self.periods.remove(&period);
            }
            self.changed.insert(period);
        }
    }

    /// Drops what is too old at this time, and what is later: a clock was wrong then.
    pub fn expire(&mut self, now: i64) {
        let levels = self.levels;
        let gone = self.periods.keys().filter(|(level, number)| {
            let Level { seconds, kept } = levels[usize::from(*level)];
            let age = now.div_euclid(seconds).saturating_sub(*number);
            !(0..kept).contains(&age)
        });
        let gone: Vec<_> = gone.copied().collect();
        for period in gone {
            self.periods.remove(&period);
            self.changed.insert(period);
        }
    }

    /// The figures of the last `count` periods of a level, oldest first, that of `now` last; of those in which there was
    /// nothing too.
    ///
    /// # Panics
    /// If there is no such level.
    pub fn last(&self, level: usize, count: usize, now: i64) -> Vec<Figures> {
        let number = now.div_euclid(self.levels[level].seconds);
        let level = u8::try_from(level).expect("invariant: few levels");
        let ages = (0..i64::try_from(count).unwrap_or(i64::MAX)).rev();
        ages.map(|age| self.periods.get(&(level, number - age)).copied().unwrap_or_default()).collect()
    }

    /// Periods with figures, each level by time.
    pub fn periods(&self) -> impl Iterator<Item = (Period, Figures)> {
        self.periods.iter().map(|(period, figures)| (*period, *figures))
    }

    /// The levels.
    pub fn levels(&self) -> &'static [Level; 3] {
        self.levels
    }

    /// The end of the last period (seconds since 1970): a time that has passed, or is about to.
    pub fn latest(&self) -> Option<i64> {
        let start =
            |(level, number): &Period| number.saturating_mul(self.levels[usize::from(*level)].seconds);
        // The finest level knows best.
        self.periods.keys().filter(|(level, _)| *level == 0).map(start).max()
    }

    /// What is to be written: a period without figures is to be deleted.
    pub fn changes(&self) -> Vec<(Period, Option<Figures>)> {
        self.changed.iter().map(|period| (*period, self.periods.get(period).copied())).collect()
    }

    /// These are on disk.
    pub fn written(&mut self, changes: &[(Period, Option<Figures>)]) {
        for (period, figures) in changes {
            if self.periods.get(period) == figures.as_ref() {
                self.changed.remove(period);
            }
        }
    }
}

/// The periods around a time, one of each level.
fn periods_of(levels: &'static [Level; 3], at: i64) -> [Period; 3] {
    [0, 1, 2].map(|level| (level, at.div_euclid(levels[usize::from(level)].seconds)))
}

/// A series as it is kept of an item or a member: periods with their figures.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kept(Vec<(Period, Figures)>);

impl Kept {
    /// As it is to be written.
    pub fn of(series: &Series) -> Self {
        Self(series.periods().collect())
    }

    /// What was written, of one item or member. What can't be read is a pity, but no reason to do anything else.
    pub fn read(json: &[u8]) -> Series {
        serde_json::from_slice::<Self>(json).unwrap_or_default().series()
    }

    /// The series of an item or a member.
    pub fn series(self) -> Series {
        Series::read(&OF_ONE, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, the plain way: every sample is remembered.
    #[derive(Default)]
    struct Model {
        samples: Vec<(i64, Figures)>,
        now: i64,
    }

    impl Model {
        fn last(&self, level: &Level, count: i64) -> Vec<Figures> {
            let sum_of = |number: i64| {
                let within = self.samples.iter().filter(|(at, _)| at.div_euclid(level.seconds) == number);
                within.fold(Figures::default(), |sum, (_, figures)| [0, 1, 2].map(|at| sum[at] + figures[at]))
            };
            let present = self.now.div_euclid(level.seconds);
            (0..count).rev().map(|age| sum_of(present - age)).collect()
        }
    }

    /// Numbers that look like chance (xorshift), the same on each run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }

        fn below_signed(&mut self, limit: i64) -> i64 {
            i64::try_from(self.below(limit.unsigned_abs())).unwrap()
        }
    }

    /// Samples at times that go on by anything from a second to a month, some of which are moved later.
    #[test]
    fn every_level_is_what_all_samples_come_to() {
        for (seed, levels) in (1..=40).zip([&OF_THE_BOX, &OF_ONE].into_iter().cycle()) {
            let mut chance = Chance(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
            let (mut series, mut model) = (Series::new(levels), Model::default());
            let mut on_disk: BTreeMap<Period, Figures> = BTreeMap::new();
            model.now = 1_700_000_000 + chance.below_signed(DAY);
            for _ in 0..400 {
                let stride = [1, 20, MINUTE, HOUR, DAY, 30 * DAY][usize::try_from(chance.below(6)).unwrap()];
                model.now += chance.below_signed(stride) + 1;
                let figures = [chance.below(1 << 40), chance.below(3), chance.below(2)];
                series.add(model.now, figures);
                model.samples.push((model.now, figures));
                // One of the last few was at another time, as far as can be told now.
                if chance.below(4) == 0 {
                    let at = model.samples.len()
                        - 1
                        - usize::try_from(chance.below(3)).unwrap() % model.samples.len();
                    let (before, figures) = model.samples[at];
                    let after = before - chance.below_signed(HOUR);
                    series.take(before, figures);
                    series.add(after, figures);
                    model.samples[at].0 = after;
                }
                series.expire(model.now);
                let changes = series.changes();
                for (period, figures) in &changes {
                    match figures {
                        Some(figures) => drop(on_disk.insert(*period, *figures)),
                        None => drop(on_disk.remove(period)),
                    }
                }
                series.written(&changes);
                assert_eq!(series.changes(), []);
            }
            for (index, level) in levels.iter().enumerate() {
                let count = level.kept;
                let (is, should) = (
                    series.last(index, usize::try_from(count).unwrap(), model.now),
                    model.last(level, count),
                );
                assert_eq!(is, should, "seed {seed}, level {index}");
            }
            let kept: i64 = levels.iter().map(|level| level.kept).sum();
            assert!(series.periods().count() <= usize::try_from(kept).unwrap());
            let read = Series::read(levels, on_disk);
            assert!(read.periods().eq(series.periods()), "what is written is what is there");
        }
    }

    #[test]
    fn what_was_recorded_under_a_clock_that_was_ahead_is_dropped() {
        let mut series = Series::new(&OF_THE_BOX);
        series.add(4_000_000_000, [1, 2, 3]);
        series.add(1_700_000_000, [5, 0, 0]);
        series.expire(1_700_000_000);
        assert_eq!(series.last(2, 1, 1_700_000_000), [[5, 0, 0]]);
        assert_eq!(series.periods().count(), 3);
    }

    #[test]
    fn what_is_kept_of_one_has_a_bound_and_comes_back_the_same() {
        let mut series = Series::new(&OF_ONE);
        // Every hour of three years, with what a line of 100 Gbit/s carries.
        let (start, hours) = (1_700_000_000, 3 * 365 * 24);
        for hour in 0..hours {
            series.add(start + hour * HOUR, [45_000_000_000_000, 45_000_000_000_000, 99_999]);
            series.expire(start + hour * HOUR);
        }
        let json = serde_json::to_vec(&Kept::of(&series)).unwrap();
        assert!(json.len() < 9_000, "{} bytes", json.len());
        assert!(Kept::read(&json).periods().eq(series.periods()));
        for damaged in [&b""[..], b"[[[9,1],[1,1,1]]]", b"{}"] {
            assert_eq!(Kept::read(damaged).periods().count(), 0);
        }
    }
}
