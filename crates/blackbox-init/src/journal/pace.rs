//! How much is written, and when it has to be on the disk: flash wears out, and nobody reads a flood. Pure: time is an
//! argument.

use std::time::{Duration, Instant};

/// Bytes that may be written at once: several starts, or a lot of trouble.
const BURST: u64 = 1 << 20;

/// Bytes for each second: after a burst no more than 22 MB a day, which flash bears for decades.
const RATE: u64 = 256;

/// What is written is on the disk after this time at the latest.
const SYNC_AFTER: Duration = Duration::from_secs(20);

/// And after this one when it tells of trouble, since the box may not live for much longer.
const WARNING_AFTER: Duration = Duration::from_millis(200);

/// But not more often than this.
const SYNC_PAUSE: Duration = Duration::from_secs(2);

/// The state of both.
#[derive(Debug)]
pub struct Pace {
    budget: u64,
    filled: Instant,
    left_out: u64,
    sync: Option<Instant>,
    synced: Option<Instant>,
}

impl Pace {
    /// Nothing is written yet.
    pub fn new(now: Instant) -> Self {
        Self { budget: BURST, filled: now, left_out: 0, sync: None, synced: None }
    }

    /// Whether a line of so many bytes may be written. If so, and lines before it might not, says how many those were.
    pub fn admit(&mut self, now: Instant, bytes: usize) -> Option<u64> {
        let seconds = now.duration_since(self.filled).as_secs();
        self.filled += Duration::from_secs(seconds);
        self.budget = self.budget.saturating_add(seconds.saturating_mul(RATE)).min(BURST);
        let bytes = bytes as u64;
        // After a flood there is room for more than a line, or every other line would be one about those left out.
        let needed = if self.left_out > 0 { bytes + BURST / 64 } else { bytes };
        if self.budget < needed {
            self.left_out += 1;
            return None;
        }
        self.budget -= bytes;
        Some(std::mem::take(&mut self.left_out))
    }

    /// Something was written.
    pub fn wrote(&mut self, now: Instant, is_warning: bool) {
        let due = now + if is_warning { WARNING_AFTER } else { SYNC_AFTER };
        let due = self.synced.map_or(due, |synced| due.max(synced + SYNC_PAUSE));
        self.sync = Some(self.sync.map_or(due, |sync| sync.min(due)));
    }

    /// When what was written has to be on the disk; `None` when it is.
    pub fn sync_deadline(&self) -> Option<Instant> {
        self.sync
    }

    /// Everything is on the disk.
    pub fn synced(&mut self, now: Instant) {
        (self.sync, self.synced) = (None, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_on_the_disk_soon_and_at_once_if_it_matters() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.sync_deadline(), None);
        pace.wrote(start, false);
        pace.wrote(start + SYNC_AFTER / 2, false);
        assert_eq!(pace.sync_deadline(), Some(start + SYNC_AFTER), "later lines put nothing off");
        pace.wrote(start + SYNC_AFTER / 2, true);
        assert_eq!(pace.sync_deadline(), Some(start + SYNC_AFTER / 2 + WARNING_AFTER));
        let now = start + SYNC_AFTER;
        pace.synced(now);
        assert_eq!(pace.sync_deadline(), None);
        pace.wrote(now, true);
        assert_eq!(
            pace.sync_deadline(),
            Some(now + SYNC_PAUSE),
            "trouble without end costs a bounded number of writes"
        );
    }

    #[test]
    fn a_flood_is_cut_and_counted_and_later_lines_come_through() {
        const LINE: usize = 1000;
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut lines =
            |now, count: u32| (0..count).filter_map(|_| pace.admit(now, LINE)).collect::<Vec<_>>();
        let written = lines(now, 10_000);
        assert_eq!(written, [0].repeat(usize::try_from(BURST).unwrap() / LINE));
        // A day of it, ten lines a second.
        let mut bytes = 0;
        for _ in 0..24 * 3600 {
            now += Duration::from_secs(1);
            bytes += lines(now, 10).len() * LINE;
        }
        assert!((20_000_000..23_000_000).contains(&bytes), "{bytes}");
        now += Duration::from_hours(1);
        let after = lines(now, 2);
        assert!(after[0] > 0 && after[1] == 0, "what was left out is told once: {after:?}");
    }
}
