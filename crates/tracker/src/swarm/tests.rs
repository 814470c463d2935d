use std::collections::BTreeSet;

use super::*;
use crate::testing::{self, announce};

const V4: &str = "198.51.100.1";
const V6: &str = "2001:db8::1";

/// A store, its clock, and its dice.
struct Tracker<R> {
    store: SwarmStore,
    now: Instant,
    random: R,
}

fn tracker(limits: Limits) -> Tracker<impl FnMut() -> u64> {
    let now = testing::start();
    Tracker { store: SwarmStore::new(limits, &[9; 16], now), now, random: testing::random(1) }
}

impl<R: FnMut() -> u64> Tracker<R> {
    fn announce(&mut self, announce: &Announce) -> Answer {
        self.store.announce(self.now, announce, None, &mut self.random)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.store.expire(self.now);
    }

    /// Complete, incomplete, downloaded.
    fn numbers(&self) -> (u32, u32, u32) {
        let scrape = self.store.scrape(&InfoHash([7; 20])).unwrap_or_default();
        (scrape.complete, scrape.incomplete, scrape.downloaded)
    }
}

fn seed(peer: u16, address: &str) -> Announce {
    Announce { left: 0, ..announce(peer, address) }
}

fn with(event: Event, mut announce: Announce) -> Announce {
    announce.event = event;
    announce
}

fn peers(answer: &Answer) -> BTreeSet<SocketAddr> {
    let v4 = answer.peers_v4.iter().copied().map(SocketAddr::V4);
    let all: Vec<_> = v4.chain(answer.peers_v6.iter().copied().map(SocketAddr::V6)).collect();
    let distinct: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "no peer twice: {all:?}");
    distinct
}

#[test]
fn counts_follow_what_peers_say() {
    let other_port = Announce { port: 9, ..announce(1, V4) };
    let other_key = Announce { key: 9, ..announce(1, V4) };
    for (name, sequence, numbers) in [
        ("one starts", vec![announce(1, V4)], (0, 1, 0)),
        ("and comes again", vec![announce(1, V4), with(Event::None, announce(1, V4))], (0, 1, 0)),
        ("from another port", vec![announce(1, V4), other_port], (0, 1, 0)),
        ("from another address", vec![announce(1, V4), announce(1, "192.168.1.1")], (0, 1, 0)),
        ("in mapped form", vec![announce(1, V4), announce(1, "::ffff:198.51.100.1")], (0, 1, 0)),
        ("two behind one router", vec![announce(1, V4), announce(2, V4)], (0, 2, 0)),
        ("the same id without the key", vec![announce(1, V4), other_key.clone()], (0, 2, 0)),
        ("can't stop it", vec![announce(1, V4), with(Event::Stopped, other_key)], (0, 1, 0)),
        ("one stops", vec![announce(1, V4), with(Event::Stopped, announce(1, V4))], (0, 0, 0)),
        ("an unknown one stops", vec![with(Event::Stopped, announce(1, V4))], (0, 0, 0)),
        ("takes no connections", vec![Announce { port: 0, ..announce(1, V4) }], (0, 0, 0)),
        ("any more", vec![announce(1, V4), Announce { port: 0, ..announce(1, V4) }], (0, 0, 0)),
        ("at no address", vec![announce(1, "0.0.0.0"), announce(2, "fe80::1")], (0, 0, 0)),
        ("a seeder", vec![seed(1, V4)], (1, 0, 0)),
        ("a download ends", vec![announce(1, V4), with(Event::Completed, seed(1, V4))], (1, 0, 1)),
        (
            "a seeder known since before a restart says so",
            vec![with(Event::None, seed(1, V4)), with(Event::Completed, seed(1, V4))],
            (1, 0, 0),
        ),
        (
            "one with a magnet link, who did not know what was left",
            vec![seed(1, V4), with(Event::Completed, seed(1, V4))],
            (1, 0, 1),
        ),
        ("first heard of at its end", vec![with(Event::Completed, seed(1, V4))], (1, 0, 1)),
        ("it says so twice", vec![with(Event::Completed, seed(1, V4)); 2], (1, 0, 1)),
        ("without having all", vec![with(Event::Completed, announce(1, V4))], (0, 1, 0)),
        (
            "it loses a piece and gets it again",
            vec![with(Event::Completed, seed(1, V4)), announce(1, V4), with(Event::Completed, seed(1, V4))],
            (1, 0, 1),
        ),
        (
            "in both address families",
            vec![
                announce(1, V4),
                announce(1, V6),
                with(Event::Completed, seed(1, V4)),
                with(Event::Completed, seed(1, V6)),
            ],
            (2, 0, 1),
        ),
        (
            "a plain announce comes between",
            vec![announce(1, V4), with(Event::None, seed(1, V4)), with(Event::Completed, seed(1, V4))],
            (1, 0, 1),
        ),
    ] {
        let mut tracker = tracker(Limits::default());
        for announce in &sequence {
            let answer = tracker.announce(announce);
            let (complete, incomplete, downloaded) = tracker.numbers();
            assert_eq!(
                answer.scrape,
                Scrape { complete, incomplete, downloaded },
                "{name}: answer and scrape"
            );
        }
        assert_eq!(tracker.numbers(), numbers, "{name}");
    }
}

#[test]
fn the_box_comes_first_and_counts() {
    let seeds = |text: &str| (!text.is_empty()).then(|| text.parse::<SocketAddr>().unwrap());
    let none = Some(0);
    // who asks, how many, the box -> first peer, peers in all, complete
    for (asker, numwant, self_seed, first, count, complete) in [
        (announce(1, V4), None, "192.0.2.1:6881", "192.0.2.1:6881", 11, 6),
        (announce(1, V4), Some(1), "192.0.2.1:6881", "192.0.2.1:6881", 1, 6),
        (announce(1, V4), Some(4), "[2001:db8::9]:6881", "[2001:db8::9]:6881", 4, 6),
        (announce(1, V4), None, "[::ffff:192.0.2.1]:6881", "192.0.2.1:6881", 11, 6),
        (announce(1, V4), None, "", "", 10, 5),
        (announce(1, V4), none, "192.0.2.1:6881", "", 0, 6),
        (with(Event::Stopped, announce(1, V4)), None, "192.0.2.1:6881", "", 0, 6),
        (announce(1, V4), None, "0.0.0.0:6881", "", 10, 6),
        (announce(1, V4), None, "192.0.2.1:0", "", 10, 6),
        (seed(1, V4), None, "192.0.2.1:6881", "192.0.2.1:6881", 6, 7),
    ] {
        let mut tracker = tracker(Limits::default());
        for peer in 100..105 {
            tracker.announce(&announce(peer, V4));
            tracker.announce(&seed(peer + 100, V4));
        }
        let asker = Announce { numwant, ..asker };
        let answer = tracker.store.announce(tracker.now, &asker, seeds(self_seed), &mut tracker.random);
        let listed = peers(&answer);
        assert_eq!((listed.len(), answer.scrape.complete), (count, complete), "{asker:?} {self_seed}");
        let leading = [
            answer.peers_v4.first().copied().map(SocketAddr::V4),
            answer.peers_v6.first().copied().map(SocketAddr::V6),
        ];
        match seeds(first) {
            Some(first) => assert!(leading.contains(&Some(first)), "{asker:?} {self_seed}: {answer:?}"),
            None => assert!(seeds(self_seed).is_none_or(|seed| !listed.contains(&seed)), "{self_seed}"),
        }
    }
}

#[test]
fn peers_are_told_of_those_they_can_reach() {
    let everyone = ["127.0.0.1", "192.168.1.1", V4, "::1", "fd00::1", V6];
    for (asker, told) in [
        ("127.0.0.9", &everyone[..]),
        ("10.0.0.1", &["192.168.1.1", V4, "fd00::1", V6]),
        ("203.0.113.1", &[V4, V6]),
        ("2001:db8::9", &[V4, V6]),
        ("fe80::1", &[V4, V6]),
    ] {
        let mut tracker = tracker(Limits::default());
        for (peer, address) in (1..).zip(everyone) {
            tracker.announce(&announce(peer, address));
        }
        let answer = tracker.announce(&announce(99, asker));
        let listed: BTreeSet<_> = peers(&answer).iter().map(SocketAddr::ip).collect();
        assert_eq!(listed, told.iter().map(|ip| ip.parse().unwrap()).collect(), "{asker}");
    }
}

#[test]
fn a_peer_is_never_told_of_itself() {
    let mut tracker = tracker(Limits::default());
    tracker.announce(&announce(1, V4));
    tracker.announce(&announce(1, V6));
    assert_eq!(peers(&tracker.announce(&announce(1, V4))), BTreeSet::new(), "in either address family");
    let restarted = Announce { port: announce(1, V4).port, ..announce(2, V4) };
    let listed = peers(&tracker.announce(&restarted));
    assert!(!listed.contains(&"198.51.100.1:1001".parse().unwrap()), "under its former peer id");
}

#[test]
fn the_own_address_family_comes_first() {
    let mut tracker = tracker(Limits::default());
    for peer in 0..20 {
        tracker.announce(&announce(peer, V4));
        tracker.announce(&announce(peer + 100, V6));
    }
    for (address, numwant, counts) in
        [(V4, 30, (20, 10)), (V6, 30, (10, 20)), (V4, 15, (15, 0)), (V6, 15, (0, 15)), (V4, 100, (20, 20))]
    {
        let asker =
            Announce { numwant: Some(numwant), event: Event::None, port: 0, ..announce(999, address) };
        let answer = tracker.announce(&asker);
        assert_eq!((answer.peers_v4.len(), answer.peers_v6.len()), counts, "{address} {numwant}");
    }
}

#[test]
fn nobody_gets_more_peers_than_the_limit() {
    let mut tracker = tracker(Limits::default());
    (0..300).for_each(|peer| drop(tracker.announce(&announce(peer, V4))));
    for (numwant, count) in [(None, 50), (Some(0), 0), (Some(7), 7), (Some(200), 200), (Some(u32::MAX), 200)]
    {
        let answer = tracker.announce(&Announce { numwant, ..announce(1, V4) });
        assert_eq!(peers(&answer).len(), count, "{numwant:?}");
    }
}

#[test]
fn silent_peers_expire_and_late_ones_do_not() {
    // The shortest interval is 2 minutes, but many clients come every 5.
    for (minutes, there) in [(2, 1), (5, 1), (11, 1), (12, 0)] {
        let mut tracker = tracker(Limits::default());
        tracker.announce(&announce(1, V4));
        tracker.pass(Duration::from_mins(minutes));
        assert_eq!(tracker.numbers(), (0, there, 0), "after {minutes} minutes");
    }
    // Clients that are told to come in an hour are waited for.
    let mut tracker = tracker(Limits::default());
    (0..600).for_each(|peer| drop(tracker.announce(&announce(peer, V4))));
    let answer = tracker.announce(&announce(0, V4));
    assert_eq!(answer.interval, MAX_INTERVAL);
    tracker.pass(Duration::from_mins(119));
    assert!(peers(&tracker.announce(&announce(9_999, V4))).contains(&"198.51.100.1:1000".parse().unwrap()));
    tracker.pass(Duration::from_hours(3));
    assert_eq!((tracker.store.peer_count(), tracker.store.swarm_count()), (0, 0));
}

#[test]
fn counts_of_downloads_outlive_their_peers() {
    let mut tracker = tracker(Limits::default());
    tracker.announce(&with(Event::Completed, seed(1, V4)));
    tracker.pass(Duration::from_hours(3));
    assert_eq!(tracker.numbers(), (0, 0, 1));
    tracker.announce(&announce(1, V4));
    tracker.store.forget(&InfoHash([7; 20]));
    assert_eq!(tracker.store.peer_count(), 0);
    assert_eq!(tracker.store.scrape(&InfoHash([7; 20])), None);
}

#[test]
fn intervals_grow_with_the_load() {
    for (swarm, elsewhere, seconds) in
        [(0, 0, 120), (10, 0, 180), (100, 0, 720), (580, 0, 3600), (2_000, 0, 3600), (0, 30_000, 150)]
    {
        let mut tracker = tracker(Limits::default());
        for peer in 0_u32..swarm + elsewhere {
            let swarm_number = if peer < swarm { 7 } else { 8 };
            let announce = Announce {
                info_hash: InfoHash([swarm_number; 20]),
                key: peer,
                numwant: Some(0),
                // From all over the world.
                address: Ipv4Addr::from(0xc800_0000 + 256 * peer).into(),
                ..announce(1, V4)
            };
            tracker.announce(&announce);
        }
        let answer = tracker.announce(&announce(2, V4));
        assert_eq!(answer.interval.as_secs(), seconds, "{swarm} in the swarm, {elsewhere} elsewhere");
        assert!(answer.min_interval >= Duration::from_mins(1) && answer.min_interval <= answer.interval);
    }
}

fn limits(swarms: usize, peers: usize, peers_per_swarm: usize) -> Limits {
    Limits { swarms, peers, peers_per_swarm, ..Limits::default() }
}

#[test]
fn a_full_store_answers_and_forgets() {
    for (limits, swarms, peers) in [
        (limits(3, 999, 999), 3, 60),
        (limits(9, 42, 999), 5, 42),
        (limits(9, 2, 999), 2, 2),
        (limits(9, 999, 10), 5, 50),
    ] {
        let mut tracker = tracker(limits);
        // Twenty peers for each of five swarms.
        let peer = |peer: u16, event| {
            let info_hash = InfoHash([u8::try_from(peer % 5).unwrap(); 20]);
            Announce { info_hash, ..with(event, announce(peer, V4)) }
        };
        for number in 0..100 {
            assert!(tracker.announce(&peer(number, Event::Started)).interval >= MIN_INTERVAL);
        }
        assert_eq!((tracker.store.swarm_count(), tracker.store.peer_count()), (swarms, peers), "{limits:?}");
        // Those outside are not counted, those inside can go on and leave.
        let completed = |number| Announce { left: 0, ..peer(number, Event::Completed) };
        tracker.announce(&completed(99));
        assert_eq!(tracker.announce(&completed(0)).scrape.downloaded, 1, "{limits:?}");
        tracker.announce(&peer(0, Event::Stopped));
        assert_eq!(tracker.store.peer_count(), peers - 1, "{limits:?}");
        tracker.pass(Duration::from_hours(3));
        assert_eq!(tracker.store.peer_count(), 0);
        assert!(tracker.store.swarm_count() < limits.swarms, "room for other swarms");
    }
}

#[test]
fn strangers_swarms_take_no_room_from_the_boxs_own() {
    let mut tracker = tracker(limits(3, 999, 999));
    let to = |swarm: u8, peer| Announce { info_hash: InfoHash([swarm; 20]), ..announce(peer, V4) };
    (0..10).for_each(|swarm| drop(tracker.announce(&to(swarm, 1))));
    assert_eq!(tracker.store.swarm_count(), 3);
    let own = Some(SocketAddr::from(([203, 0, 113, 1], 6881)));
    for peer in [1, 2] {
        tracker.store.announce(tracker.now, &to(99, peer), own, &mut tracker.random);
    }
    assert_eq!(tracker.store.scrape(&InfoHash([99; 20])).map(|swarm| swarm.incomplete), Some(2));
}

#[test]
fn one_network_has_its_share_and_no_more() {
    let mut tracker =
        tracker(Limits { peers_per_swarm_and_network: 5, peers_per_network: 12, ..limits(999, 999, 999) });
    let at = |host: u8, swarm: u8, peer: u16| Announce {
        info_hash: InfoHash([swarm; 20]),
        ..announce(peer, &format!("198.51.100.{host}"))
    };
    for peer in 0..20 {
        let host = u8::try_from(peer).unwrap();
        for swarm in 1..5 {
            let answer = tracker.announce(&at(host, swarm, peer));
            assert!(answer.interval >= MIN_INTERVAL, "it is answered all the same");
        }
    }
    let counts = |store: &SwarmStore| {
        [1, 2, 3, 4].map(|swarm| store.scrape(&InfoHash([swarm; 20])).map_or(0, |it| it.incomplete))
    };
    assert_eq!(counts(&tracker.store).iter().sum::<u32>(), 12, "{:?}", counts(&tracker.store));
    assert!(counts(&tracker.store).iter().all(|count| *count <= 5));
    let before = tracker.store.peer_count();
    // Another network has its own share, and so has this one in IPv6.
    for stranger in ["203.0.113.1", V6] {
        tracker.announce(&Announce { info_hash: InfoHash([1; 20]), ..announce(99, stranger) });
    }
    assert_eq!(tracker.store.peer_count(), before + 2);
    // Who is in may come again, move, and go; then there is room for another.
    tracker.announce(&at(77, 1, 0));
    assert_eq!(tracker.store.peer_count(), before + 2);
    tracker.announce(&with(Event::Stopped, at(77, 1, 0)));
    tracker.announce(&at(1, 1, 50));
    assert_eq!(tracker.store.peer_count(), before + 2);
    // What is forgotten and what expires is given back, to the last peer.
    tracker.store.forget(&InfoHash([1; 20]));
    tracker.pass(Duration::from_hours(3));
    assert_eq!((tracker.store.peer_count(), tracker.store.shares.total()), (0, 0));
}
