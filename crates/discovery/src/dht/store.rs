//! The peers that others have announced to this node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use torrent::InfoHash;

/// Torrents for which peers are kept, and peers of each. Together they take a few megabytes.
const MAX_TORRENTS: usize = 1_000;
const MAX_PEERS: usize = 50;

/// Peers that are given at once: as many as fit into a packet with nodes of version 6.
const MAX_GIVEN: usize = 40;

/// A peer that has not announced for so long is forgotten. Clients announce every 15 to 30 minutes.
const LIFE: Duration = Duration::from_mins(45);

#[derive(Debug, Default)]
pub(crate) struct Store {
    /// Each with the time at which it is forgotten.
    torrents: BTreeMap<InfoHash, BTreeMap<SocketAddr, Instant>>,
}

impl Store {
    /// Takes a peer, if there is room.
    pub(crate) fn put(&mut self, now: Instant, info_hash: InfoHash, peer: SocketAddr) {
        if self.torrents.len() >= MAX_TORRENTS && !self.torrents.contains_key(&info_hash) {
            return;
        }
        let peers = self.torrents.entry(info_hash).or_default();
        if peers.len() < MAX_PEERS || peers.contains_key(&peer) {
            peers.insert(peer, now + LIFE);
        }
    }

    /// Some peers of a torrent, others each time; `random` says which.
    pub(crate) fn get(&self, info_hash: &InfoHash, random: u64) -> Vec<SocketAddr> {
        let Some(peers) = self.torrents.get(info_hash).filter(|peers| !peers.is_empty()) else {
            return Vec::new();
        };
        let skip = usize::try_from(random % peers.len() as u64).unwrap_or(0);
        peers.keys().cycle().skip(skip).take(peers.len().min(MAX_GIVEN)).copied().collect()
    }

    /// Forgets those whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.torrents.retain(|_, peers| {
            peers.retain(|_, until| *until > now);
            !peers.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn peer(number: u16) -> SocketAddr {
        ([192, 0, 2, 1], number).into()
    }

    #[test]
    fn peers_are_kept_for_a_while() {
        let (start, mut store, hash) = (start(), Store::default(), InfoHash([1; 20]));
        store.put(start, hash, peer(1));
        store.put(start + LIFE / 2, hash, peer(2));
        assert_eq!(store.get(&hash, 1), [peer(2), peer(1)]);
        store.expire(start + LIFE);
        assert_eq!(store.get(&hash, 7), [peer(2)]);
        store.expire(start + 2 * LIFE);
        assert!(store.torrents.is_empty() && store.get(&hash, 0).is_empty());
    }

    #[test]
    fn neither_torrents_nor_peers_are_without_end() {
        let (start, mut store) = (start(), Store::default());
        let hash = |number: u16| {
            let mut bytes = [0; 20];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            InfoHash(bytes)
        };
        (0..3000).for_each(|number| store.put(start, hash(number), peer(1)));
        (1..3000).for_each(|number| store.put(start, hash(0), peer(number)));
        assert_eq!(store.torrents.len(), MAX_TORRENTS);
        assert_eq!(store.torrents[&hash(0)].len(), MAX_PEERS);
        assert_eq!(store.get(&hash(0), 3).len(), MAX_GIVEN);
    }
}
