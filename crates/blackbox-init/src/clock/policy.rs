//! When the time is asked for, and what becomes of the clock. Pure: time is an argument.
//!
//! After the start the clock is put right at once. Later it only goes a little faster or slower, so that it never goes back;
//! but for a server that was wrong the first time, which two readings in a row must say.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// First wait after nobody answered, doubled with each try.
const FIRST_RETRY: Duration = Duration::from_secs(15);

/// Longest wait, and that after an answer.
const INTERVAL: Duration = Duration::from_hours(1);

/// A difference that is left as it is.
const SMALL: Duration = Duration::from_millis(20);

/// What the clock is moved by until the next reading; it makes up for half a millisecond in a second.
const MAX_SLEW: Duration = Duration::from_secs(1);

/// A difference that no clock comes to by itself.
const LARGE: Duration = Duration::from_mins(1);

/// A clock this far (ten years) ahead of the build is wrong.
const MAX_AGE: Duration = Duration::from_hours(24 * 3653);

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The time since 1970
    pub time: Duration,
    /// when the machine had been on for so long.
    pub uptime: Duration,
    /// Who said so.
    pub server: IpAddr,
}

/// What is to be done to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is right, or the reading is not to be believed.
    None,
    /// It is set to this time since 1970.
    Step(Duration),
    /// It is moved little by little: by so many microseconds, back if negative.
    Slew(i64),
}

/// When and how.
#[derive(Debug)]
pub struct Policy {
    floor: Duration,
    next: Instant,
    retry: Duration,
    /// Whether the clock was right once.
    is_set: bool,
    /// The difference (nanoseconds) that the last reading came to, if it was a large one.
    suspicion: Option<i128>,
}

impl Policy {
    /// The clock is to be asked for at once. `floor` is the time since 1970 that it can't be before.
    pub fn new(floor: Duration, now: Instant) -> Self {
        Self { floor, next: now, retry: FIRST_RETRY, is_set: false, suspicion: None }
    }

    /// The time that has passed for sure.
    pub fn floor(&self) -> Duration {
        self.floor
    }

    /// Whether the clock is right, by the last reading that could be believed.
    pub fn is_right(&self) -> bool {
        self.is_set && self.suspicion.is_none()
    }

    /// When the time is to be asked for.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// There is a network again, or another one: asks soon.
    pub fn hurry(&mut self, now: Instant) {
        (self.next, self.retry) = (now, FIRST_RETRY);
    }

    /// Nobody answered.
    pub fn failed(&mut self, now: Instant) {
        self.next = now + self.retry;
        self.retry = (self.retry * 2).min(INTERVAL);
    }

    /// Judges a reading, when the clock shows `clock` and the machine has been on for `uptime`.
    pub fn judge(&mut self, now: Instant, reading: &Reading, clock: Duration, uptime: Duration) -> Change {
        (self.next, self.retry) = (now + INTERVAL, FIRST_RETRY);
        let right = reading.time + uptime.saturating_sub(reading.uptime);
        if right < self.floor || right > self.floor + MAX_AGE {
            return Change::None;
        }
        let nanoseconds = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let difference = nanoseconds(right) - nanoseconds(clock);
        let is_off_by = |limit: Duration| difference.unsigned_abs() > limit.as_nanos();
        let was_said_before = self
            .suspicion
            .take()
            .is_some_and(|before| (before - difference).unsigned_abs() <= LARGE.as_nanos());
        if !self.is_set || is_off_by(LARGE) && was_said_before {
            self.is_set = true;
            return if is_off_by(SMALL) { Change::Step(right) } else { Change::None };
        }
        if is_off_by(LARGE) {
            self.suspicion = Some(difference);
            self.next = now + FIRST_RETRY;
            return Change::None;
        }
        if !is_off_by(SMALL) {
            return Change::None;
        }
        let most = nanoseconds(MAX_SLEW);
        Change::Slew(i64::try_from(difference.clamp(-most, most) / 1000).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_hours(490_896);
    const UPTIME: Duration = Duration::from_secs(100);

    fn at(milliseconds: u64) -> Duration {
        FLOOR + Duration::from_millis(milliseconds)
    }

    /// Feeds readings of a time to a clock that shows another one.
    fn check(readings: &[(u64, u64, Change)]) {
        let now = Instant::now();
        let mut policy = Policy::new(FLOOR, now);
        for (number, (time, clock, expected)) in readings.iter().enumerate() {
            let reading = Reading { time: at(*time), uptime: UPTIME, server: [192, 0, 2, 1].into() };
            assert_eq!(
                policy.judge(now, &reading, at(*clock), UPTIME),
                *expected,
                "{number} of {readings:?}"
            );
        }
    }

    #[test]
    fn the_clock_is_set_at_the_start_and_then_moves_slowly() {
        let day = 86_400_000;
        check(&[
            (day, 0, Change::Step(at(day))),
            (day, day - 5, Change::None),
            (day, day - 300, Change::Slew(300_000)),
            (day, day + 300, Change::Slew(-300_000)),
            (day, day + 30_000, Change::Slew(-1_000_000)),
        ]);
        check(&[(day, day + 1, Change::None), (day, day + 300, Change::Slew(-300_000))]);
    }

    #[test]
    fn one_reading_alone_does_not_move_the_clock_far() {
        let day = 86_400_000;
        let step = Change::Step(at(9 * day));
        check(&[(day, day, Change::None), (9 * day, day, Change::None), (9 * day, day, step)]);
        check(&[(day, day, Change::None), (9 * day, day, Change::None), (5 * day, day, Change::None)]);
        check(&[(day, day, Change::None), (9 * day, day, Change::None), (day, day, Change::None)]);
    }

    #[test]
    fn no_server_moves_it_before_the_build_or_far_behind_it() {
        let now = Instant::now();
        for time in [Duration::ZERO, Duration::from_hours(1), FLOOR + 2 * MAX_AGE] {
            let reading = Reading { time, uptime: UPTIME, server: [192, 0, 2, 1].into() };
            let mut policy = Policy::new(FLOOR, now);
            assert_eq!(policy.judge(now, &reading, FLOOR, UPTIME), Change::None, "{time:?}");
            let good = Reading { time: at(60_000), ..reading };
            assert_eq!(
                policy.judge(now, &good, FLOOR, UPTIME),
                Change::Step(at(60_000)),
                "it is not set yet"
            );
        }
    }

    #[test]
    fn who_gets_no_answer_asks_ever_less_often() {
        let now = Instant::now();
        let mut policy = Policy::new(FLOOR, now);
        let mut waits = Vec::new();
        for _ in 0..10 {
            policy.failed(now);
            waits.push(policy.next().duration_since(now).as_secs());
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        policy.hurry(now);
        assert_eq!(policy.next(), now);
    }
}
