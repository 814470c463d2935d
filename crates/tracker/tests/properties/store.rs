//! The store against what it should know, kept in the simplest way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use torrent::InfoHash;
use tracker::address::Scope;
use tracker::swarm::{Limits, MAX_NUMWANT, MIN_INTERVAL};
use tracker::{Announce, Answer, Event, Scrape, SwarmStore, http};

use crate::{Dice, start};

/// Loopback, local and global ones of both families, one in mapped form, and those that nobody can be told of.
const ADDRESSES: [&str; 12] = [
    "127.0.0.1",
    "10.0.0.1",
    "192.168.1.7",
    "198.51.100.1",
    "203.0.113.9",
    "::ffff:203.0.113.9",
    "::1",
    "fd00::1",
    "2001:db8::1",
    "2001:db8:1::1",
    "0.0.0.0",
    "fe80::1",
];

const EVENTS: [Event; 5] = [Event::None, Event::None, Event::Completed, Event::Started, Event::Stopped];

const SWARMS: u8 = 3;

fn swarm(number: u8) -> InfoHash {
    InfoHash([number; 20])
}

/// An announce as the codec makes it, of a peer with this number.
fn announce(swarm_number: u8, peer: usize, address: IpAddr, port: u16) -> Announce {
    let hash = format!("%{swarm_number:02x}").repeat(20);
    let query = format!("info_hash={hash}&peer_id=-XX0000-{peer:012}&port={port}&left=1&key={peer:x}");
    http::parse_announce(&query, address).unwrap()
}

/// What any peer may announce.
fn anything(dice: &mut Dice) -> Announce {
    let peer = dice.roll(60);
    let number = u8::try_from(dice.roll(SWARMS.into())).unwrap();
    // Every peer has ports of its own, so that an address tells who it is.
    let port = 1_000 + 10 * peer + dice.roll(10);
    let port = if dice.roll(20) == 0 { 0 } else { u16::try_from(port).unwrap() };
    Announce {
        left: dice.choose(&[0, 1, u64::MAX]),
        event: dice.choose(&EVENTS),
        numwant: dice.choose(&[None, Some(0), Some(1), Some(7), Some(30), Some(200), Some(u32::MAX)]),
        ..announce(number, peer, dice.choose(&ADDRESSES).parse().unwrap(), port)
    }
}

/// A swarm, an address family, and who it is.
type Id = (InfoHash, bool, [u8; 20]);

/// Who should be known.
#[derive(Default)]
struct Model {
    entries: BTreeMap<Id, Entry>,
    downloaded: BTreeMap<InfoHash, u32>,
}

struct Entry {
    address: SocketAddr,
    complete: bool,
    /// Its download must not be counted (again).
    counted: bool,
    expires: Instant,
}

fn id(announce: &Announce, v6: bool) -> Id {
    (announce.info_hash, v6, announce.peer_id.0)
}

impl Model {
    /// Whether a download has ended that counts.
    fn announce(&mut self, announce: &Announce, expires: Instant) -> bool {
        let address = announce.address.to_canonical();
        let own = id(announce, address.is_ipv6());
        if announce.event == Event::Stopped || announce.port == 0 || Scope::of(address).is_none() {
            self.entries.remove(&own);
            return false;
        }
        let before: Vec<bool> = [false, true]
            .iter()
            .filter_map(|v6| Some(self.entries.get(&id(announce, *v6))?.counted))
            .collect();
        let counted = before.contains(&true);
        let complete = announce.left == 0;
        let finished = announce.event == Event::Completed && complete && !counted;
        *self.downloaded.entry(announce.info_hash).or_default() += u32::from(finished);
        let came_with_all = before.is_empty() && complete && announce.event != Event::Started;
        let address = SocketAddr::new(address, announce.port);
        let counted = counted || finished || came_with_all;
        self.entries.insert(own, Entry { address, complete, counted, expires });
        finished
    }

    fn expire(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.expires >= now);
    }

    fn forget(&mut self, info_hash: &InfoHash) {
        self.entries.retain(|(swarm, ..), _| swarm != info_hash);
        self.downloaded.remove(info_hash);
    }

    fn scrape(&self, info_hash: InfoHash) -> Scrape {
        let swarm = || self.entries.iter().filter(|((swarm, ..), _)| *swarm == info_hash);
        let count = |complete| swarm().filter(|(_, entry)| entry.complete == complete).count();
        Scrape {
            complete: u32::try_from(count(true)).unwrap(),
            incomplete: u32::try_from(count(false)).unwrap(),
            downloaded: self.downloaded.get(&info_hash).copied().unwrap_or(0),
        }
    }

    /// Everybody `asker` may be told of.
    fn useful(&self, asker: &Announce) -> BTreeSet<SocketAddr> {
        let useful = |((swarm, _, peer_id), entry): &(&Id, &Entry)| {
            *swarm == asker.info_hash
                && *peer_id != asker.peer_id.0
                && !(entry.complete && asker.left == 0)
                && Scope::of(entry.address.ip()).unwrap().is_told_to(asker.address)
        };
        self.entries.iter().filter(useful).map(|(_, entry)| entry.address).collect()
    }
}

/// All that are listed; nobody twice.
#[track_caller]
fn peers(answer: &Answer) -> BTreeSet<SocketAddr> {
    let v4 = answer.peers_v4.iter().copied().map(SocketAddr::V4);
    let all: Vec<_> = v4.chain(answer.peers_v6.iter().copied().map(SocketAddr::V6)).collect();
    let distinct: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "somebody twice: {all:?}");
    distinct
}

/// How long somebody is taken for present who was told this interval.
fn patience(answer: &Answer) -> Duration {
    2 * answer.interval.max(Duration::from_mins(5)) + Duration::from_mins(1)
}

#[test]
fn it_agrees_with_the_model() {
    let own: SocketAddr = "192.0.2.1:6881".parse().unwrap();
    for seed in 0..30 {
        let mut dice = Dice::new(seed);
        let mut now = start();
        let store = SwarmStore::new(Limits::default(), &dice.bytes(), now);
        let mut model = Model::default();
        for turn in 0..1_500 {
            let announce = anything(&mut dice);
            let seed_address = Some(own).filter(|_| dice.roll(2) == 0);
            let mut random = Dice::new(dice.next());
            let answer = store.announce(now, &announce, seed_address, &mut || random.next());
            let before = model.scrape(announce.info_hash).downloaded;
            let finished = model.announce(&announce, now + patience(&answer));
            let case = format!("seed {seed}, turn {turn}: {announce:?} and {answer:?}");

            let mut expected = model.scrape(announce.info_hash);
            assert_eq!(expected.downloaded, before + u32::from(finished));
            assert_eq!(store.scrape(&announce.info_hash).unwrap_or_default(), expected, "{case}");
            expected.complete += u32::from(seed_address.is_some());
            assert_eq!(answer.scrape, expected, "{case}");
            assert!(answer.interval >= MIN_INTERVAL && answer.min_interval <= answer.interval, "{case}");

            let (listed, mut useful) = (peers(&answer), model.useful(&announce));
            useful.extend(seed_address);
            assert!(listed.is_subset(&useful), "{case}");
            let wanted = announce.numwant.unwrap_or(50).min(MAX_NUMWANT) as usize;
            let wanted = if announce.event == Event::Stopped { 0 } else { wanted };
            assert_eq!(listed.len(), wanted.min(useful.len()), "{case}");
            assert_eq!(listed.contains(&own), wanted > 0 && seed_address.is_some(), "{case}");

            now += Duration::from_secs(dice.roll(60) as u64);
            if dice.roll(20) == 0 {
                now += Duration::from_secs(dice.roll(900) as u64);
                store.expire(now);
                model.expire(now);
            }
            if dice.roll(200) == 0 {
                let forgotten = swarm(u8::try_from(dice.roll(SWARMS.into())).unwrap());
                store.forget(&forgotten);
                model.forget(&forgotten);
            }
            assert_eq!(store.peer_count(), model.entries.len(), "{case}");
        }
        store.expire(now + Duration::from_hours(3));
        assert_eq!(store.peer_count(), 0, "seed {seed}: nobody stays for ever");
    }
}

/// Everybody in a swarm of fewer than [`MAX_NUMWANT`]: as somebody on this machine is told who takes no connections.
fn census(store: &SwarmStore, now: Instant, number: u8, dice: &mut Dice) -> BTreeSet<SocketAddr> {
    let asker = Announce {
        numwant: Some(MAX_NUMWANT),
        ..announce(number, 999_999, "127.0.0.99".parse().unwrap(), 0)
    };
    peers(&store.announce(now, &asker, None, &mut || dice.next()))
}

#[test]
fn limits_hold_and_nobody_is_pushed_out() {
    for seed in 0..30 {
        let mut dice = Dice::new(seed);
        let mut now = start();
        let limits = Limits {
            swarms: 1 + dice.roll(3),
            peers: 1 + dice.roll(60),
            peers_per_swarm: 1 + dice.roll(30),
            peers_per_swarm_and_network: 1 + dice.roll(8),
            peers_per_network: 1 + dice.roll(12),
        };
        let store = SwarmStore::new(limits, &dice.bytes(), now);
        // Who would be known without limits, and who was seen to be known.
        let mut model = Model::default();
        let mut present: BTreeSet<(u8, SocketAddr)> = BTreeSet::new();
        for turn in 0..600 {
            // Everybody stays in his network: who moves takes his place along.
            let announce = anything(&mut dice);
            let address = ADDRESSES[usize::from(announce.peer_id.0[19]) % ADDRESSES.len()].parse().unwrap();
            let announce = Announce { address, ..announce };
            let mut random = Dice::new(dice.next());
            let answer = store.announce(now, &announce, None, &mut || random.next());
            model.announce(&announce, now + patience(&answer));
            now += Duration::from_secs(dice.roll(30) as u64);
            if dice.roll(20) == 0 {
                now += Duration::from_secs(dice.roll(900) as u64);
                store.expire(now);
                model.expire(now);
            }
            let all: BTreeSet<(u8, SocketAddr)> = (0..SWARMS)
                .flat_map(|number| {
                    census(&store, now, number, &mut dice).into_iter().map(move |it| (number, it))
                })
                .collect();
            let case = format!("seed {seed}, turn {turn}, {limits:?}: {all:?}");
            assert_eq!(all.len(), store.peer_count(), "{case}");
            assert!(all.len() <= limits.peers, "{case}");
            let known: BTreeSet<(u8, SocketAddr)> =
                model.entries.iter().map(|((swarm, ..), entry)| (swarm.0[0], entry.address)).collect();
            assert!(all.is_subset(&known), "{case}");
            // Those who were in and did not move are still in.
            let kept: BTreeSet<_> = present.intersection(&known).copied().collect();
            assert!(kept.is_subset(&all), "{case}");
            check_shares(&all, &limits, &case);
            present = all;
        }
    }
}

/// No swarm and no network has more than it may.
#[track_caller]
fn check_shares(all: &BTreeSet<(u8, SocketAddr)>, limits: &Limits, case: &str) {
    let mut networks: BTreeMap<(Option<u8>, Vec<u8>), usize> = BTreeMap::new();
    let mut swarms: BTreeMap<u8, usize> = BTreeMap::new();
    for (number, peer) in all {
        *swarms.entry(*number).or_default() += 1;
        let network = match peer.ip() {
            IpAddr::V4(v4) if !v4.is_loopback() => v4.octets()[..3].to_vec(),
            IpAddr::V6(v6) if !v6.is_loopback() => v6.octets()[..8].to_vec(),
            _ => continue,
        };
        *networks.entry((Some(*number), network.clone())).or_default() += 1;
        *networks.entry((None, network)).or_default() += 1;
    }
    assert!(swarms.len() <= limits.swarms, "{case}");
    assert!(swarms.values().all(|count| *count <= limits.peers_per_swarm), "{case}");
    for ((number, network), count) in networks {
        let limit =
            if number.is_some() { limits.peers_per_swarm_and_network } else { limits.peers_per_network };
        assert!(count <= limit, "{network:?} in {number:?}: {case}");
    }
}
