//! What peers say and are told, whatever the protocol.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use torrent::{InfoHash, PeerId};

use crate::members::Passkey;
use crate::swarm::MAX_INTERVAL;

/// A peer tells where it is and how far it has got (BEP 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// Which swarm.
    pub info_hash: InfoHash,
    /// The name the client chose for itself. Everybody in the swarm can see it.
    pub peer_id: PeerId,
    /// Source of the packet. Never what the request says: or anybody could enter anybody into a swarm.
    pub address: IpAddr,
    /// Where the peer listens; 0 when it takes no connections.
    pub port: u16,
    /// Bytes uploaded since the started event, as the peer says.
    pub uploaded: u64,
    /// Bytes downloaded since the started event, as the peer says.
    pub downloaded: u64,
    /// Bytes it still lacks, [`u64::MAX`] when it does not know yet (a magnet link without metadata).
    pub left: u64,
    /// Why it announces.
    pub event: Event,
    /// How many peers it would like; `None` leaves it to the tracker.
    pub numwant: Option<u32>,
    /// A number that only this client and the tracker know; 0 when it has none.
    pub key: u32,
    /// Whether the HTTP answer lists peers as packed bytes (BEP 23) instead of dictionaries.
    pub compact: bool,
    /// What it shows to be a member, if anything: it is in the path over HTTP, which is read apart from the query.
    pub passkey: Option<Passkey>,
}

impl Announce {
    /// Whether the peer has everything.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }
}

/// Why a peer announces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Event {
    /// At its regular interval.
    #[default]
    None,
    /// The download just finished.
    Completed,
    /// It joins the swarm.
    Started,
    /// It leaves the swarm.
    Stopped,
}

/// What a peer is told in return.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// When to announce again.
    pub interval: Duration,
    /// Not earlier than this, even if more peers are wanted.
    pub min_interval: Duration,
    /// The swarm, the asker and the box included.
    pub scrape: Scrape,
    /// Whether this announce ended a download that was not counted before.
    pub has_finished: bool,
    /// Peers with an IPv4 address; the box first if it has one that the asker can use.
    pub peers_v4: Vec<SocketAddrV4>,
    /// Peers with an IPv6 address; the box first if it has one that the asker can use.
    pub peers_v6: Vec<SocketAddrV6>,
}

impl Answer {
    /// For who leaves without ever having been there: it tells of nobody.
    pub fn to_nobody() -> Self {
        Self { interval: MAX_INTERVAL, min_interval: MAX_INTERVAL, ..Self::default() }
    }

    /// Adds a peer to those of its address family.
    pub(crate) fn push(&mut self, peer: SocketAddr) {
        match peer.ip().to_canonical() {
            IpAddr::V4(ip) => self.peers_v4.push(SocketAddrV4::new(ip, peer.port())),
            IpAddr::V6(ip) => self.peers_v6.push(SocketAddrV6::new(ip, peer.port(), 0, 0)),
        }
    }
}

/// A swarm in three numbers (BEP 48).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrape {
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that still download.
    pub incomplete: u32,
    /// Downloads that finished, each peer counted once.
    pub downloaded: u32,
}
