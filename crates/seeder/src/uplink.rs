//! What the uplink carries.

use std::time::{Duration, Instant};

/// Bytes are counted for this long: the mean of less says nothing, of more comes late.
const WINDOW: Duration = Duration::from_secs(1);

/// What is left of the best window when another one was worse, which may be for want of requests: in per cent.
const MEMORY: u64 = 98;

/// The configured limit, or else the best second of late.
#[derive(Debug)]
pub struct Uplink {
    limit: Option<u64>,
    since: Instant,
    sent: u64,
    best: u64,
}

impl Uplink {
    /// An uplink that was not used yet. `limit` in bytes a second.
    pub fn new(now: Instant, limit: Option<u64>) -> Self {
        Self { limit, since: now, sent: 0, best: 0 }
    }

    /// Counts bytes that were sent. Whether [`bytes_per_second`](Self::bytes_per_second) may have changed.
    pub fn sent(&mut self, now: Instant, bytes: u64) -> bool {
        self.sent = self.sent.saturating_add(bytes);
        let elapsed = now.saturating_duration_since(self.since);
        let is_over = elapsed >= WINDOW;
        if is_over {
            let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let rate = self.sent.saturating_mul(1000) / milliseconds;
            self.best = rate.max(self.best / 100 * MEMORY);
            (self.since, self.sent) = (now, 0);
        }
        is_over && self.limit.is_none()
    }

    /// What can be sent, in bytes a second; `None` as long as nobody knows.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.limit.or((self.best > 0).then_some(self.best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "there is no other way to get an origin")]
    fn the_best_second_of_late_counts() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut uplink = Uplink::new(start, None);
        assert_eq!(uplink.bytes_per_second(), None);
        assert!(!uplink.sent(at(500), 1000));
        assert_eq!(uplink.bytes_per_second(), None);
        assert!(uplink.sent(at(2000), 1000));
        assert_eq!(uplink.bytes_per_second(), Some(1000));
        // A quiet hour is only one worse second.
        assert!(uplink.sent(at(3_600_000), 1000));
        assert_eq!(uplink.bytes_per_second(), Some(980));
        assert!(uplink.sent(at(3_601_000), 5000));
        assert_eq!(uplink.bytes_per_second(), Some(5000));
        let mut limited = Uplink::new(start, Some(7));
        assert!(!limited.sent(at(2000), 1000));
        assert_eq!(limited.bytes_per_second(), Some(7));
    }
}
