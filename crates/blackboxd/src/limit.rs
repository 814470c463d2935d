//! The one limit on everything that is given away: peers and web seed together.
//!
//! Whoever has something to send waits for its turn and pays when its turn has come. So nothing is booked in advance: who
//! leaves, or lets its turn pass, has taken nothing from the others. Whose turn comes next is decided by
//! [`Schedule`]: what shortens a swarm's time first, then all items alike.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use appliance::ByteRate;
use seeder::{Schedule, Standing, Turn as Scheduled};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use torrent::{InfoHash, MAX_BLOCK};

/// How far the limit may run ahead of its mean, so that timers' coarseness costs no throughput.
const BURST: Duration = Duration::from_millis(50);

/// Turns in a second, if one is for more than a block.
const TURNS_PER_SECOND: u64 = 500;

/// Bytes in one turn at most.
const MAX_TURN: u64 = 1 << 20;

/// A token bucket in the form "when is the next byte due" (GCRA), and who waits before it.
#[derive(Debug)]
pub struct RateLimit {
    bytes_per_second: Option<u64>,
    state: Mutex<State>,
    /// The next turn is due at another time than it was.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    next: Instant,
    waiting: Schedule<InfoHash, u64>,
    /// How those who wait are told.
    bells: HashMap<u64, oneshot::Sender<Grant>>,
    last_waiter: u64,
    /// Whose turn it is.
    taken: Option<u64>,
}

type Grant = Scheduled<InfoHash, u64>;

/// The right to send something now. Nobody else has it until it is spent or dropped, so do that at once.
#[derive(Debug)]
pub struct Turn<'a> {
    limit: &'a RateLimit,
    /// None where there is no limit.
    grant: Option<Grant>,
}

/// A place among those who wait. Dropping it is leaving, and all that it costs.
#[derive(Debug)]
pub struct Waiting<'a> {
    limit: &'a RateLimit,
    waiter: u64,
    bell: oneshot::Receiver<Grant>,
    /// Whether the turn has come, and with it who ends it.
    is_over: bool,
}

impl RateLimit {
    /// A limit that starts with a full bucket; `None` never limits.
    pub fn new(rate: Option<ByteRate>) -> Self {
        let state = State {
            next: Instant::now(),
            waiting: Schedule::default(),
            bells: HashMap::new(),
            last_waiter: 0,
            taken: None,
        };
        Self {
            bytes_per_second: rate.map(ByteRate::bytes_per_second),
            state: state.into(),
            changed: Notify::new(),
        }
    }

    /// Whether there is a limit at all.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// A turn, where nobody has to wait for one since there is no limit.
    pub fn free_turn(&self) -> Option<Turn<'_>> {
        self.bytes_per_second.is_none().then_some(Turn { limit: self, grant: None })
    }

    /// Waits for a turn to send something of this item.
    pub async fn turn(&self, item: InfoHash, standing: Standing) -> Turn<'_> {
        match self.free_turn() {
            Some(turn) => turn,
            None => self.wait(item, standing).await,
        }
    }

    /// Gives turns when they are due, for ever. Without it nobody's turn comes whose turn is not come already.
    pub async fn run(&self) {
        if self.bytes_per_second.is_none() {
            return pending().await;
        }
        loop {
            match self.grant() {
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Begins to wait.
    fn wait(&self, item: InfoHash, standing: Standing) -> Waiting<'_> {
        let (bell, heard) = oneshot::channel();
        let mut state = self.lock();
        state.last_waiter += 1;
        let waiter = state.last_waiter;
        state.waiting.push(waiter, item, standing);
        state.bells.insert(waiter, bell);
        drop(state);
        self.go_on();
        Waiting { limit: self, waiter, bell: heard, is_over: false }
    }

    /// Gives whoever is next its turn, if it is due, or says when that will be; `None` if there is nobody, or it is
    /// somebody's turn already.
    fn grant(&self) -> Option<Instant> {
        let state = &mut *self.lock();
        while state.taken.is_none() && !state.waiting.is_empty() {
            if state.next > Instant::now() {
                return Some(state.next);
            }
            let grant = state.waiting.pop()?;
            let bell = state.bells.remove(&grant.waiter);
            let is_heard = bell.is_some_and(|bell| bell.send(grant).is_ok());
            state.taken = is_heard.then_some(grant.waiter);
        }
        None
    }

    /// Goes on at once, if possible.
    fn go_on(&self) {
        if self.grant().is_some() {
            self.changed.notify_one();
        }
    }

    fn take(&self, state: &mut State, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let nanoseconds =
            u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000_000_000) / rate.max(1);
        let now = Instant::now();
        let start = state.next.max(now.checked_sub(BURST).unwrap_or(now));
        state.next = start + Duration::from_nanos(nanoseconds);
    }

    fn turn_bytes(&self) -> usize {
        let rate = self.bytes_per_second.unwrap_or(u64::MAX);
        usize::try_from((rate / TURNS_PER_SECOND).clamp(MAX_BLOCK.into(), MAX_TURN)).unwrap_or(usize::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// How many bytes should be sent in this turn, more or less.
    pub fn bytes(&self) -> usize {
        self.limit.turn_bytes()
    }

    /// Pays for `bytes` that are sent now.
    pub fn spend(self, bytes: usize) {
        if let Some(grant) = self.grant {
            let mut state = self.limit.lock();
            state.waiting.charge(grant, bytes as u64);
            self.limit.take(&mut state, bytes);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.grant.is_some() {
            self.limit.lock().taken = None;
            self.limit.go_on();
        }
    }
}

impl<'a> Future for Waiting<'a> {
    type Output = Turn<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Turn<'a>> {
        let limit = self.limit;
        let grant = ready!(Pin::new(&mut self.bell).poll(context));
        self.is_over = true;
        Poll::Ready(Turn { limit, grant: grant.ok() })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.limit.lock();
        state.waiting.remove(self.waiter);
        state.bells.remove(&self.waiter);
        // Its turn has come unnoticed, and is over.
        let was_next = state.taken == Some(self.waiter);
        if was_next {
            state.taken = None;
        }
        drop(state);
        if was_next {
            self.limit.go_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const BLOCK: usize = 16 * 1024;

    const ITEM: InfoHash = InfoHash([1; 20]);

    fn limit(rate: &str) -> Arc<RateLimit> {
        let limit = Arc::new(RateLimit::new(Some(rate.parse().unwrap())));
        let running = Arc::clone(&limit);
        tokio::spawn(async move { running.run().await });
        limit
    }

    async fn turn(limit: &RateLimit) -> Turn<'_> {
        limit.turn(ITEM, Standing::default()).await
    }

    /// Sends that many blocks, one after the other.
    async fn send(limit: &RateLimit, blocks: usize) {
        for _ in 0..blocks {
            turn(limit).await.spend(BLOCK);
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
            drop(turn(&limit).await);
        }
        let start = Instant::now();
        send(&limit, 1).await;
        check(start, 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn items_share_alike_however_many_want_them() {
        let (limit, start) = (limit("1 MiB/s"), Instant::now());
        for _ in 0..50 {
            let limit = Arc::clone(&limit);
            tokio::spawn(async move { send(&limit, 100).await });
        }
        for _ in 0..64 {
            limit.turn(InfoHash([2; 20]), Standing::default()).await.spend(BLOCK);
        }
        check(start, 2.0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_turn_is_lost_with_those_who_leave() {
        let limit = limit("100 GiB/s");
        let rounds = (0..8_u64).map(|number| {
            let limit = Arc::clone(&limit);
            tokio::spawn(async move {
                for round in 0..3000_u64 {
                    // At all sorts of moments.
                    let mut waiting = Box::pin(turn(&limit));
                    let polls = (number + round) % 3;
                    for _ in 0..polls {
                        tokio::select! {
                            biased;
                            mine = &mut waiting => { mine.spend(1); waiting = Box::pin(turn(&limit)); }
                            () = tokio::task::yield_now() => {}
                        }
                    }
                }
            })
        });
        for round in rounds.collect::<Vec<_>>() {
            round.await.unwrap();
        }
        tokio::time::timeout(Duration::from_secs(20), turn(&limit))
            .await
            .expect("nobody's turn comes any more");
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        let limit = RateLimit::new(None);
        let turns: Vec<_> = (0..1000).map(|_| limit.free_turn().unwrap()).collect();
        for turn in turns {
            turn.spend(usize::MAX);
        }
    }
}
