//! What a peer is told of the others who want the same, what it tells of them (BEP 11), and where it can be reached.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use discovery::candidates::{Source, Tip};
use discovery::exchange::{Contact, Flags, Hearing, INTERVAL, Roster, Telling};
use seeder::{PeerSession, SILENCE_LIMIT};
use torrent::InfoHash;

use crate::app::App;
use crate::random;

/// How often it is looked whether there are others, until the peer has been told of some.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// The connected peers by what they want, as far as others can be told of them.
#[derive(Debug, Default)]
pub(super) struct Rosters {
    rosters: Mutex<HashMap<InfoHash, Roster>>,
}

impl Rosters {
    fn lock(&self) -> MutexGuard<'_, HashMap<InfoHash, Roster>> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connected peer among the others.
pub(super) struct Acquaintance<'a> {
    app: &'a App,
    info_hash: InfoHash,
    /// Where the connection is from, or was made to.
    address: SocketAddr,
    is_called: bool,
    /// Where it can be reached, once that is known.
    listens_at: Option<SocketAddr>,
    hearing: Hearing,
    telling: Telling,
    /// When it is looked whether there is news; `None` as long as the peer can't be told of it.
    next: Option<Instant>,
}

impl<'a> Acquaintance<'a> {
    pub(super) fn new(app: &'a App, info_hash: InfoHash, address: SocketAddr, is_called: bool) -> Self {
        Self {
            app,
            info_hash,
            address,
            is_called,
            listens_at: None,
            hearing: Hearing::default(),
            telling: Telling::default(),
            next: None,
        }
    }

    /// Whether peers may be told of each other at all.
    pub(super) fn is_offered(app: &App) -> bool {
        app.is_public() && app.config.discovery.exchange
    }

    /// When there may be something to [`tell`](Self::tell).
    pub(super) fn next_deadline(&self) -> Instant {
        // The session is due before that in any case: who can't be told of others is not woken for it.
        self.next.unwrap_or_else(|| Instant::now() + SILENCE_LIMIT)
    }

    /// Takes note of where the peer can be reached, and of what it has told.
    pub(super) fn hear(&mut self, session: &mut PeerSession) {
        if self.listens_at.is_none()
            && let Some(address) = self.reachable_at(session)
        {
            self.enter(address);
        }
        if let Some(port) = session.poll_dht_port() {
            self.app.dht_told.add(SocketAddr::new(self.address.ip(), port));
        }
        let Some(payload) = session.poll_exchange() else { return };
        let Some(message) = self.hearing.message(Instant::now(), &payload) else { return };
        for contact in message.added.iter().filter(|contact| !contact.flags.has(Flags::SEED)) {
            let (info_hash, teller) = (self.info_hash, self.address.ip());
            self.app.dialler.add(&Tip {
                info_hash,
                address: contact.address,
                source: Source::Exchange,
                teller,
            });
        }
    }

    /// Tells the peer of others, if it is time for that.
    pub(super) fn tell(&mut self, session: &mut PeerSession) {
        let now = Instant::now();
        if !session.can_exchange() {
            self.next = None;
            return;
        }
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        self.next = Some(now + if self.telling.next().is_some() { INTERVAL } else { FIRST_PAUSE });
        let rosters = self.app.peers.rosters.lock();
        let Some(roster) = rosters.get(&self.info_hash) else { return };
        let itself = self.listens_at.unwrap_or(self.address);
        let place = random::bytes().map_or(0, u64::from_ne_bytes);
        if let Some(message) = self.telling.message(now, roster, itself, place) {
            drop(rosters);
            session.exchange(&message.to_bytes());
            self.next = self.telling.next();
        }
    }

    fn reachable_at(&self, session: &PeerSession) -> Option<SocketAddr> {
        if self.is_called {
            return Some(self.address);
        }
        session.listen_port().map(|port| SocketAddr::new(self.address.ip(), port))
    }

    fn enter(&mut self, address: SocketAddr) {
        self.listens_at = Some(address);
        let flags = if self.is_called { Flags::REACHABLE } else { Flags::default() };
        if !self.is_called {
            self.app.dialler.arrived(self.info_hash, address);
        }
        let mut rosters = self.app.peers.rosters.lock();
        rosters.entry(self.info_hash).or_default().insert(Contact { address, flags });
    }
}

impl Drop for Acquaintance<'_> {
    fn drop(&mut self) {
        let Some(address) = self.listens_at else { return };
        if !self.is_called {
            self.app.dialler.departed(self.info_hash, address);
        }
        let mut rosters = self.app.peers.rosters.lock();
        if let Some(roster) = rosters.get_mut(&self.info_hash) {
            roster.remove(address);
            if roster.is_empty() {
                rosters.remove(&self.info_hash);
            }
        }
    }
}
