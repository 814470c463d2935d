//! The one store of who is in which swarm, for HTTP and UDP alike.
//!
//! A peer is its peer id and key. Everybody in a swarm sees the peer ids, but only the client knows its key, so
//! nobody can move or remove another's entry; clients behind one router stay apart; and one that announces over
//! HTTP and UDP, or from a new address, is still one peer. It has an entry in each address family it uses.

mod limits;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;
use torrent::InfoHash;

use crate::address::Scope;
use crate::announce::patience;
use crate::peers::{LONGEST_STAY, Peer, Peers, Place, Stay, Tag};
use crate::prefix::Shares;
use crate::{Announce, Answer, Event, Scrape};
pub use limits::Limits;

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

const _: () = assert!(patience(MAX_INTERVAL).as_secs() < LONGEST_STAY as u64);

/// Parts of the store; each is locked by itself, so that neither requests nor the housekeeping keep others waiting.
const SHARDS: usize = 16;

/// Who is in which swarm. Everybody may use it at once: a call locks the part that the swarm is in.
#[derive(Debug)]
pub struct SwarmStore {
    shards: [Mutex<Shard>; SHARDS],
    /// Swarms in all shards.
    swarms: AtomicUsize,
    /// Peers in all swarms.
    peers: AtomicUsize,
    shares: Shares,
    limits: Limits,
    start: Instant,
    hash: Keyed,
}

type Shard = HashMap<InfoHash, Swarm, Keyed>;

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
        let shards = std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hash)));
        let [swarms, peers] = [0, 0].map(AtomicUsize::new);
        Self { shards, swarms, peers, shares: Shares::new(key), limits, start, hash }
    }

    /// Enters what the peer says and answers it. Whether this torrent is tracked at all has been decided before.
    ///
    /// `self_seed` is the address at which this asker reaches the box as a seeder of this swarm (see
    /// [`crate::address::seed_address`]); it is counted as complete and comes first among the peers.
    pub fn announce(
        &self,
        now: Instant,
        announce: &Announce,
        self_seed: Option<SocketAddr>,
        random: &mut impl FnMut() -> u64,
    ) -> Answer {
        let tag = self.tag(announce);
        let mut shard = self.shard(&announce.info_hash);
        let swarm = self.swarm(&mut shard, announce);
        let interval = self.interval(swarm.as_ref().map_or(0, |swarm| swarm.len()));
        let mut answer = Answer { interval, min_interval: interval / 2, ..Answer::default() };
        if let Some(swarm) = swarm {
            let expires = now + patience(interval);
            answer.has_finished = self.update(swarm, announce, tag, seconds(self.start, expires));
            answer.scrape = swarm.scrape();
            fill(swarm, &mut answer, announce, tag, self_seed, random);
        } else {
            fill(&Swarm::default(), &mut answer, announce, tag, self_seed, random);
        }
        answer.scrape.complete += u32::from(self_seed.is_some());
        answer
    }

    /// When the next one to announce to this swarm is told to come again.
    pub fn interval_of(&self, info_hash: &InfoHash) -> Duration {
        self.interval(self.shard(info_hash).get(info_hash).map_or(0, Swarm::len))
    }

    /// What is known of a swarm, the box not counted; `None` if nobody announced to it.
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<Scrape> {
        self.shard(info_hash).get(info_hash).map(Swarm::scrape)
    }

    /// Forgets the peers that have not announced for twice their interval. Due every minute or so, and at least every
    /// six hours. One shard after the other: nobody waits long.
    pub fn expire(&self, now: Instant) {
        let seconds = seconds(self.start, now);
        for shard in &self.shards {
            lock(shard).retain(|info_hash, swarm| {
                let before = swarm.len();
                swarm.v4.expire(seconds, |address| self.shares.give_back(info_hash, address.into()));
                swarm.v6.expire(seconds, |address| self.shares.give_back(info_hash, address.into()));
                self.peers.fetch_sub(before - swarm.len(), Ordering::Relaxed);
                // Counts of finished downloads are kept while there is room.
                let full = self.swarm_count() >= self.limits.swarms;
                let keep = swarm.len() > 0 || (swarm.downloaded > 0 && !full);
                self.swarms.fetch_sub(usize::from(!keep), Ordering::Relaxed);
                keep
            });
        }
    }

    /// Forgets a swarm with all its counts: its torrent is no longer published.
    pub fn forget(&self, info_hash: &InfoHash) {
        let forgotten = self.shard(info_hash).remove(info_hash);
        if let Some(swarm) = forgotten {
            swarm.addresses().for_each(|address| self.shares.give_back(info_hash, address));
            self.swarms.fetch_sub(1, Ordering::Relaxed);
            self.peers.fetch_sub(swarm.len(), Ordering::Relaxed);
        }
    }

    /// Swarms that are known.
    fn swarm_count(&self) -> usize {
        self.swarms.load(Ordering::Relaxed)
    }

    /// Peers in all swarms.
    pub fn peer_count(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }

    fn shard(&self, info_hash: &InfoHash) -> MutexGuard<'_, Shard> {
        // Clients may choose who waits for whom, but nobody waits long.
        lock(&self.shards[usize::from(info_hash.0[0]) % SHARDS])
    }

    /// Longer the larger the swarm is and the more peers announce altogether, so that neither a popular torrent
    /// nor a thousand small ones make more announces than a small machine answers with ease.
    fn interval(&self, swarm: usize) -> Duration {
        let more = SECONDS_PER_PEER * swarm + self.peer_count() / PEERS_PER_SECOND;
        (MIN_INTERVAL + Duration::from_secs(more as u64)).min(MAX_INTERVAL)
    }

    /// The upper half of a keyed hash of peer id and key.
    fn tag(&self, announce: &Announce) -> Tag {
        let mut identity = [0; 24];
        identity[..20].copy_from_slice(announce.peer_id.as_bytes());
        identity[20..].copy_from_slice(&announce.key.to_be_bytes());
        (self.hash.0.hash(&identity) >> 32) as Tag
    }

    /// The swarm to which somebody announces: a new one, if there is room for it and somebody to be entered.
    fn swarm<'a>(&self, shard: &'a mut Shard, announce: &Announce) -> Option<&'a mut Swarm> {
        match shard.entry(announce.info_hash) {
            Entry::Occupied(swarm) => Some(swarm.into_mut()),
            Entry::Vacant(place) => {
                let has_room = place_of(announce).is_some() && self.peer_count() < self.limits.peers;
                (has_room && take_one(&self.swarms, self.limits.swarms))
                    .then(|| place.insert(Swarm::default()))
            }
        }
    }

    /// Whether a download has ended that was not counted before.
    fn update(&self, swarm: &mut Swarm, announce: &Announce, tag: Tag, expires: u32) -> bool {
        let known = swarm.known(announce, tag);
        let Some(place) = place_of(announce) else {
            if let Some((known, _)) = known {
                swarm.remove(announce.address, tag);
                self.peers.fetch_sub(1, Ordering::Relaxed);
                self.shares.give_back(&announce.info_hash, known);
            }
            return false;
        };
        let address = announce.address.to_canonical();
        if let Some((known, _)) = known {
            self.shares.exchange(&announce.info_hash, known, address);
        } else if !self.has_room(swarm, &announce.info_hash, address) {
            return false;
        }
        swarm.enter(announce, place, tag, expires, known.map(|(_, stay)| stay))
    }

    /// Counts one more peer, if there is room for it.
    fn has_room(&self, swarm: &Swarm, info_hash: &InfoHash, address: IpAddr) -> bool {
        let Limits { peers, peers_per_swarm, peers_per_swarm_and_network, peers_per_network, .. } =
            self.limits;
        if swarm.len() >= peers_per_swarm
            || !self.shares.take(info_hash, address, peers_per_swarm_and_network, peers_per_network)
        {
            return false;
        }
        let has_room = take_one(&self.peers, peers);
        if !has_room {
            self.shares.give_back(info_hash, address);
        }
        has_room
    }
}

/// Where a peer is entered; `None` for one that leaves, or that nobody can connect to.
fn place_of(announce: &Announce) -> Option<Place> {
    let has_place =
        Scope::of(announce.address).is_some() && announce.port != 0 && announce.event != Event::Stopped;
    has_place.then(|| place_among(announce))
}

/// Whom a peer is told of, and is among if it is entered.
fn place_among(announce: &Announce) -> Place {
    let scope = Scope::of(announce.address).unwrap_or(Scope::Global);
    Place { scope, complete: announce.is_complete() }
}

/// Takes one of those that are left, if there are any.
fn take_one(taken: &AtomicUsize, limit: usize) -> bool {
    let one_more = |taken| if taken < limit { Some(taken + 1) } else { None };
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
}

/// A shard is whole even if somebody panicked who held it: every change to it is one step.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The address of the same family at which the peer that announces is known, and its stay.
    fn known(&self, announce: &Announce, tag: Tag) -> Option<(IpAddr, Stay)> {
        let place = place_among(announce);
        match announce.address.to_canonical() {
            IpAddr::V4(_) => self.v4.get(place, tag).map(|peer| (peer.address.into(), peer.stay)),
            IpAddr::V6(_) => self.v6.get(place, tag).map(|peer| (peer.address.into(), peer.stay)),
        }
    }

    /// The addresses of all peers, in both families.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.addresses().map(IpAddr::from).chain(self.v6.addresses().map(IpAddr::from))
    }

    /// Enters a peer, of which this was known in its address family. Whether its download has ended and was not counted before.
    fn enter(
        &mut self,
        announce: &Announce,
        place: Place,
        tag: Tag,
        expires: u32,
        known: Option<Stay>,
    ) -> bool {
        let address = announce.address.to_canonical();
        // A peer that uses both address families announces its one download in both.
        let other = match address {
            IpAddr::V4(_) => self.v6.get(place, tag).map(|peer| peer.stay),
            IpAddr::V6(_) => self.v4.get(place, tag).map(|peer| peer.stay),
        };
        let stays = [known, other];
        let counted_before = stays.iter().flatten().any(|stay| stay.is_counted());
        let complete = place.complete;
        let finished = complete && announce.event == Event::Completed && !counted_before;
        self.downloaded = self.downloaded.saturating_add(u32::from(finished));
        // Who starts from a magnet link says that nothing is left, as long as it does not know how much there is.
        let came_with_all = complete && announce.event != Event::Started && stays == [None; 2];
        let stay = Stay::until(expires, counted_before || finished || came_with_all);
        let port = announce.port;
        match address {
            IpAddr::V4(address) => self.v4.put(place, Peer { tag, address, port, stay }),
            IpAddr::V6(address) => self.v6.put(place, Peer { tag, address, port, stay }),
        }
        finished
    }
}

/// Puts peers into the answer: the box, then the asker's own address family, then the other for as many as are still
/// wanted, because a client that has both may announce from only one of them.
fn fill(
    swarm: &Swarm,
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
    let asker = place_among(announce);
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
        if v6 {
            answer.peers_v6.reserve_exact(wanted.min(swarm.v6.len()));
            swarm.v6.choose(wanted, asker, tag, random, |ip, port| {
                let peer = SocketAddrV6::new(ip, port, 0, 0);
                if own != SocketAddr::V6(peer) {
                    answer.peers_v6.push(peer);
                }
            });
        } else {
            answer.peers_v4.reserve_exact(wanted.min(swarm.v4.len()));
            swarm.v4.choose(wanted, asker, tag, random, |ip, port| {
                let peer = SocketAddrV4::new(ip, port);
                if own != SocketAddr::V4(peer) {
                    answer.peers_v4.push(peer);
                }
            });
        }
    }
}

/// Seconds since the start, of which there are enough for 136 years.
fn seconds(start: Instant, now: Instant) -> u32 {
    u32::try_from(now.saturating_duration_since(start).as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
