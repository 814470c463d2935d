//! The one limit on everything that is given away: peers and web seed together.
//!
//! Whoever has something to send waits for its turn, first come first served, and pays when its turn has come. So
//! nothing is booked in advance: who leaves the queue, or lets its turn pass, has taken nothing from the others.

use std::sync::{Mutex as StdMutex, MutexGuard as StdGuard, PoisonError};
use std::time::Duration;

use appliance::ByteRate;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

/// How far the limit may run ahead of its mean, so that timers' coarseness costs no throughput.
const BURST: Duration = Duration::from_millis(50);

/// How far [`RateLimit::charge`] may run ahead: a flood of what can't wait must not stop all the rest for longer.
const MAX_DEBT: Duration = Duration::from_secs(1);

/// A token bucket in the form "when is the next byte due" (GCRA), with a queue before it.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: Option<u64>,
    next: StdMutex<Instant>,
    /// Held by whose turn it is; tokio's is fair, and waiters can leave.
    queue: Mutex<()>,
}

/// The right to send something now. Nobody else has it until it is spent or dropped, so do that at once.
#[derive(Debug)]
pub struct Turn<'a> {
    limit: &'a RateLimit,
    /// None where there is no limit.
    _place: Option<MutexGuard<'a, ()>>,
}

impl RateLimit {
    /// A limit that starts with a full bucket; `None` never limits.
    pub fn new(rate: Option<ByteRate>) -> Self {
        Self {
            bytes_per_second: rate.map(ByteRate::bytes_per_second),
            next: StdMutex::new(Instant::now()),
            queue: Mutex::new(()),
        }
    }

    /// Whether there is a limit at all.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// A turn, if one can be had without waiting.
    pub fn try_turn(&self) -> Option<Turn<'_>> {
        if self.bytes_per_second.is_none() {
            return Some(Turn { limit: self, _place: None });
        }
        let place = self.queue.try_lock().ok()?;
        (*self.next() <= Instant::now()).then_some(Turn { limit: self, _place: Some(place) })
    }

    /// Waits for a turn. Dropping the future leaves the queue, and is all that it costs.
    pub async fn turn(&self) -> Turn<'_> {
        let place = match self.bytes_per_second {
            Some(_) => Some(self.queue.lock().await),
            None => None,
        };
        if place.is_some() {
            loop {
                let next = *self.next();
                if next <= Instant::now() {
                    break;
                }
                sleep_until(next).await;
            }
        }
        Turn { limit: self, _place: place }
    }

    /// Takes `bytes` off the limit that can't wait, such as a handshake; those with turns wait for them.
    pub fn charge(&self, bytes: usize) {
        self.take(bytes, MAX_DEBT);
    }

    /// `ahead`: how far into the future this may push the next turn, unless it is further away already.
    fn take(&self, bytes: usize, ahead: Duration) {
        let Some(rate) = self.bytes_per_second else { return };
        let nanoseconds =
            u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / rate.max(1);
        let now = Instant::now();
        let mut next = self.next();
        let start = (*next).max(now.checked_sub(BURST).unwrap_or(now));
        let end = (start + Duration::from_nanos(nanoseconds)).min(now + ahead);
        *next = end.max(*next);
    }

    fn next(&self) -> StdGuard<'_, Instant> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Pays for `bytes` that are sent now.
    pub fn spend(self, bytes: usize) {
        /// No bound: nobody can spend more than one message at a time.
        const ANY: Duration = Duration::from_secs(1 << 32);
        self.limit.take(bytes, ANY);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const BLOCK: usize = 16 * 1024;

    fn limit(rate: &str) -> Arc<RateLimit> {
        Arc::new(RateLimit::new(Some(rate.parse().unwrap())))
    }

    /// Sends that many blocks, one after the other.
    async fn send(limit: &RateLimit, blocks: usize) {
        for _ in 0..blocks {
            limit.turn().await.spend(BLOCK);
        }
    }

    #[track_caller]
    fn check(since: Instant, seconds: f64) {
        let took = since.elapsed().as_secs_f64();
        assert!((took - seconds).abs() < 0.11, "{took} s instead of {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn the_mean_rate_is_the_limit() {
        let (limit, start) = (limit("1 MiB/s"), Instant::now());
        send(&limit, 640).await;
        check(start, 10.0);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let limit = limit("1 MiB/s");
        tokio::time::sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        send(&limit, 64).await;
        check(start, 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_gets_the_same() {
        let (limit, start) = (limit("1 MiB/s"), Instant::now());
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let limit = Arc::clone(&limit);
                tokio::spawn(async move { send(&limit, 80).await })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
            // A round of the eight takes an eighth of a second.
            let took = start.elapsed().as_secs_f64();
            assert!((9.7..10.1).contains(&took), "{took} s instead of 10 s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_has_taken_nothing() {
        let (limit, start) = (limit("64 KiB/s"), Instant::now());
        send(&limit, 1).await;
        let mut waiting: Vec<_> = (0..400)
            .map(|_| {
                let limit = Arc::clone(&limit);
                tokio::spawn(async move { send(&limit, 1).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let last = waiting.pop().unwrap();
        for one in waiting {
            one.abort();
        }
        last.await.unwrap();
        check(start, 0.25);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_let_pass_is_free() {
        let limit = limit("64 KiB/s");
        for _ in 0..1000 {
            drop(limit.turn().await);
        }
        assert!(limit.try_turn().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_wait_counts_but_only_so_much() {
        let (limit, start) = (limit("64 KiB/s"), Instant::now());
        limit.charge(2 * BLOCK);
        send(&limit, 1).await;
        check(start, 0.5);
        for _ in 0..10_000 {
            limit.charge(BLOCK);
        }
        let start = Instant::now();
        send(&limit, 1).await;
        check(start, 1.0);
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        let limit = RateLimit::new(None);
        let turns: Vec<_> = (0..1000).map(|_| limit.try_turn().unwrap()).collect();
        limit.charge(usize::MAX);
        for turn in turns {
            turn.spend(usize::MAX);
        }
    }
}
