//! Who is connected, and who of them is unchoked.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use seeder::{PeerStats, Round, Slots, rank};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::about::{About, Seen};
use crate::app::SharedApp;

/// How often turns are looked at, apart from when peers come, go or change their mind.
const ROUND: Duration = Duration::from_secs(10);

/// Rest after a look, at least and as a multiple of what it took: it goes over all peers, and one of them may change its
/// mind all the time.
const MIN_REST: Duration = Duration::from_millis(5);
const REST_FACTOR: u32 = 20;

/// All connected peers that have told which item they want.
#[derive(Debug, Default)]
pub struct Registry {
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    next_key: std::sync::atomic::AtomicU64,
    changed: Notify,
}

/// A connected peer, as its connection and the choker see it.
#[derive(Debug)]
struct Peer {
    about: About,
    /// Its program, as it was last told.
    client: Mutex<String>,
    stats: Mutex<PeerStats>,
    pace: Mutex<Pace>,
    verdict: Mutex<Verdict>,
    /// Woken when the verdict changes.
    judged: Notify,
}

/// How fast a peer was served in the last round.
#[derive(Debug, Default, Clone, Copy)]
struct Pace {
    bytes_sent: u64,
    /// Bytes a second.
    rate: u64,
}

/// What the choker thinks of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has a slot.
    Unchoked,
    /// It wants nothing, or was not looked at since it does: it is choked.
    Uninterested,
    /// It wants something, and there is no slot for it: it is choked.
    WithoutSlot,
}

/// A place in the registry; leaving it is dropping it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    registry: &'a Registry,
    key: u64,
    peer: Arc<Peer>,
}

impl Registry {
    /// Number of connected peers.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn enter(&self, about: About, stats: PeerStats) -> Place<'_> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let peer = Arc::new(Peer {
            about,
            client: Mutex::default(),
            pace: Mutex::default(),
            stats: Mutex::new(stats),
            verdict: Mutex::new(Verdict::Uninterested),
            judged: Notify::new(),
        });
        self.lock().insert(key, Arc::clone(&peer));
        Place { registry: self, key, peer }
    }

    /// All of them with their figures.
    fn stats(&self) -> Vec<Known> {
        let peers: Vec<_> = self.lock().values().cloned().collect();
        peers
            .into_iter()
            .map(|peer| {
                let stats = peer.stats();
                (peer, stats)
            })
            .collect()
    }

    /// At most so many of them, those first that are served fastest; and then those that have taken most.
    pub(super) fn busiest(&self, count: usize) -> Vec<Seen> {
        let mut peers: Vec<_> =
            self.stats().into_iter().map(|(peer, stats)| (peer.pace().rate, stats, peer)).collect();
        peers.sort_by_key(|(rate, stats, _)| Reverse((*rate, stats.bytes_sent)));
        peers.truncate(count);
        peers.into_iter().map(|(rate, stats, peer)| peer.about.seen(peer.client(), &stats, rate)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Its figures when it last did something.
    fn stats(&self) -> PeerStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> Pace {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> String {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A round is over that took so long, in which it has come to so many bytes.
    fn set_pace(&self, bytes_sent: u64, elapsed: Duration) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = u128::from(bytes_sent.saturating_sub(pace.bytes_sent));
        let rate = sent * 1000 / elapsed.as_millis().max(1);
        *pace = Pace { bytes_sent, rate: u64::try_from(rate).unwrap_or(u64::MAX) };
    }
}

impl Place<'_> {
    /// Tells the choker and the page how the peer is doing.
    pub(super) fn update(&self, stats: PeerStats) {
        *self.peer.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// The peer has told what its program is, or this is known otherwise.
    pub(super) fn introduce(&self, client: &str) {
        let mut known = self.peer.client.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != client {
            client.clone_into(&mut known);
        }
    }

    /// The peer has become interested or lost interest: time to choose again.
    pub(super) fn interest_changed(&self) {
        self.registry.changed.notify_one();
    }

    /// Waits for the next verdict.
    pub(super) async fn verdict(&self) -> Verdict {
        self.peer.judged.notified().await;
        *self.peer.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.key);
        self.registry.changed.notify_one();
    }
}

/// Unchokes and chokes peers until `ending` is cancelled.
pub(super) async fn unchoke(app: SharedApp, ending: CancellationToken) {
    let mut slots = Slots::new(app.upload.bytes_per_second());
    let (mut counted, mut uploaded) = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            () = app.peers.registry.changed.notified() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
        let started = Instant::now();
        let peers = app.peers.registry.stats();
        let elapsed = started.saturating_duration_since(counted);
        if elapsed >= ROUND {
            for (peer, stats) in &peers {
                peer.set_pace(stats.bytes_sent, elapsed);
            }
            let now_uploaded = app.peers.uploaded.load(Ordering::Relaxed);
            slots.follow(round(&peers, elapsed, now_uploaded.saturating_sub(uploaded)));
            (counted, uploaded) = (started, now_uploaded);
        }
        choose(&peers, slots.get());
        let rest = MIN_REST.max(started.elapsed() * REST_FACTOR);
        if ending.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
            return;
        }
    }
}

/// A peer, and its figures of a moment ago.
type Known = (Arc<Peer>, PeerStats);

/// What has happened since the last round.
fn round(peers: &[Known], elapsed: Duration, uploaded: u64) -> Round {
    let unchoked = || peers.iter().filter(|(_, stats)| stats.interested && !stats.choked);
    let backlogged = unchoked().filter(|(_, stats)| stats.backlogged).count();
    Round { elapsed, uploaded, unchoked: unchoked().count(), backlogged }
}

/// Gives the slots to those who should have them.
fn choose(peers: &[Known], slots: usize) {
    let stats: Vec<(usize, PeerStats)> =
        peers.iter().enumerate().map(|(number, (_, stats))| (number, *stats)).collect();
    let chosen: HashSet<usize> = rank(&stats, slots, Instant::now()).into_iter().collect();
    for (number, (peer, stats)) in peers.iter().enumerate() {
        let verdict = match stats.interested {
            _ if chosen.contains(&number) => Verdict::Unchoked,
            true => Verdict::WithoutSlot,
            false => Verdict::Uninterested,
        };
        let mut before = peer.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *before, verdict) != verdict {
            peer.judged.notify_one();
        }
    }
}
