//! How far reading an item has come, and how fast it goes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The rate is that of this time.
const WINDOW: Duration = Duration::from_secs(20);

/// How often it is noted how much was done.
const STEP: Duration = Duration::from_millis(500);

/// Bytes done and to do, updated by the worker without a new snapshot of the catalog.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    /// Of them those that were done before.
    skipped: AtomicU64,
    total: u64,
    /// How much was done when, in the last [`WINDOW`].
    history: Mutex<VecDeque<(Instant, u64)>>,
}

impl Progress {
    /// Nothing done of `total` bytes.
    pub fn of(total: u64) -> Arc<Self> {
        Arc::new(Self { total, ..Self::default() })
    }

    /// Counts `bytes` more as done; they took their time until `now`.
    pub fn add(&self, now: Instant, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.back().is_some_and(|(last, _)| now < *last + STEP) {
            return;
        }
        history.push_back((now, done));
        while history.front().is_some_and(|(first, _)| *first + WINDOW < now) {
            history.pop_front();
        }
    }

    /// Counts bytes as done that took no time: they were done before.
    pub fn skip(&self, bytes: u64) {
        self.skipped.fetch_add(bytes, Ordering::Relaxed);
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that were read for this.
    pub fn read(&self) -> u64 {
        self.done().saturating_sub(self.skipped.load(Ordering::Relaxed))
    }

    /// Bytes done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Bytes to do in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Part done, 0 to 1.
    pub fn fraction(&self) -> f64 {
        match self.total() {
            0 => 0.0,
            total => (self.done() as f64 / total as f64).clamp(0.0, 1.0),
        }
    }

    /// Bytes per second of late; `None` before that is known.
    pub fn rate(&self) -> Option<u64> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let ((start, before), (end, after)) = (history.front()?, history.back()?);
        let milliseconds = end.duration_since(*start).as_millis();
        let rate =
            u128::from(after.saturating_sub(*before)) * 1000 / Some(milliseconds).filter(|ms| *ms > 0)?;
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    /// Time until all is done, if it goes on as of late.
    pub fn time_left(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.total.saturating_sub(self.done()) / self.rate()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_late() {
        let progress = Progress::of(10_000);
        let start = Instant::now();
        assert_eq!((progress.rate(), progress.time_left()), (None, None));
        progress.skip(1000);
        // 10 bytes a second for a minute, then 100.
        for second in 0..=60 {
            progress.add(start + Duration::from_secs(second), 10);
        }
        assert_eq!(progress.rate(), Some(10));
        assert_eq!(progress.time_left(), Some(Duration::from_secs((10_000 - 1610) / 10)));
        for second in 61..=90 {
            progress.add(start + Duration::from_secs(second), 100);
        }
        assert_eq!(progress.rate(), Some(100));
        assert!((progress.fraction() - 0.461).abs() < 1e-9);
    }
}
