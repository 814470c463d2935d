//! Connects out to peers that can't connect to the box: it may be behind NAT as well as they.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use crate::net::peers;

/// How often the box's own addresses are looked up.
const OWN_ADDRESSES: Duration = Duration::from_mins(1);

/// Whom the box is to connect to: everybody tells, [`run`] calls.
#[derive(Debug, Default)]
pub struct Dialler {
    candidates: Mutex<Candidates>,
    changed: Notify,
}

impl Dialler {
    /// A peer has announced to the box's tracker.
    pub fn announced(&self, announce: &Announce) {
        let Announce { info_hash, address: teller, port, .. } = *announce;
        let address = SocketAddr::new(teller, port);
        if announce.event == Event::Stopped || announce.is_complete() {
            self.lock().remove(info_hash, address);
        } else {
            self.add(&Tip { info_hash, address, source: Source::Tracker, teller });
        }
    }

    /// Somebody wants an item.
    pub fn add(&self, tip: &Tip) {
        self.lock().add(Instant::now(), tip);
        self.changed.notify_one();
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
        self.candidates.lock().unwrap_or_else(PoisonError::into_inner)
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
        while let Some((info_hash, address)) = app.dialler.next(&app) {
            let (app, ending) = (Arc::clone(&app), ending.clone());
            calls.spawn(async move {
                match ending.run_until_cancelled(peers::connect(&app, info_hash, address)).await {
                    Some(false) => app.dialler.put_off(info_hash, address),
                    Some(true) | None => app.dialler.ended(info_hash, address),
                }
            });
        }
        let due = app.dialler.lock().next_due().unwrap_or(own_until).min(own_until);
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
