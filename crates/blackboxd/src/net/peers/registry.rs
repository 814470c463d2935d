//! Who is connected, and who of them is unchoked.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use seeder::{PeerStats, Round, Slots, rank};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

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
    stats: Mutex<PeerStats>,
    unchoke: AtomicBool,
    /// Woken when `unchoke` changes.
    verdict: Notify,
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

    pub(super) fn enter(&self, stats: PeerStats) -> Place<'_> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let peer = Arc::new(Peer {
            stats: Mutex::new(stats),
            unchoke: AtomicBool::new(false),
            verdict: Notify::new(),
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

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Its figures when it last did something.
    fn stats(&self) -> PeerStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Tells the choker and the page how the peer is doing.
    pub(super) fn update(&self, stats: PeerStats) {
        *self.peer.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// The peer has become interested or lost interest: time to choose again.
    pub(super) fn interest_changed(&self) {
        self.registry.changed.notify_one();
    }

    /// Waits for the next verdict: whether the peer is to be unchoked.
    pub(super) async fn verdict(&self) -> bool {
        self.peer.verdict.notified().await;
        self.peer.unchoke.load(Ordering::Acquire)
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
    for (number, (peer, _)) in peers.iter().enumerate() {
        let unchoke = chosen.contains(&number);
        if peer.unchoke.swap(unchoke, Ordering::AcqRel) != unchoke {
            peer.verdict.notify_one();
        }
    }
}
