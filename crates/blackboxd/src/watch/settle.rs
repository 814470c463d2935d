//! Decides when an item has settled. Pure: the clock is an argument and nobody is asked for files.
//!
//! An item is settled when two looks at it saw the same and no file event came for [`SETTLE`]. Looking soon after the
//! last event rather than at the end makes the quiet time count from that event, also where the file system sends none
//! (then the looks alone decide).

use std::time::{Duration, Instant};

/// How long nothing may change before an item is published.
pub const SETTLE: Duration = Duration::from_secs(10);

/// How soon after the last event an item is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Tells two states of an item apart: a hash over paths, inodes, sizes and times.
pub type Fingerprint = u64;

/// How long after the last event to look at an item, when the last look at it took `cost`: a folder that is slow to list is
/// not listed all the time while it is copied.
pub fn pause(cost: Duration) -> Duration {
    (cost * 10).clamp(LOOK, SETTLE / 2)
}

/// What a look at an item means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Look again at [`Settling::next_look`].
    Wait,
    /// Nothing changed for [`SETTLE`].
    Settled,
}

/// An item that is being watched until it settles.
#[derive(Debug)]
pub struct Settling {
    fingerprint: Option<Fingerprint>,
    quiet_since: Instant,
    /// Whether `fingerprint` was taken after the last event.
    looked: bool,
}

impl Settling {
    /// An item that was found in the state of that fingerprint, and that nobody has touched after `quiet_since`.
    pub fn found(quiet_since: Instant, fingerprint: Fingerprint) -> Self {
        Self { fingerprint: Some(fingerprint), quiet_since, looked: true }
    }

    /// An item that is certainly being changed `now`.
    pub fn restarted(now: Instant) -> Self {
        Self { fingerprint: None, quiet_since: now, looked: false }
    }

    /// A file event came: the quiet time starts again.
    pub fn event(&mut self, now: Instant) {
        self.quiet_since = now;
        self.looked = false;
    }

    /// The item was looked at and is in the state of that fingerprint.
    pub fn looked(&mut self, now: Instant, fingerprint: Fingerprint) -> Verdict {
        let same = self.fingerprint.replace(fingerprint) == Some(fingerprint);
        if self.looked && !same {
            // It changed without an event: the time of the change is not known.
            self.quiet_since = now;
        }
        self.looked = true;
        if same && now >= self.quiet_since + SETTLE { Verdict::Settled } else { Verdict::Wait }
    }

    /// When to look again, if the last look took `cost`.
    pub fn next_look(&self, cost: Duration) -> Instant {
        self.quiet_since + if self.looked { SETTLE } else { pause(cost) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to the item of a test, with seconds since its start.
    enum Step {
        Event(f64),
        Change(f64),
    }
    use Step::{Change, Event};

    const CHEAP: Duration = Duration::from_millis(1);

    /// Runs the steps and tells after how many seconds the item settled, and how often it was looked at until then.
    fn settled_after(cost: Duration, steps: &[Step]) -> (f64, usize) {
        let start = Instant::now();
        let mut fingerprint = 0;
        let mut settling = Settling::found(start, fingerprint);
        let mut looks = 0;
        let mut steps = steps.iter().peekable();
        for tick in 0..10_000 {
            let seconds = f64::from(tick) / 10.0;
            let now = start + Duration::from_secs_f64(seconds);
            while let Some(step) =
                steps.next_if(|step| matches!(step, Event(at) | Change(at) if *at <= seconds))
            {
                fingerprint += 1;
                if matches!(step, Event(_)) {
                    settling.event(now);
                }
            }
            if settling.next_look(cost) <= now {
                looks += 1;
                if settling.looked(now, fingerprint) == Verdict::Settled {
                    return (seconds, looks);
                }
            }
        }
        panic!("it never settled");
    }

    #[test]
    fn settles_ten_seconds_after_the_last_change() {
        for (steps, expected) in [
            (&[][..], 10.0),
            (&[Event(3.0)], 13.0),
            (&[Event(3.0), Event(3.2), Event(9.9), Event(19.8)], 29.8),
            // Without events the change is only seen at a look, and the look starts the time again.
            (&[Change(3.0)], 20.0),
            (&[Event(1.0), Change(5.0)], 21.0),
            (&[Change(3.0), Event(8.0)], 18.0),
        ] {
            let (settled, _) = settled_after(CHEAP, steps);
            assert!((settled - expected).abs() < 0.15, "{settled} instead of {expected}");
        }
    }

    #[test]
    fn a_folder_that_is_slow_to_list_is_looked_at_rarely_and_settles_in_the_same_time() {
        // A copy that pauses for a second after each file.
        let copy: Vec<Step> = (1..=30).map(|second| Event(f64::from(second))).collect();
        let (cheap, many) = settled_after(CHEAP, &copy);
        let (slow, few) = settled_after(Duration::from_secs(2), &copy);
        assert!((cheap - 40.0).abs() < 0.15 && (slow - 40.0).abs() < 0.15, "{cheap} and {slow}");
        assert!(many >= 30 && few == 2, "{many} and {few} looks");
    }

    #[test]
    fn a_restarted_item_waits_the_whole_time() {
        let start = Instant::now();
        let mut settling = Settling::restarted(start);
        assert_eq!(settling.looked(start + SETTLE / 2, 1), Verdict::Wait);
        assert_eq!(settling.looked(start + SETTLE, 1), Verdict::Settled);
    }
}
