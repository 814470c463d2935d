//! Connects out to peers that can't connect to the box: it may be behind NAT as well as they.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use discovery::candidates::{Candidates, Source, Tip};
use tokio::sync::Notify;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use torrent::InfoHash;
use tracker::{Announce, Event};

use super::interfaces;
use crate::app::{App, SharedApp};
use crate::net::{lock, peers};

/// How often the box's own addresses are looked up.
const OWN_ADDRESSES: Duration = Duration::from_mins(1);

/// How often is looked who has announced; all of them have more time to come by themselves.
const LOOK: Duration = Duration::from_secs(1);

/// Announces that are kept between two looks; of more, the latest. Those who are left out will announce again, and nobody could
/// call as many as these. 64 KB.
const MAX_ANNOUNCED: usize = 1_024;

/// Whom the box is to connect to: everybody tells, [`run`] calls.
#[derive(Debug, Default)]
pub struct Dialler {
    candidates: Mutex<Candidates>,
    changed: Notify,
    announced: Mutex<Announced>,
}

/// What was announced of late: the tracker has more to do than to look at everybody who is not called.
#[derive(Debug, Default)]
struct Announced {
    kept: Vec<Announcer>,
    /// How many there were, with those that are not kept.
    count: usize,
}

/// A peer that has announced.
#[derive(Debug, Clone, Copy)]
struct Announcer {
    info_hash: InfoHash,
    address: SocketAddr,
    /// Whether it still wants something.
    is_leecher: bool,
}

impl Announced {
    fn push(&mut self, announcer: Announcer) {
        match self.kept.get_mut(self.count % MAX_ANNOUNCED) {
            Some(oldest) => *oldest = announcer,
            None => self.kept.push(announcer),
        }
        self.count += 1;
    }
}

impl Dialler {
    /// A peer has announced to the box's tracker.
    pub fn announced(&self, announce: &Announce) {
        let Announce { info_hash, address, port, .. } = *announce;
        let is_leecher = announce.event != Event::Stopped && !announce.is_complete();
        let announcer = Announcer { info_hash, address: SocketAddr::new(address, port), is_leecher };
        lock(&self.announced).push(announcer);
    }

    /// Looks at those who have announced.
    fn look(&self) {
        let announced = mem::take(&mut *lock(&self.announced));
        let mut candidates = self.lock();
        for Announcer { info_hash, address, is_leecher } in announced.kept {
            if is_leecher {
                let tip = Tip { info_hash, address, source: Source::Tracker, teller: address.ip() };
                candidates.add(Instant::now(), &tip);
            } else {
                candidates.remove(info_hash, address);
            }
        }
    }

    /// Somebody wants an item.
    pub fn add(&self, tip: &Tip) {
        let mut candidates = self.lock();
        let before = candidates.next_due();
        candidates.add(Instant::now(), tip);
        let due = candidates.next_due();
        drop(candidates);
        // Most of what is told is known or is for later; waking somebody up costs more than an announce.
        if due.is_some_and(|due| before.is_none_or(|before| due < before)) {
            self.changed.notify_one();
        }
    }

    /// A peer that takes connections at this address has connected to the box.
    pub fn arrived(&self, info_hash: InfoHash, address: SocketAddr) {
        self.lock().arrived(info_hash, address);
    }

    /// A peer that had [`arrived`](Self::arrived) is no longer connected.
    pub fn departed(&self, info_hash: InfoHash, address: SocketAddr) {
        self.lock().departed(Instant::now(), info_hash, address);
    }

    /// A peer that was called has answered with its handshake.
    pub fn connected(&self, info_hash: InfoHash, address: SocketAddr) {
        self.lock().connected(info_hash, address);
        self.changed.notify_one();
    }

    fn put_off(&self, info_hash: InfoHash, address: SocketAddr) {
        self.lock().put_off(Instant::now(), info_hash, address);
        self.changed.notify_one();
    }

    fn ended(&self, info_hash: InfoHash, address: SocketAddr) {
        self.lock().ended(Instant::now(), info_hash, address);
        self.changed.notify_one();
    }

    /// Whom to call now, of those who want what is still served.
    fn next(&self, app: &App) -> Option<(InfoHash, SocketAddr)> {
        let catalog = app.catalog.snapshot();
        let mut candidates = self.lock();
        loop {
            let (info_hash, address) = candidates.poll(Instant::now())?;
            if catalog.seeding(&info_hash).is_some() {
                return Some((info_hash, address));
            }
            candidates.ended(Instant::now(), info_hash, address);
            candidates.forget(&info_hash);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Candidates> {
        lock(&self.candidates)
    }
}

/// Calls peers until `ending` is cancelled.
///
/// # Errors
/// None: a peer that can't be called is no reason to end.
pub async fn run(app: SharedApp, ending: CancellationToken) -> io::Result<()> {
    let calls = TaskTracker::new();
    let mut own_until = Instant::now();
    while !ending.is_cancelled() {
        if own_until <= Instant::now() {
            own_until = Instant::now() + OWN_ADDRESSES;
            app.dialler.lock().set_own(own_addresses(&app));
        }
        app.dialler.look();
        while let Some((info_hash, address)) = app.dialler.next(&app) {
            let (app, ending) = (Arc::clone(&app), ending.clone());
            calls.spawn(async move {
                match ending.run_until_cancelled(peers::connect(&app, info_hash, address)).await {
                    Some(false) => app.dialler.put_off(info_hash, address),
                    Some(true) | None => app.dialler.ended(info_hash, address),
                }
            });
        }
        let look = Instant::now() + LOOK;
        let due = app.dialler.lock().next_due().unwrap_or(look).min(look);
        tokio::select! {
            () = ending.cancelled() => {}
            () = app.dialler.changed.notified() => {}
            () = sleep_until(due.into()) => {}
        }
    }
    calls.close();
    calls.wait().await;
    Ok(())
}

/// Where the box's listener can be reached, as far as this machine knows.
fn own_addresses(app: &App) -> Vec<SocketAddr> {
    let listener = app.listeners.peer;
    if !listener.ip().is_unspecified() {
        return vec![listener];
    }
    let local = interfaces::all().unwrap_or_default().into_iter().map(|interface| interface.address);
    let local = local.map(|ip| SocketAddr::new(ip, listener.port()));
    local.chain(app.public_host.addresses().iter().copied()).collect()
}
