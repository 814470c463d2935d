//! What is told of candidates, and by whom.

use std::net::{IpAddr, SocketAddr};

use torrent::InfoHash;

/// Who told of a candidate; the order is that of calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The peer itself, by announcing to the box's tracker.
    Tracker,
    /// The peer itself, by local discovery (BEP 14).
    Local,
    /// A node of the DHT (BEP 5).
    Dht,
    /// Another peer (BEP 11).
    Exchange,
}

impl Source {
    /// Whether the peer told of itself: then it is at this address.
    pub(super) const fn tells_of_itself(self) -> bool {
        matches!(self, Self::Tracker | Self::Local)
    }

    /// The part of the room for candidates that it may fill: one in so many.
    pub(super) const fn share(self) -> usize {
        if self.tells_of_itself() { 1 } else { 2 }
    }
}

/// Somebody wants an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Which item, by the name of one of its torrents.
    pub info_hash: InfoHash,
    /// Where it takes connections.
    pub address: SocketAddr,
    /// Who told so.
    pub source: Source,
    /// Where that came from: the peer itself, another peer, a node.
    pub teller: IpAddr,
}
