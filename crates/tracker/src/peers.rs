//! The peers of one swarm and address family, in flat arrays.
//!
//! Each combination of scope and role has an array of its own, so that the peers an asker may be told are whole
//! arrays and nothing has to be filtered: choosing costs as many steps as peers are wanted, however large the
//! swarm. Arrays are sorted by tag (see [`array`](crate::array)), which makes an index unnecessary.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::ops::Range;

use crate::address::Scope;
use crate::array::Array;

/// Stands for a peer id and key: a keyed hash, so that nobody can aim at another peer's tag. Two peers of the same
/// tag displace each other; that takes a swarm of 65,536 to be likely for any, and does no lasting harm.
pub(crate) type Tag = u32;

/// One peer. 12 bytes with an IPv4 address, 24 with an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer<A> {
    pub(crate) tag: Tag,
    pub(crate) address: A,
    pub(crate) port: u16,
    pub(crate) stay: Stay,
}

/// How long a peer stays, and whether its download must not be counted (again): it was counted, or the peer came with
/// everything. 15 bits of seconds, which begin anew every nine hours, and one for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay(u16);

/// Nobody stays longer (seconds) without another announce. What ends later than that ended before: so `expire` must be
/// called more often than every six hours.
pub(crate) const LONGEST_STAY: u32 = 1 << 13;

impl Stay {
    const SECONDS: u32 = (1 << 15) - 1;

    /// Until `expires`, in seconds since the store's start.
    pub(crate) fn until(expires: u32, is_counted: bool) -> Self {
        Self(((expires & Self::SECONDS) as u16) << 1 | u16::from(is_counted))
    }

    pub(crate) fn is_counted(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether it is over.
    pub(crate) fn is_over(self, now: u32) -> bool {
        u32::from(self.0 >> 1).wrapping_sub(now) & Self::SECONDS > LONGEST_STAY
    }
}

/// Which array: who may be told of a peer, and whether it has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) scope: Scope,
    pub(crate) complete: bool,
}

const PLACES: usize = 2 * Scope::COUNT;

impl Place {
    fn index(self) -> usize {
        2 * self.scope as usize + usize::from(self.complete)
    }
}

#[derive(Debug)]
pub(crate) struct Peers<A> {
    /// By [`Place::index`]; no tag is in two of them.
    arrays: [Array<A>; PLACES],
}

impl<A: Copy> Default for Peers<A> {
    fn default() -> Self {
        Self { arrays: [const { Array::new() }; PLACES] }
    }
}

impl<A: Copy> Peers<A> {
    pub(crate) fn len(&self) -> usize {
        self.arrays.iter().map(Array::len).sum()
    }

    /// How many peers have everything.
    pub(crate) fn complete(&self) -> usize {
        self.arrays.iter().skip(1).step_by(2).map(Array::len).sum()
    }

    /// What is known of a peer, which is in `likely` most of the time: to look elsewhere is to wait for memory.
    pub(crate) fn get(&self, likely: Place, tag: Tag) -> Option<&Peer<A>> {
        self.arrays[likely.index()].get(tag).or_else(|| self.arrays.iter().find_map(|array| array.get(tag)))
    }

    /// Enters a peer, or replaces what was known of it.
    pub(crate) fn put(&mut self, place: Place, peer: Peer<A>) {
        if self.arrays[place.index()].put(peer) {
            for (index, array) in self.arrays.iter_mut().enumerate() {
                if index != place.index() && array.remove(peer.tag) {
                    break;
                }
            }
        }
    }

    /// Where all of them are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = A> {
        self.arrays.iter().flat_map(Array::iter).map(|peer| peer.address)
    }

    /// Whether there was such a peer.
    pub(crate) fn remove(&mut self, tag: Tag) -> bool {
        self.arrays.iter_mut().any(|array| array.remove(tag))
    }

    /// Removes the peers whose time is over, and tells `gone` of each.
    pub(crate) fn expire(&mut self, now: u32, gone: impl Fn(A)) {
        let keep = |peer: &Peer<A>| {
            let is_over = peer.stay.is_over(now);
            if is_over {
                gone(peer.address);
            }
            !is_over
        };
        self.arrays.iter_mut().for_each(|array| array.retain(keep));
    }

    /// Tells of at most `count` peers, an asker in `asker` whose own tag is `tag`: each that it may be told is as likely as
    /// the other, none comes twice, and itself never. A complete asker has no use for complete peers.
    pub(crate) fn choose(
        &self,
        count: usize,
        asker: Place,
        tag: Tag,
        random: &mut impl FnMut() -> u64,
        mut tell: impl FnMut(A, u16),
    ) {
        let nearest = 2 * asker.scope as usize;
        let step = if asker.complete { 2 } else { 1 };
        let visible = || self.arrays[nearest..].iter().step_by(step);
        let length = visible().map(Array::len).sum();
        // The others are numbered without the asker itself. Who has everything is not among them.
        let is_elsewhere = asker.complete && self.arrays[asker.index()].get(tag).is_some();
        let own = if is_elsewhere { None } else { position_of(visible(), tag) }.unwrap_or(length);
        let total = length - usize::from(own < length);
        let count = count.min(total);
        let mut parts = Vec::with_capacity(count.min(2 * GROUP));
        spread(count, total, random, |others| {
            let before = others.start.min(own)..others.end.min(own);
            let behind = others.start.max(own) + 1..others.end.max(own) + 1;
            find(visible(), before, &mut parts);
            find(visible(), behind, &mut parts);
        });
        // Waiting for memory is most of what choosing takes: it is asked for all of it at the same time.
        let lines = parts.iter().flat_map(|part| part.iter().step_by(PEERS_IN_A_LINE));
        black_box(lines.fold(0, |tags, peer| tags ^ peer.tag));
        parts.into_iter().flatten().for_each(|peer| tell(peer.address, peer.port));
    }
}

/// How many peers of these arrays come before the one with this tag, if there is such a peer.
fn position_of<'a, A: Copy + 'a>(arrays: impl Iterator<Item = &'a Array<A>>, tag: Tag) -> Option<usize> {
    let mut before = 0;
    for array in arrays {
        if let Some(position) = array.position(tag) {
            return Some(before + position);
        }
        before += array.len();
    }
    None
}

/// Finds the peers that so many others of these arrays come before, without looking at them.
fn find<'a, A: Copy + 'a>(
    arrays: impl Iterator<Item = &'a Array<A>>,
    positions: Range<usize>,
    into: &mut Vec<&'a [Peer<A>]>,
) {
    let (mut at, mut left) = (positions.start, positions.len());
    for array in arrays {
        while left > 0
            && let Some((run, index)) = array.run_at(at)
        {
            let part = &run[index..run.len().min(index + left)];
            into.push(part);
            at += part.len();
            left -= part.len();
        }
        if left == 0 {
            return;
        }
        // What is left begins in the next array.
        at = at.saturating_sub(array.len());
    }
}

/// Neighbours that are told together in large swarms. They have nothing in common but that their memory is read at once:
/// waiting for memory is most of what choosing takes.
const GROUP: usize = 25;

/// Peers that come from memory together, of the smaller kind.
const PEERS_IN_A_LINE: usize = 64 / size_of::<Peer<Ipv4Addr>>();

/// Says `count` different numbers below `total`, which is not less: groups of successive ones, or single ones where those
/// are few. There is one group in each of as many equal stretches of a circle that starts anywhere.
fn spread(count: usize, total: usize, random: &mut impl FnMut() -> u64, mut say: impl FnMut(Range<usize>)) {
    let group = if total >= 4 * count.next_multiple_of(GROUP) { GROUP } else { 1 };
    let groups = count.div_ceil(group);
    let start = below(total, random());
    // Where stretches end is counted in parts of 2^-32: dividing for each would take longer than everything else. What that
    // cuts off is less than a part for each.
    let stretch = (((total / group) as u64) << 32) / (groups.max(1) as u64);
    let mut end = 1 << 16;
    for number in 0..groups {
        let from = (end >> 32) as usize;
        end += stretch;
        let drawn = start + group * (from + below((end >> 32) as usize - from, random()));
        let first = if drawn < total { drawn } else { drawn - total };
        let last = first + group.min(count - number * group);
        say(first..last.min(total));
        if last > total {
            say(0..last - total);
        }
    }
}

/// A number below `limit`, which is less than 2^32, or 0.
fn below(limit: usize, random: u64) -> usize {
    (((random >> 32) * limit as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::collections::BTreeSet;
    use std::mem::size_of;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const GLOBAL: Place = Place { scope: Scope::Global, complete: false };
    const GLOBAL_SEED: Place = Place { scope: Scope::Global, complete: true };
    const LOCAL: Place = Place { scope: Scope::Local, complete: false };

    fn peer(tag: Tag) -> Peer<u32> {
        Peer { tag, address: tag, port: 1, stay: Stay::until(tag, false) }
    }

    fn peers(place: Place, tags: impl IntoIterator<Item = Tag>) -> Peers<u32> {
        let mut peers = Peers::default();
        tags.into_iter().for_each(|tag| peers.put(place, peer(tag)));
        peers
    }

    /// Addresses of those who are chosen.
    fn choose(
        peers: &Peers<u32>,
        count: usize,
        asker: Place,
        tag: Tag,
        random: &mut impl FnMut() -> u64,
    ) -> BTreeSet<u32> {
        let mut chosen = Vec::new();
        peers.choose(count, asker, tag, random, |address, _| chosen.push(address));
        let distinct = chosen.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(distinct.len(), chosen.len(), "nobody twice");
        distinct
    }

    #[test]
    fn a_peer_takes_little_memory() {
        assert_eq!((size_of::<Peer<Ipv4Addr>>(), size_of::<Peer<Ipv6Addr>>()), (12, 24));
    }

    #[test]
    fn a_peer_is_in_one_place() {
        let mut peers = peers(GLOBAL, [5, 3, 9]);
        for (place, complete) in [(LOCAL, 0), (GLOBAL_SEED, 1), (GLOBAL_SEED, 1), (GLOBAL, 0)] {
            peers.put(place, Peer { port: 7, ..peer(3) });
            assert_eq!((peers.len(), peers.complete()), (3, complete), "{place:?}");
            assert_eq!(peers.get(LOCAL, 3).map(|peer| peer.port), Some(7));
        }
        assert!(peers.remove(3));
        assert!(!peers.remove(3));
        assert_eq!((peers.len(), peers.get(GLOBAL, 3)), (2, None));
    }

    #[test]
    fn a_peer_expires_after_its_time() {
        let mut peers = peers(GLOBAL, 0..1_000);
        let gone = std::cell::Cell::new(0);
        peers.expire(990, |_| gone.set(gone.get() + 1));
        assert_eq!(gone.get(), 990, "each is told of");
        assert_eq!(peers.len(), 10);
        assert_eq!((peers.get(GLOBAL, 989), peers.get(GLOBAL, 990).map(|peer| peer.tag)), (None, Some(990)));
    }

    #[test]
    fn a_stay_ends_when_it_should_however_late_it_is() {
        for start in [0, 1, 32_767, 32_768, 100_000, u32::MAX - 40_000] {
            for is_counted in [false, true] {
                let stay = Stay::until(start + LONGEST_STAY, is_counted);
                assert_eq!(stay.is_counted(), is_counted);
                for (seconds, over) in
                    [(0, false), (LONGEST_STAY, false), (LONGEST_STAY + 1, true), (30_000, true)]
                {
                    assert_eq!(stay.is_over(start + seconds), over, "{start}, {seconds} s later");
                }
            }
        }
    }

    #[test]
    fn every_other_peer_is_chosen_equally_often() {
        for (count, total, own) in [
            (1, 10, 3),
            (3, 10, 0),
            (7, 10, 9),
            (9, 10, 5),
            (10, 33, 32),
            (50, 1_000, 500),
            (20, 163, 77),
            (200, 3_000, 77),
        ] {
            // In two arrays, so that the choice has to go across.
            let mut peers = peers(GLOBAL, 0..total / 3);
            (total / 3..total).for_each(|tag| peers.put(GLOBAL_SEED, peer(tag)));
            let mut random = testing::random(u64::from(total));
            let mut hits = vec![0_u32; total as usize];
            let rounds = 2_000 * total / u32::try_from(count).unwrap();
            for _ in 0..rounds {
                let distinct = choose(&peers, count, GLOBAL, own, &mut random);
                assert_eq!(distinct.len(), count, "{distinct:?}");
                for address in distinct {
                    hits[address as usize] += 1;
                }
            }
            assert_eq!(hits[own as usize], 0, "the asker itself");
            let expected = f64::from(rounds) * count as f64 / f64::from(total - 1);
            for (tag, hits) in hits.into_iter().enumerate().filter(|(tag, _)| *tag != own as usize) {
                let ratio = f64::from(hits) / expected;
                assert!(
                    (0.85..1.15).contains(&ratio),
                    "{count} of {total}: {tag} chosen {ratio} times the mean"
                );
            }
        }
    }

    #[test]
    fn any_two_peers_may_be_chosen_together() {
        let peers = peers(GLOBAL, 0..8);
        let mut random = testing::random(1);
        let pairs: BTreeSet<BTreeSet<_>> =
            (0..2_000).map(|_| choose(&peers, 2, GLOBAL, 99, &mut random)).collect();
        assert_eq!(pairs.len(), 8 * 7 / 2);
    }

    #[test]
    fn only_useful_peers_are_chosen() {
        let places = [Scope::Loopback, Scope::Local, Scope::Global]
            .map(|scope| [false, true].map(|complete| Place { scope, complete }));
        let mut peers = Peers::default();
        for (tag, place) in (0..).zip(places.as_flattened()) {
            peers.put(*place, peer(tag));
        }
        for (asker, useful) in [
            (places[0][0], &[0, 1, 2, 3, 4, 5][..]),
            (places[0][1], &[0, 2, 4]),
            (places[1][0], &[2, 3, 4, 5]),
            (places[1][1], &[2, 4]),
            (places[2][0], &[4, 5]),
            (places[2][1], &[4]),
        ] {
            let mut random = testing::random(1);
            assert_eq!(
                choose(&peers, 99, asker, 77, &mut random),
                useful.iter().copied().collect(),
                "{asker:?}"
            );
            assert!(choose(&peers, 0, asker, 77, &mut random).is_empty());
        }
        assert!(choose(&Peers::default(), 9, GLOBAL, 0, &mut || u64::MAX).is_empty());
    }
}
