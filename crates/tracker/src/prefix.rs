//! What one network may take: nobody gets more of the tracker's time and memory by having many addresses side by side.
//!
//! A network is a /24 in IPv4 and a /64 in IPv6, which is what one customer gets. What each has taken is kept in a table
//! of fixed size, in two places that a keyed hash chooses. Others may share one of them; whoever shares both with a greedy
//! network, which nobody can choose, is taken for it: one network in a billion. Who comes from this machine is not
//! counted: it may be a proxy through which everybody comes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;
use torrent::InfoHash;

use crate::address::Scope;

/// Places for each of the two, a power of two.
const PLACES: usize = 1 << 15;

/// Requests of one network in each second, in the long run. A campus of 500 clients with 1,000 torrents each makes 140
/// when it is alone in the store.
pub const REQUESTS_PER_SECOND: u32 = 2_000;

/// Requests of one network that may come at once, after a while without any: 100 clients that start 1,000 torrents each.
pub const BURST: u32 = 100_000;

/// The time that one request takes of what a network has.
const STEP: u64 = 1_000_000 / REQUESTS_PER_SECOND as u64;

/// The network that an address is in, with zeros for what is the host's; `None` for this machine, which is not counted.
pub fn network(address: IpAddr) -> Option<IpAddr> {
    if Scope::of(address) == Some(Scope::Loopback) {
        return None;
    }
    Some(match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    })
}

/// Keyed hashes of networks.
#[derive(Debug, Clone, Copy)]
struct Networks(SipHasher13);

impl Networks {
    /// Which two places are those of this network, in this swarm or in all; `None` for addresses that are not counted.
    fn places(&self, address: IpAddr, swarm: Option<&InfoHash>) -> Option<[usize; 2]> {
        let network = network(address)?;
        let mut input = [0; 29];
        match network {
            IpAddr::V4(v4) => input[..3].copy_from_slice(&v4.octets()[..3]),
            IpAddr::V6(v6) => input[..8].copy_from_slice(&v6.octets()[..8]),
        }
        input[8] = u8::from(network.is_ipv4()) | u8::from(swarm.is_some()) << 1;
        if let Some(swarm) = swarm {
            input[9..].copy_from_slice(swarm.as_bytes());
        }
        let hash = self.0.hash(&input).to_le_bytes();
        let place = |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high])) % PLACES;
        Some([place(hash[0], hash[1]), PLACES + place(hash[2], hash[3])])
    }
}

/// How fast requests may come from one network. 512 KiB.
#[derive(Debug)]
pub struct Pace {
    networks: Networks,
    start: Instant,
    /// For each place the time (µs after the start) at which what it has taken is paid for.
    paid: Box<[AtomicU64]>,
}

impl Pace {
    /// Nobody has asked yet. `key` is secret and random; no later time may be before `start`.
    pub fn new(key: &[u8; 16], start: Instant) -> Self {
        let networks = Networks(SipHasher13::new_with_key(key));
        Self { networks, start, paid: (0..2 * PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts a request, unless its network has made too many: then it should not be answered.
    ///
    /// Only for requests whose source is proven; or anybody could use up what others have. Several threads that count at
    /// the same moment may miss a few.
    pub fn admits(&self, now: Instant, source: IpAddr) -> bool {
        let Some(places) = self.networks.places(source, None) else { return true };
        let now = u64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX);
        let mut is_admitted = false;
        for place in places {
            let paid = self.paid[place].load(Ordering::Relaxed).max(now);
            if paid - now < STEP * u64::from(BURST) {
                self.paid[place].store(paid + STEP, Ordering::Relaxed);
                is_admitted = true;
            }
        }
        is_admitted
    }

    /// After how long without requests a network may make as many again as at first.
    pub const fn recovery() -> Duration {
        Duration::from_micros(STEP * BURST as u64)
    }
}

/// How many peers of one network are remembered, in one swarm and in all. 512 KiB.
#[derive(Debug)]
pub(crate) struct Shares {
    networks: Networks,
    in_all: Box<[AtomicU32]>,
    in_swarms: Box<[AtomicU32]>,
}

impl Shares {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        let none = || (0..2 * PLACES).map(|_| AtomicU32::new(0)).collect();
        // Another key than that of the swarms, since the hash is the same.
        let key = key.map(|byte| !byte);
        Self { networks: Networks(SipHasher13::new_with_key(&key)), in_all: none(), in_swarms: none() }
    }

    /// Counts one more peer, if its network has fewer than these.
    pub(crate) fn take(&self, swarm: &InfoHash, address: IpAddr, in_swarm: usize, in_all: usize) -> bool {
        let Some(places) = self.places(swarm, address) else { return true };
        let is_below = |(counts, places): (&[AtomicU32], [usize; 2]), limit| {
            places.iter().any(|place| (counts[*place].load(Ordering::Relaxed) as usize) < limit)
        };
        if !is_below(places[0], in_swarm) || !is_below(places[1], in_all) {
            return false;
        }
        Self::each(places, |count| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        true
    }

    /// One peer less, of those that were counted.
    pub(crate) fn give_back(&self, swarm: &InfoHash, address: IpAddr) {
        if let Some(places) = self.places(swarm, address) {
            Self::each(places, |count| {
                count.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// Counts a peer that moves from one address to another: it is one already, wherever it goes.
    pub(crate) fn exchange(&self, swarm: &InfoHash, from: IpAddr, to: IpAddr) {
        if from != to {
            self.give_back(swarm, from);
            self.take(swarm, to, usize::MAX, usize::MAX);
        }
    }

    fn places(&self, swarm: &InfoHash, address: IpAddr) -> Option<[(&[AtomicU32], [usize; 2]); 2]> {
        let in_swarm = self.networks.places(address, Some(swarm))?;
        Some([(&*self.in_swarms, in_swarm), (&*self.in_all, self.networks.places(address, None)?)])
    }

    fn each(places: [(&[AtomicU32], [usize; 2]); 2], change: impl Fn(&AtomicU32)) {
        for (counts, places) in places {
            for place in places {
                change(&counts[place]);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn total(&self) -> u64 {
        let sum =
            |counts: &[AtomicU32]| counts.iter().map(|it| u64::from(it.load(Ordering::Relaxed))).sum::<u64>();
        sum(&self.in_all) + sum(&self.in_swarms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `requests` at once are admitted.
    fn admitted(pace: &Pace, now: Instant, source: &str, requests: u32) -> u32 {
        (0..requests).map(|_| u32::from(pace.admits(now, ip(source)))).sum()
    }

    #[test]
    fn a_network_has_its_pace_and_others_have_theirs() {
        let start = testing::start();
        let pace = Pace::new(&[1; 16], start);
        assert_eq!(admitted(&pace, start, "203.0.113.5", BURST + 10), BURST);
        for same in ["203.0.113.99", "::ffff:203.0.113.1"] {
            assert_eq!(admitted(&pace, start, same, 10), 0, "{same}");
        }
        for other in ["203.0.112.5", "2001:db8::1", "10.0.0.1", "fe80::1"] {
            assert_eq!(admitted(&pace, start, other, 10), 10, "{other}");
        }
        assert_eq!(admitted(&pace, start, "2001:db8:0:1::1", BURST + 10), BURST);
        assert_eq!(admitted(&pace, start, "2001:db8:0:1:ffff::", 10), 0);
        let later = start + Duration::from_secs(1);
        assert_eq!(admitted(&pace, later, "203.0.113.5", BURST), REQUESTS_PER_SECOND);
        assert_eq!(admitted(&pace, later + Pace::recovery(), "203.0.113.5", BURST + 10), BURST);
    }

    #[test]
    fn this_machine_may_be_a_proxy_for_all() {
        let start = testing::start();
        let pace = Pace::new(&[1; 16], start);
        assert_eq!(admitted(&pace, start, "127.0.0.1", BURST + 10), BURST + 10);
        let shares = Shares::new(&[1; 16]);
        assert!((0..10).all(|_| shares.take(&InfoHash([7; 20]), ip("::1"), 1, 1)));
        assert_eq!(shares.total(), 0);
    }

    #[test]
    fn a_greedy_network_is_no_harm_to_others() {
        let start = testing::start();
        let pace = Pace::new(&[1; 16], start);
        admitted(&pace, start, "203.0.113.5", BURST);
        for network in 0..=u16::MAX {
            let [a, b] = network.to_be_bytes();
            assert!(pace.admits(start, IpAddr::from([198, a, b, 1])), "198.{a}.{b}.0");
        }
    }

    #[test]
    fn a_network_has_its_share_of_a_swarm_and_of_all() {
        let shares = Shares::new(&[1; 16]);
        let swarm = |number| InfoHash([number; 20]);
        let take = |number, address: &str| shares.take(&swarm(number), ip(address), 2, 3);
        assert!(take(1, "203.0.113.1") && take(1, "203.0.113.2"));
        assert!(!take(1, "203.0.113.3"), "its share of the swarm");
        assert!(take(2, "203.0.113.3"));
        assert!(!take(3, "203.0.113.3"), "its share of all");
        assert!(take(1, "203.0.114.1") && take(1, "2001:db8::1"), "others");
        shares.exchange(&swarm(1), ip("203.0.113.1"), ip("203.0.114.2"));
        assert!(take(1, "203.0.113.1") && !take(1, "203.0.114.3"));
        for (number, address) in [
            (1, "203.0.113.1"),
            (1, "203.0.113.2"),
            (2, "203.0.113.3"),
            (1, "203.0.114.1"),
            (1, "203.0.114.2"),
            (1, "2001:db8::1"),
        ] {
            shares.give_back(&swarm(number), ip(address));
        }
        assert_eq!(shares.total(), 0);
    }
}
