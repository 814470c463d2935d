//! The one store of who is in which swarm, for HTTP and UDP alike.
//!
//! A peer is its peer id and key. Everybody in a swarm sees the peer ids, but only the client knows its key, so
//! nobody can move or remove another's entry; clients behind one router stay apart; and one that announces over
//! HTTP and UDP, or from a new address, is still one peer. It has an entry in each address family it uses.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;
use torrent::InfoHash;

use crate::address::Scope;
use crate::peers::{Peer, Peers, Place, Tag};
use crate::{Announce, Answer, Event, Scrape};

/// Peers given to those who don't say how many they want.
pub const DEFAULT_NUMWANT: u32 = 50;

/// Most peers in one answer; 200 IPv4 addresses still fit into an unfragmented packet.
pub const MAX_NUMWANT: u32 = 200;

/// Interval in a swarm of few peers: newcomers are found soon.
pub const MIN_INTERVAL: Duration = Duration::from_mins(2);

/// Interval in a large swarm, where each peer knows plenty of others.
pub const MAX_INTERVAL: Duration = Duration::from_hours(1);

/// How much longer the interval gets with each peer in the swarm, in seconds.
const SECONDS_PER_PEER: usize = 6;

/// Peers in all swarms together that lengthen every interval by one second.
const PEERS_PER_SECOND: usize = 1_000;

/// Widespread clients don't announce more often than this, whatever interval they are given.
const CLIENTS_MIN_INTERVAL: Duration = Duration::from_mins(5);

/// What a store may grow to. What does not fit gets an answer but is not remembered.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Swarms with peers or finished downloads.
    pub swarms: usize,
    /// Peers in all swarms together.
    pub peers: usize,
    /// Peers in one swarm. Entering one moves up to half of its array, 16 bytes each.
    pub peers_per_swarm: usize,
}

impl Default for Limits {
    /// About 36 MB when full of IPv4 peers, 60 MB when full of IPv6 ones.
    fn default() -> Self {
        Self { swarms: 50_000, peers: 2_000_000, peers_per_swarm: 200_000 }
    }
}

/// Who is in which swarm.
#[derive(Debug)]
pub struct SwarmStore {
    swarms: HashMap<InfoHash, Swarm, Keyed>,
    /// Peers in all swarms.
    peers: usize,
    limits: Limits,
    start: Instant,
    hash: Keyed,
}

#[derive(Debug, Default)]
struct Swarm {
    v4: Peers<Ipv4Addr>,
    v6: Peers<Ipv6Addr>,
    downloaded: u32,
}

/// SipHash-1-3 with our key: clients choose what is hashed, and must not be able to choose where it ends up.
#[derive(Debug, Clone, Copy)]
struct Keyed(SipHasher13);

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        self.0
    }
}

impl SwarmStore {
    /// An empty store. `key` is secret and random, and may be another at each start; no later time may be before
    /// `start`.
    pub fn new(limits: Limits, key: &[u8; 16], start: Instant) -> Self {
        let hash = Keyed(SipHasher13::new_with_key(key));
        Self { swarms: HashMap::with_hasher(hash), peers: 0, limits, start, hash }
    }

    /// Enters what the peer says and answers it. Whether this torrent is tracked at all has been decided before.
    ///
    /// `self_seed` is the address at which this asker reaches the box as a seeder of this swarm (see
    /// [`crate::address::seed_address`]); it is counted as complete and comes first among the peers.
    pub fn announce(
        &mut self,
        now: Instant,
        announce: &Announce,
        self_seed: Option<SocketAddr>,
        random: &mut impl FnMut() -> u64,
    ) -> Answer {
        let interval = self.interval(&announce.info_hash);
        let tag = self.tag(announce);
        self.update(now, announce, tag, interval);
        let nobody = Swarm::default();
        let swarm = self.swarms.get(&announce.info_hash).unwrap_or(&nobody);
        let mut scrape = swarm.scrape();
        scrape.complete += u32::from(self_seed.is_some());
        let mut answer = Answer {
            interval,
            min_interval: interval / 2,
            scrape,
            peers_v4: Vec::new(),
            peers_v6: Vec::new(),
        };
        swarm.fill(&mut answer, announce, tag, self_seed, random);
        answer
    }

    /// What is known of a swarm, the box not counted; `None` if nobody announced to it.
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<Scrape> {
        self.swarms.get(info_hash).map(Swarm::scrape)
    }

    /// Forgets the peers that have not announced for twice their interval. Due every minute or so.
    pub fn expire(&mut self, now: Instant) {
        let seconds = seconds(self.start, now);
        let full = self.swarms.len() >= self.limits.swarms;
        self.peers = 0;
        self.swarms.retain(|_, swarm| {
            swarm.v4.expire(seconds);
            swarm.v6.expire(seconds);
            self.peers += swarm.len();
            // Counts of finished downloads are kept while there is room.
            swarm.len() > 0 || (swarm.downloaded > 0 && !full)
        });
    }

    /// Forgets a swarm with all its counts: its torrent is no longer published.
    pub fn forget(&mut self, info_hash: &InfoHash) {
        if let Some(swarm) = self.swarms.remove(info_hash) {
            self.peers -= swarm.len();
        }
    }

    /// Peers in all swarms.
    pub fn peer_count(&self) -> usize {
        self.peers
    }

    /// Longer the larger the swarm is and the more peers announce altogether, so that neither a popular torrent
    /// nor a thousand small ones make more announces than a small machine answers with ease.
    fn interval(&self, info_hash: &InfoHash) -> Duration {
        let swarm = self.swarms.get(info_hash).map_or(0, Swarm::len);
        let more = SECONDS_PER_PEER * swarm + self.peers / PEERS_PER_SECOND;
        (MIN_INTERVAL + Duration::from_secs(more as u64)).min(MAX_INTERVAL)
    }

    /// The upper half of a keyed hash of peer id and key.
    fn tag(&self, announce: &Announce) -> Tag {
        let mut identity = [0; 24];
        identity[..20].copy_from_slice(announce.peer_id.as_bytes());
        identity[20..].copy_from_slice(&announce.key.to_be_bytes());
        (self.hash.0.hash(&identity) >> 32) as Tag
    }

    fn update(&mut self, now: Instant, announce: &Announce, tag: Tag, interval: Duration) {
        let scope = Scope::of(announce.address).filter(|_| announce.port != 0);
        let Some(scope) = scope.filter(|_| announce.event != Event::Stopped) else {
            if let Some(swarm) = self.swarms.get_mut(&announce.info_hash) {
                self.peers -= usize::from(swarm.remove(announce.address, tag));
            }
            return;
        };
        let room = self.peers < self.limits.peers;
        let another = room && self.swarms.len() < self.limits.swarms;
        let swarm = match self.swarms.entry(announce.info_hash) {
            Entry::Occupied(swarm) => swarm.into_mut(),
            Entry::Vacant(place) if another => place.insert(Swarm::default()),
            Entry::Vacant(_) => return,
        };
        // A client that is late once, or does not announce as often as it is told, is still there.
        let patience = 2 * interval.max(CLIENTS_MIN_INTERVAL) + Duration::from_mins(1);
        let expires = seconds(self.start, now + patience);
        let before = swarm.len();
        swarm.enter(announce, scope, tag, expires, room && before < self.limits.peers_per_swarm);
        self.peers += swarm.len() - before;
    }
}

impl Swarm {
    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn scrape(&self) -> Scrape {
        let complete = self.v4.complete() + self.v6.complete();
        let count = |peers: usize| u32::try_from(peers).unwrap_or(u32::MAX);
        Scrape {
            complete: count(complete),
            incomplete: count(self.len() - complete),
            downloaded: self.downloaded,
        }
    }

    fn remove(&mut self, address: IpAddr, tag: Tag) -> bool {
        match address.to_canonical() {
            IpAddr::V4(_) => self.v4.remove(tag),
            IpAddr::V6(_) => self.v6.remove(tag),
        }
    }

    /// Enters a peer if it is known already or if there is room.
    fn enter(&mut self, announce: &Announce, scope: Scope, tag: Tag, expires: u32, room: bool) {
        let (v4, v6) = (self.v4.get(tag), self.v6.get(tag));
        let address = announce.address.to_canonical();
        let known = if address.is_ipv4() { v4.is_some() } else { v6.is_some() };
        if !known && !room {
            return;
        }
        // A peer that uses both address families announces its one download in both.
        let counted_before = v4.is_some_and(|peer| peer.counted) || v6.is_some_and(|peer| peer.counted);
        let complete = announce.is_complete();
        let finished = complete && announce.event == Event::Completed && !counted_before;
        self.downloaded = self.downloaded.saturating_add(u32::from(finished));
        // Who starts from a magnet link says that nothing is left, as long as it does not know how much there is.
        let came_with_all = complete && announce.event != Event::Started && v4.is_none() && v6.is_none();
        let counted = counted_before || finished || came_with_all;
        let (port, place) = (announce.port, Place { scope, complete });
        match address {
            IpAddr::V4(address) => self.v4.put(place, Peer { tag, expires, address, port, counted }),
            IpAddr::V6(address) => self.v6.put(place, Peer { tag, expires, address, port, counted }),
        }
    }

    /// Puts peers into the answer: the box, then the asker's own address family, then the other for as many as
    /// are still wanted, because a client that has both may announce from only one of them.
    fn fill(
        &self,
        answer: &mut Answer,
        announce: &Announce,
        tag: Tag,
        self_seed: Option<SocketAddr>,
        random: &mut impl FnMut() -> u64,
    ) {
        if announce.event == Event::Stopped {
            return;
        }
        let wanted = announce.numwant.unwrap_or(DEFAULT_NUMWANT).min(MAX_NUMWANT) as usize;
        let asker = Place {
            scope: Scope::of(announce.address).unwrap_or(Scope::Global),
            complete: announce.is_complete(),
        };
        let seed = self_seed.filter(|seed| Scope::of(seed.ip()).is_some() && seed.port() != 0);
        // Seeds are told of the box too: among them are those who come by a magnet link and do not know yet how much is
        // left. A real one hangs up when it sees that the box has everything.
        if let Some(seed) = seed.filter(|_| wanted > 0) {
            answer.push(seed);
        }
        // A client that was restarted has a new peer id; its old entry is not told to it either.
        let address = announce.address.to_canonical();
        let own = SocketAddr::new(address, announce.port);
        for v6 in [address.is_ipv6(), address.is_ipv4()] {
            let wanted = wanted.saturating_sub(answer.peers_v4.len() + answer.peers_v6.len());
            let peers: Vec<SocketAddr> = if v6 {
                self.v6.choose(wanted, asker, tag, random).map(SocketAddr::from).collect()
            } else {
                self.v4.choose(wanted, asker, tag, random).map(SocketAddr::from).collect()
            };
            peers.into_iter().filter(|peer| *peer != own).for_each(|peer| answer.push(peer));
        }
    }
}

/// Seconds since the start, of which there are enough for 136 years.
fn seconds(start: Instant, now: Instant) -> u32 {
    u32::try_from(now.saturating_duration_since(start).as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
