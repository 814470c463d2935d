//! Decides when an item has settled. Pure: the clock is an argument and nobody is asked for files.
//!
//! An item is settled when two looks at it, [`SETTLE`] apart, saw the same and no file event came in between. Looking
//! soon after the last event ([`LOOK`]) rather than at the end makes the quiet time count from that event, also where
//! the file system sends none (then the looks alone decide).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

/// How long nothing may change before an item is published.
pub const SETTLE: Duration = Duration::from_secs(10);

/// How soon after the last event an item is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Tells two states of an item apart: a hash over paths, inodes, sizes and times.
pub type Fingerprint = u64;

#[derive(Debug)]
struct Entry {
    fingerprint: Option<Fingerprint>,
    quiet_since: Instant,
    /// Whether `fingerprint` was taken after the last event.
    looked: bool,
}

impl Entry {
    fn next_look(&self) -> Instant {
        self.quiet_since + if self.looked { SETTLE } else { LOOK }
    }
}

/// What a look at an item means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Look again when [`Settler::due`] says so.
    Wait,
    /// Nothing changed for [`SETTLE`].
    Settled,
}

/// The items that are being watched until they settle.
#[derive(Debug, Default)]
pub struct Settler {
    entries: HashMap<OsString, Entry>,
}

impl Settler {
    /// A file event came for this item: its quiet time starts again.
    pub fn event(&mut self, now: Instant, name: &OsStr) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.quiet_since = now;
            entry.looked = false;
        }
    }

    /// The item was looked at and is in the state of that fingerprint. Unknown items are taken in.
    pub fn looked(&mut self, now: Instant, name: &OsStr, fingerprint: Fingerprint) -> Verdict {
        let Some(entry) = self.entries.get_mut(name) else {
            let entry = Entry { fingerprint: Some(fingerprint), quiet_since: now, looked: true };
            self.entries.insert(name.to_owned(), entry);
            return Verdict::Wait;
        };
        let same = entry.fingerprint.replace(fingerprint) == Some(fingerprint);
        if entry.looked && !same {
            // It changed without an event: the time of the change is not known.
            entry.quiet_since = now;
        }
        entry.looked = true;
        if same && now >= entry.quiet_since + SETTLE { Verdict::Settled } else { Verdict::Wait }
    }

    /// Starts the quiet time of an item again, for instance because someone still writes to it.
    pub fn restart(&mut self, now: Instant, name: &OsStr) {
        self.entries.insert(name.to_owned(), Entry { fingerprint: None, quiet_since: now, looked: false });
    }

    /// The item is gone, published or refused.
    pub fn forget(&mut self, name: &OsStr) {
        self.entries.remove(name);
    }

    /// Whether the item waits to settle.
    pub fn contains(&self, name: &OsStr) -> bool {
        self.entries.contains_key(name)
    }

    /// Items that should be looked at now.
    pub fn due(&self, now: Instant) -> Vec<OsString> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.next_look() <= now)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// When the next item is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.entries.values().map(Entry::next_look).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to the one item of a test, with seconds since its start.
    enum Step {
        Event(f64),
        Change(f64),
    }
    use Step::{Change, Event};

    /// Runs the steps and tells after how many seconds the item settled, with a look whenever one is due.
    fn settled_after(steps: &[Step]) -> f64 {
        let start = Instant::now();
        let name = OsStr::new("item");
        let mut settler = Settler::default();
        let mut fingerprint = 0;
        settler.looked(start, name, fingerprint);
        let mut steps = steps.iter().peekable();
        for tick in 0..10_000 {
            let seconds = f64::from(tick) / 10.0;
            let now = start + Duration::from_secs_f64(seconds);
            while let Some(step) =
                steps.next_if(|step| matches!(step, Event(at) | Change(at) if *at <= seconds))
            {
                fingerprint += 1;
                if matches!(step, Event(_)) {
                    settler.event(now, name);
                }
            }
            if settler.due(now).iter().any(|due| due == name)
                && settler.looked(now, name, fingerprint) == Verdict::Settled
            {
                return seconds;
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
            let settled = settled_after(steps);
            assert!((settled - expected).abs() < 0.15, "{settled} instead of {expected}");
        }
    }

    #[test]
    fn a_restarted_item_waits_the_whole_time() {
        let start = Instant::now();
        let name = OsStr::new("item");
        let mut settler = Settler::default();
        settler.looked(start, name, 1);
        settler.restart(start, name);
        assert_eq!(settler.looked(start + SETTLE / 2, name, 1), Verdict::Wait);
        assert_eq!(settler.looked(start + SETTLE, name, 1), Verdict::Settled);
    }

    #[test]
    fn a_forgotten_item_is_never_due() {
        let start = Instant::now();
        let mut settler = Settler::default();
        settler.looked(start, OsStr::new("item"), 1);
        settler.forget(OsStr::new("item"));
        assert_eq!(settler.next_due(), None);
        assert!(settler.due(start + SETTLE * 100).is_empty());
    }
}
