//! The one limit on everything that is given away: peers and web seed together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use appliance::ByteRate;

/// How far the limit may run ahead of its mean, so that timers' coarseness costs no throughput.
const BURST: Duration = Duration::from_millis(50);

/// A token bucket in the form "when is the next byte due" (GCRA): one number, first come first served.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: Option<u64>,
    next: Mutex<Instant>,
}

impl RateLimit {
    /// A limit that starts with a full bucket; `None` never limits.
    pub fn new(rate: Option<ByteRate>, now: Instant) -> Self {
        Self { bytes_per_second: rate.map(ByteRate::bytes_per_second), next: Mutex::new(now) }
    }

    /// Whether there is a limit at all.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// Books `bytes` and says when they may be sent; `None`: now.
    pub fn reserve(&self, now: Instant, bytes: u32) -> Option<Instant> {
        let rate = self.bytes_per_second?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (*next).max(now.checked_sub(BURST).unwrap_or(now));
        *next = due + Duration::from_nanos(u64::from(bytes) * 1_000_000_000 / rate);
        (due > now).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_rate_is_the_limit() {
        let start = Instant::now();
        let limit = RateLimit::new(Some("1 MiB/s".parse().unwrap()), start);
        let mut now = start;
        for _ in 0..640 {
            now = limit.reserve(now, 16 * 1024).unwrap_or(now);
        }
        let took = now - start;
        assert!(
            took > Duration::from_millis(9_900) && took < Duration::from_millis(10_100),
            "{took:?} for 10 MiB"
        );
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let start = Instant::now();
        let limit = RateLimit::new(Some("1 MiB/s".parse().unwrap()), start);
        let later = start + Duration::from_mins(1);
        let mut now = later;
        for _ in 0..64 {
            now = limit.reserve(now, 16 * 1024).unwrap_or(now);
        }
        assert!(now - later > Duration::from_millis(900), "{:?} for 1 MiB", now - later);
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let now = Instant::now();
        let limit = RateLimit::new(None, now);
        assert!((0..1000).all(|_| limit.reserve(now, u32::MAX).is_none()));
    }
}
