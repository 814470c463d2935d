//! When something was. The clock of a box without a battery is wrong until a server has said the time; then it jumps. Pure: the
//! clock's readings are arguments.
//!
//! - A clock that is behind what the history knows to have passed has lost the time: the history goes on from there.
//! - When a clock jumps somebody has set it, and it is believed. What was recorded since the start (for a day at most) is moved by
//!   as much.
//! - A clock that nobody has set for a day is believed too: then it is the history that was wrong.

use std::time::Duration;

/// A clock that goes on by so many seconds more or less than time does was set.
const JUMP: i64 = 30;

/// What was recorded for so long is moved when the clock is set, and so long a clock that is behind is not believed; in
/// seconds.
pub const DOUBTFUL: i64 = 24 * 3600;

/// A reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// How long the machine has been on; nobody can set it.
    pub uptime: Duration,
    /// The time, as the machine's clock shows it, in seconds since 1970.
    pub clock: i64,
}

/// What the two clocks come to.
#[derive(Debug)]
pub struct Timeline {
    start: i64,
    /// What the clock showed more than the uptime, at the last look.
    shown: i64,
    /// The same for the time that is believed.
    believed: i64,
}

/// A clock that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// What it would show now if it had not been, in seconds since 1970.
    pub before: i64,
    /// What it shows.
    pub after: i64,
    /// By how much everything is to be moved that was recorded since the start, in seconds; 0 if that is too long ago.
    pub moved: i64,
}

fn seconds(uptime: Duration) -> i64 {
    i64::try_from(uptime.as_secs()).unwrap_or(i64::MAX)
}

impl Timeline {
    /// At the start. `known` is the latest time that the history has.
    pub fn new(reading: Reading, known: Option<i64>) -> Self {
        let start = seconds(reading.uptime);
        let shown = reading.clock.saturating_sub(start);
        let believed = known.map_or(shown, |known| shown.max(known.saturating_sub(start)));
        Self { start, shown, believed }
    }

    /// The time now, in seconds since 1970; and what became of the clock since the last look, if it was set.
    pub fn look(&mut self, reading: Reading) -> (i64, Option<Set>) {
        let uptime = seconds(reading.uptime);
        let shown = reading.clock.saturating_sub(uptime);
        let jump = shown.saturating_sub(self.shown);
        let before = self.believed.saturating_add(uptime);
        let is_old = uptime - self.start >= DOUBTFUL;
        let set = (jump.saturating_abs() >= JUMP).then(|| Set {
            before: self.shown.saturating_add(uptime),
            after: reading.clock,
            moved: if is_old { 0 } else { reading.clock.saturating_sub(before) },
        });
        // One that is followed is followed when it goes a little faster, too.
        if set.is_some() || is_old || self.believed == self.shown {
            self.believed = shown;
        }
        self.shown = shown;
        (self.believed.saturating_add(uptime), set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_700_000_000;

    fn reading(uptime: u64, clock: i64) -> Reading {
        Reading { uptime: Duration::from_secs(uptime), clock }
    }

    #[test]
    fn a_good_clock_is_followed() {
        let mut timeline = Timeline::new(reading(10, NOON), Some(NOON - 500));
        assert_eq!(timeline.look(reading(70, NOON + 60)), (NOON + 60, None));
        assert_eq!(timeline.look(reading(1070, NOON + 1055)), (NOON + 1055, None), "it goes a little slower");
        assert_eq!(timeline.look(reading(200_000, NOON + 200_000)).0, NOON + 200_000);
    }

    #[test]
    fn a_clock_that_lost_the_time_goes_on_from_the_last_that_is_known() {
        let known = NOON + 86_400;
        let mut timeline = Timeline::new(reading(10, NOON), Some(known));
        assert_eq!(timeline.look(reading(70, NOON + 60)), (known + 60, None));
        // It was off for two days.
        let now = known + 172_800;
        let set = Set { before: NOON + 120, after: now, moved: 172_800 - 120 };
        assert_eq!(timeline.look(reading(130, now)), (now, Some(set)));
        assert_eq!(timeline.look(reading(190, now + 60)), (now + 60, None));
    }

    #[test]
    fn a_clock_that_is_set_back_is_believed() {
        let mut timeline = Timeline::new(reading(10, NOON), None);
        let set = Set { before: NOON + 60, after: NOON - 9_000, moved: -9_060 };
        assert_eq!(timeline.look(reading(70, NOON - 9_000)), (NOON - 9_000, Some(set)));
    }

    #[test]
    fn nobody_who_was_wrong_once_is_believed_for_ever() {
        let mut timeline = Timeline::new(reading(10, NOON), Some(NOON + 900_000_000));
        assert_eq!(timeline.look(reading(3610, NOON + 3600)).0, NOON + 900_000_000 + 3600);
        assert_eq!(timeline.look(reading(86_420, NOON + 86_410)), (NOON + 86_410, None));
    }

    #[test]
    fn what_is_a_day_old_is_not_moved() {
        let mut timeline = Timeline::new(reading(10, NOON), None);
        let (now, set) = timeline.look(reading(90_010, NOON + 900_000));
        assert_eq!((now, set.map(|set| set.moved)), (NOON + 900_000, Some(0)));
    }

    #[test]
    fn impossible_clocks_are_no_reason_to_end() {
        for clock in [i64::MIN, -1, 0, i64::MAX] {
            let mut timeline = Timeline::new(reading(u64::MAX, clock), Some(i64::MAX));
            timeline.look(reading(0, NOON));
            timeline.look(reading(u64::MAX, clock));
        }
    }
}
