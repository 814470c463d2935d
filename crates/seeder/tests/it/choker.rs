//! The choker, in tables and in virtual time.

use std::time::{Duration, Instant};

use seeder::{PeerStats, Round, Slots, rank};

use crate::support::{Xorshift, origin};

const PIECE_LENGTH: u32 = 256 * 1024;
/// More than a turn is worth.
const QUOTA: u64 = 20 * PIECE_LENGTH as u64;

fn stats(now: Instant) -> PeerStats {
    PeerStats {
        interested: true,
        choked: true,
        backlogged: false,
        bytes_sent: 0,
        sent_since_unchoked: 0,
        progress: 0.0,
        piece_length: PIECE_LENGTH,
        connected: now,
        waiting_since: now,
        last_unchoked: None,
    }
}

fn before(now: Instant, seconds: u64) -> Instant {
    now.checked_sub(Duration::from_secs(seconds)).unwrap()
}

/// A choked peer that has waited so long (seconds).
fn waiting(now: Instant, seconds: u64) -> PeerStats {
    PeerStats { waiting_since: before(now, seconds), ..stats(now) }
}

/// A peer that was unchoked so long ago (seconds) and got so much (bytes) since.
fn served(now: Instant, seconds: u64, sent: u64) -> PeerStats {
    PeerStats {
        choked: false,
        sent_since_unchoked: sent,
        last_unchoked: Some(before(now, seconds)),
        ..stats(now)
    }
}

/// Peers are named by their place in the list.
#[track_caller]
fn check(slots: usize, want: &[usize], peers: impl FnOnce(Instant) -> Vec<PeerStats>) {
    // Far enough from the origin to look back.
    let now = origin() + Duration::from_hours(1);
    let peers: Vec<_> = peers(now).into_iter().enumerate().collect();
    let mut unchoked = rank(&peers, slots, now);
    unchoked.sort_unstable();
    assert_eq!(unchoked, want);
}

#[test]
fn with_slots_for_all_everybody_who_wants_is_unchoked() {
    check(0, &[], |now| vec![waiting(now, 5)]);
    check(3, &[], |_| vec![]);
    check(3, &[0, 2, 3], |now| {
        let uninterested = PeerStats { interested: false, ..served(now, 5, 100) };
        vec![waiting(now, 0), uninterested, served(now, 500, QUOTA), served(now, 500, 0)]
    });
    check(usize::MAX, &[0], |now| vec![waiting(now, 0)]);
}

#[test]
fn who_has_waited_longest_is_next() {
    check(2, &[1, 3], |now| [5, 60, 0, 7, 6].map(|seconds| waiting(now, seconds)).into());
}

#[test]
fn a_turn_lasts_for_a_minute_and_the_quota() {
    // The last column says whether the peer keeps its slot though another one waits.
    for (seconds, sent, keeps) in [
        (0, 0, true),
        (19, 0, true),
        (20, 0, false),
        (20, 1, true),
        (59, 100 * QUOTA, true),
        (60, QUOTA, false),
        (60, QUOTA - 1, true),
        (179, 1, true),
        (180, 1, false),
    ] {
        let next = usize::from(!keeps);
        check(1, &[next], |now| vec![served(now, seconds, sent), waiting(now, 0)]);
    }
}

#[test]
fn who_has_had_a_turn_keeps_the_slot_if_nobody_waits() {
    check(2, &[0, 1], |now| vec![served(now, 300, QUOTA), served(now, 5, 1)]);
    check(2, &[1, 2], |now| vec![served(now, 300, QUOTA), served(now, 5, 1), waiting(now, 0)]);
}

#[test]
fn when_slots_get_fewer_the_fastest_stay() {
    check(1, &[2], |now| vec![served(now, 10, 1000), served(now, 30, 2000), served(now, 2, 500)]);
    // The fastest of those who have had their turn, too.
    check(1, &[1], |now| vec![served(now, 200, QUOTA), served(now, 100, QUOTA)]);
    // In the middle of a turn comes before waiting comes before done.
    check(1, &[1], |now| vec![waiting(now, 300), served(now, 50, 1), served(now, 60, 10 * QUOTA)]);
    check(2, &[0, 1], |now| vec![waiting(now, 300), served(now, 50, 1), served(now, 60, 10 * QUOTA)]);
}

/// A swarm behind one uplink, in steps of a second.
struct Swarm {
    start: Instant,
    now: Instant,
    /// What each peer could take, bytes a second; with its figures.
    peers: Vec<(u64, PeerStats)>,
    /// Longest that anybody was choked while interested.
    longest_wait: Duration,
    sent: u64,
    /// Unchoked peers that wanted more than they got in the last second.
    backlogged: usize,
    /// Whether peers count as such whose own lines limit them.
    is_backlogged_when_slow: bool,
}

impl Swarm {
    fn new(speeds: impl IntoIterator<Item = u64>) -> Self {
        let start = origin();
        let peers = speeds.into_iter().map(|speed| (speed, stats(start))).collect();
        Self {
            start,
            now: start,
            peers,
            longest_wait: Duration::ZERO,
            sent: 0,
            backlogged: 0,
            is_backlogged_when_slow: false,
        }
    }

    /// One second; the choker acts every ten.
    fn step(&mut self, slots: usize, uplink: u64) {
        if (self.now - self.start).as_secs().is_multiple_of(10) {
            let candidates: Vec<_> = self.peers.iter().map(|(_, stats)| *stats).enumerate().collect();
            let chosen = rank(&candidates, slots, self.now);
            assert!(chosen.len() <= slots);
            for (key, (_, stats)) in self.peers.iter_mut().enumerate() {
                let unchoke = chosen.contains(&key);
                match (stats.choked, unchoke) {
                    (true, true) => {
                        stats.last_unchoked = Some(self.now);
                        stats.sent_since_unchoked = 0;
                    }
                    (false, false) => stats.waiting_since = self.now,
                    _ => {}
                }
                stats.choked = !unchoke;
            }
        }
        self.now += Duration::from_secs(1);
        self.share(uplink);
        for (_, stats) in self.peers.iter().filter(|(_, stats)| stats.choked) {
            self.longest_wait = self.longest_wait.max(self.now - stats.waiting_since);
        }
    }

    /// Each unchoked peer takes its even share of what is left of the uplink, the slowest first.
    fn share(&mut self, uplink: u64) {
        let mut takers: Vec<_> = self.peers.iter_mut().filter(|(_, stats)| !stats.choked).collect();
        takers.sort_by_key(|(speed, _)| *speed);
        let (mut left, mut count) = (uplink, takers.len() as u64);
        self.backlogged = 0;
        for (speed, stats) in takers {
            let taken = (left / count).min(*speed);
            self.backlogged += usize::from(*speed > 0 && (taken < *speed || self.is_backlogged_when_slow));
            stats.bytes_sent += taken;
            stats.sent_since_unchoked += taken;
            self.sent += taken;
            left -= taken;
            count -= 1;
        }
    }

    /// Ten seconds, after which the number of slots follows.
    fn round(&mut self, slots: &mut Slots, uplink: u64) {
        let sent = self.sent;
        for _ in 0..10 {
            self.step(slots.get(), uplink);
        }
        slots.follow(Round {
            elapsed: Duration::from_secs(10),
            uploaded: self.sent - sent,
            unchoked: self.unchoked(),
            backlogged: self.backlogged,
        });
    }

    fn unchoked(&self) -> usize {
        self.peers.iter().filter(|(_, stats)| !stats.choked).count()
    }

    /// Share of the uplink that was used, in per cent.
    fn used(&self, uplink: u64) -> u64 {
        self.sent * 100 / (uplink * (self.now - self.start).as_secs())
    }
}

#[test]
fn nobody_starves_and_fast_peers_fill_the_link() {
    const MIB: u64 = 1 << 20;
    const UPLINK: u64 = 8 * MIB;
    // What the peers can take; slots; share of the uplink (per cent) that must be used.
    let alike: Vec<u64> = vec![MIB; 200];
    let mixed: Vec<u64> = (0..200).map(|peer| [64 * 1024, MIB, 4 * MIB, 16 * MIB][peer % 4]).collect();
    let takers: Vec<u64> = (0..200).map(|peer| [4 * MIB, 0][peer % 2]).collect();
    let tricklers: Vec<u64> = (0..200).map(|peer| [16 * MIB, 100][peer % 2]).collect();
    for (name, speeds, slots, used) in [
        ("alike", alike, 8, 99),
        ("mixed", mixed, 8, 95),
        ("half take nothing", takers, 8, 90),
        ("half trickle", tricklers, 8, 90),
    ] {
        let peers = speeds.len();
        let mut swarm = Swarm::new(speeds);
        for _ in 0..4 * 3600 {
            swarm.step(slots, UPLINK);
        }
        let worst = Duration::from_mins(3) + Duration::from_secs(10);
        let bound = worst * u32::try_from(peers.div_ceil(slots)).unwrap();
        println!(
            "{name}: {}% of the uplink used, longest wait {} s, bound {} s",
            swarm.used(UPLINK),
            swarm.longest_wait.as_secs(),
            bound.as_secs()
        );
        assert!(swarm.longest_wait <= bound, "{name}: somebody waited {:?}", swarm.longest_wait);
        assert!(swarm.used(UPLINK) >= used, "{name}: {}% used", swarm.used(UPLINK));
        let unserved =
            swarm.peers.iter().filter(|(speed, stats)| *speed > 0 && stats.bytes_sent == 0).count();
        assert_eq!(unserved, 0, "{name}");
    }
}

#[test]
fn peers_alike_get_alike() {
    let mut swarm = Swarm::new(vec![1 << 20; 50]);
    for _ in 0..4 * 3600 {
        swarm.step(5, 5 << 20);
    }
    let sent = |of: fn(_) -> Option<u64>| of(swarm.peers.iter().map(|(_, stats)| stats.bytes_sent)).unwrap();
    let (least, most) = (sent(Iterator::min), sent(Iterator::max));
    assert!(most * 10 <= least * 11, "{least} to {most} bytes");
}

#[test]
fn peers_that_come_and_go_do_not_disturb_the_turns() {
    let mut random = Xorshift(0x5107);
    let mut swarm = Swarm::new(vec![1 << 20; 40]);
    for second in 0..3600 {
        if second % 7 == 0 {
            // Back at once, as someone who hopes for a better place: at the end of the queue.
            let at = random.below(20);
            swarm.peers[at].1 = PeerStats { bytes_sent: swarm.peers[at].1.bytes_sent, ..stats(swarm.now) };
        }
        swarm.step(4, 4 << 20);
    }
    let sent = |range: std::ops::Range<usize>| -> u64 {
        swarm.peers[range].iter().map(|(_, stats)| stats.bytes_sent).sum()
    };
    assert!(sent(0..20) < sent(20..40), "{} and {} bytes", sent(0..20), sent(20..40));
}

const MIB: u64 = 1 << 20;

#[test]
fn without_a_limit_all_are_served_at_once_as_long_as_the_uplink_carries_them() {
    let (mut slots, mut swarm) = (Slots::new(None), Swarm::new(vec![MIB; 1000]));
    for _ in 0..60 {
        swarm.round(&mut slots, 100 * MIB);
        assert_eq!(swarm.unchoked(), 1000);
    }
    assert_eq!(swarm.longest_wait, Duration::ZERO);
}

#[test]
fn slots_follow_an_uplink_that_is_full() {
    let (mut slots, mut swarm) = (Slots::new(None), Swarm::new(vec![MIB; 3000]));
    let carried = 10 * 1024 / 32;
    let rounds = (0..60).position(|_| {
        swarm.round(&mut slots, 10 * MIB);
        slots.get() <= carried
    });
    println!("3000 peers, 10 MiB/s: {} slots after {rounds:?} rounds", slots.get());
    assert!(rounds.is_some());
    for _ in 0..1500 {
        swarm.round(&mut slots, 10 * MIB);
        assert!((carried - carried / 8..=carried + carried / 8).contains(&slots.get()), "{}", slots.get());
    }
    let turns = u32::try_from(3000_usize.div_ceil(carried - carried / 8)).unwrap();
    let bound = Duration::from_secs(190) * turns;
    println!("longest wait {:?} of {bound:?}, {}% used", swarm.longest_wait, swarm.used(10 * MIB));
    assert!(swarm.longest_wait <= bound);
    assert!(swarm.used(10 * MIB) >= 99);
    assert!(swarm.peers.iter().all(|(_, stats)| stats.bytes_sent > 0));

    // With a faster uplink all are served again.
    for _ in 0..60 {
        swarm.round(&mut slots, 1000 * MIB);
    }
    assert_eq!(swarm.unchoked(), 3000);
}

#[test]
fn slow_peers_are_no_full_uplink() {
    let (mut slots, mut swarm) = (Slots::new(None), Swarm::new(vec![10 * 1024; 400]));
    swarm.is_backlogged_when_slow = true;
    for _ in 0..360 {
        swarm.round(&mut slots, 100 * MIB);
    }
    let used = swarm.used(400 * 10 * 1024);
    println!("400 slow peers: {} slots, {used}% of what they can take", slots.get());
    assert!(used >= 85, "{used}%");
}

#[test]
fn who_does_not_use_its_slot_takes_none_from_others() {
    for limit in [None, Some(8 * MIB)] {
        let speeds = (0..2000).map(|peer| if peer % 2 == 0 { 0 } else { MIB });
        let (mut slots, mut swarm) = (Slots::new(limit), Swarm::new(speeds));
        for _ in 0..360 {
            swarm.round(&mut slots, 8 * MIB);
        }
        println!("{limit:?}: {} slots, {} backlogged", slots.get(), swarm.backlogged);
        assert!(swarm.backlogged >= 200, "{} have a slot and use it", swarm.backlogged);
        assert!(swarm.used(8 * MIB) >= 95);
    }
}

#[test]
fn a_limit_tells_how_many_slots_there_are() {
    for (limit, slots) in [(8 * MIB, 256), (MIB, 32), (1024, 4)] {
        assert_eq!(Slots::new(Some(limit)).get(), slots);
        let (mut given, mut swarm) = (Slots::new(Some(limit)), Swarm::new(vec![MIB; 1000]));
        for _ in 0..100 {
            swarm.round(&mut given, limit);
        }
        assert!(given.get().abs_diff(slots) <= slots / 8 + 1, "{} slots for {limit}", given.get());
    }
    // Whose peers are slow, more of them have a place.
    let (mut given, mut swarm) = (Slots::new(Some(8 * MIB)), Swarm::new(vec![1024; 1000]));
    for _ in 0..100 {
        swarm.round(&mut given, 8 * MIB);
    }
    assert_eq!(swarm.unchoked(), 1000);
}
