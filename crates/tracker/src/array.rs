//! Peers in the order of their tags.
//!
//! Tags are hashes, hence evenly spread. So a peer is where its tag says that it ought to be, or a few steps beside; and
//! cut at tags that are equally far from each other, an array gets runs of equal length. Entering a peer moves the half of
//! one run at most, and the cutting doubles as the array grows: no swarm is so large that anybody waits.

use crate::peers::{Peer, Tag};

/// Peers in a run, on average, from which on runs are cut in two.
const LONG: usize = 1024;

/// Peers in a run, on average, below which two become one.
const SHORT: usize = LONG / 4;

#[derive(Debug)]
pub(crate) struct Array<A> {
    /// None, or two to the power of a number below 32.
    runs: Vec<Run<A>>,
    /// Peers in all of them: to ask the last one would be one more place in memory to wait for.
    len: usize,
}

#[derive(Debug)]
struct Run<A> {
    /// Peers in all runs before.
    start: usize,
    peers: Vec<Peer<A>>,
}

impl<A: Copy> Array<A> {
    pub(crate) const fn new() -> Self {
        Self { runs: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, tag: Tag) -> Option<&Peer<A>> {
        let (run, Ok(index)) = self.search(tag) else { return None };
        Some(&self.runs[run].peers[index])
    }

    /// How many peers come before the one with this tag, if there is such a peer.
    pub(crate) fn position(&self, tag: Tag) -> Option<usize> {
        let (run, Ok(index)) = self.search(tag) else { return None };
        Some(self.runs[run].start + index)
    }

    /// The run with the peer that so many others come before, and where in it that peer is.
    pub(crate) fn run_at(&self, position: usize) -> Option<(&[Peer<A>], usize)> {
        // Runs are of equal length, more or less.
        let mut number = position.checked_mul(self.runs.len())?.checked_div(self.len())?;
        while number > 0 && self.runs.get(number).is_none_or(|run| run.start > position) {
            number -= 1;
        }
        while self.runs.get(number + 1).is_some_and(|next| next.start <= position) {
            number += 1;
        }
        let run = self.runs.get(number)?;
        let index = position - run.start;
        (index < run.peers.len()).then_some((&run.peers, index))
    }

    /// All of them, in the order of their tags.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer<A>> {
        self.runs.iter().flat_map(|run| &run.peers)
    }

    /// Enters a peer, or replaces what was known of it; whether it is new.
    pub(crate) fn put(&mut self, peer: Peer<A>) -> bool {
        if self.len() >= LONG * self.runs.len() {
            self.cut();
        }
        let (number, found) = self.search(peer.tag);
        let peers = &mut self.runs[number].peers;
        match found {
            Ok(index) => peers[index] = peer,
            Err(index) => {
                if peers.len() == peers.capacity() {
                    // By an eighth instead of doubling: a large swarm's memory is what its peers need.
                    peers.reserve_exact(peers.len() / 8 + 4);
                }
                peers.insert(index, peer);
                self.runs[number + 1..].iter_mut().for_each(|run| run.start += 1);
                self.len += 1;
            }
        }
        found.is_err()
    }

    /// Whether there was such a peer.
    pub(crate) fn remove(&mut self, tag: Tag) -> bool {
        let (number, Ok(index)) = self.search(tag) else { return false };
        self.runs[number].peers.remove(index);
        self.runs[number + 1..].iter_mut().for_each(|run| run.start -= 1);
        self.len -= 1;
        true
    }

    /// Removes the peers that are not to be kept, and gives memory back.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Peer<A>) -> bool) {
        self.runs.iter_mut().for_each(|run| run.peers.retain(&keep));
        self.number();
        while self.runs.len() > 1 && self.len() < SHORT * self.runs.len() {
            self.join();
        }
        for Run { peers, .. } in &mut self.runs {
            if peers.len() < peers.capacity() / 2 {
                peers.shrink_to(peers.len() + peers.len() / 8);
            }
        }
        if self.len() == 0 {
            self.runs = Vec::new();
        }
    }

    /// The run in which a peer with this tag is, or would have to be, and where in it.
    fn search(&self, tag: Tag) -> (usize, Result<usize, usize>) {
        let scaled = u64::from(tag) * self.runs.len() as u64;
        let Some(Run { peers, .. }) = self.runs.get(upper(scaled)) else { return (0, Err(0)) };
        let mut index = upper((scaled & u64::from(u32::MAX)) * peers.len() as u64);
        while peers[..index].last().is_some_and(|before| before.tag >= tag) {
            index -= 1;
        }
        while peers.get(index).is_some_and(|peer| peer.tag < tag) {
            index += 1;
        }
        let is_there = peers.get(index).is_some_and(|peer| peer.tag == tag);
        (upper(scaled), if is_there { Ok(index) } else { Err(index) })
    }

    /// Makes two runs of each, or the first one.
    fn cut(&mut self) {
        let runs = 2 * self.runs.len();
        let second_of = |tag: Tag| upper(u64::from(tag) * runs as u64) % 2 == 1;
        let halves = |Run { mut peers, start }: Run<A>| {
            let second = peers.split_off(peers.partition_point(|peer| !second_of(peer.tag)));
            peers.shrink_to_fit();
            [Run { start, peers }, Run { start, peers: second }]
        };
        self.runs = std::mem::take(&mut self.runs).into_iter().flat_map(halves).collect();
        if self.runs.is_empty() {
            self.runs = vec![Run { start: 0, peers: Vec::new() }];
        }
        self.number();
    }

    /// Makes one run of each two.
    fn join(&mut self) {
        let runs = std::mem::take(&mut self.runs);
        let pairs = runs.as_chunks::<2>().0.iter();
        self.runs = pairs
            .map(|[first, second]| Run { start: 0, peers: [&first.peers[..], &second.peers].concat() })
            .collect();
        self.number();
    }

    /// Says of each run how many peers come before it, and how many there are in all.
    fn number(&mut self) {
        self.len = 0;
        for run in &mut self.runs {
            run.start = self.len;
            self.len += run.peers.len();
        }
    }
}

/// The upper half.
fn upper(number: u64) -> usize {
    (number >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Stay;
    use crate::testing;
    use std::collections::BTreeMap;

    fn peer(tag: Tag) -> Peer<u32> {
        Peer { tag, address: !tag, port: 1, stay: Stay::until(0, false) }
    }

    /// Evenly spread, as hashes are.
    fn tags(count: u32) -> impl Iterator<Item = Tag> {
        (0..count).map(|number| number.wrapping_mul(0x9e37_79b9))
    }

    fn array(count: u32) -> Array<u32> {
        let mut array = Array::new();
        tags(count).for_each(|tag| assert!(array.put(peer(tag))));
        array
    }

    fn room(array: &Array<u32>) -> usize {
        array.runs.iter().map(|run| run.peers.capacity()).sum()
    }

    #[test]
    fn it_takes_little_more_room_than_its_peers() {
        for count in [10, 500, 1_000, 1_100, 10_000, 100_000] {
            let room = room(&array(count));
            assert!(room <= count as usize * 9 / 8 + 8, "room for {room} instead of {count}");
        }
    }

    #[test]
    fn runs_are_neither_long_nor_many() {
        for (count, runs) in [(0, 0), (1, 1), (1_024, 1), (1_025, 2), (2_049, 4), (200_000, 256)] {
            let mut array = array(count);
            assert_eq!(array.runs.len(), runs, "{count} peers");
            let longest = array.runs.iter().map(|run| run.peers.len()).max().unwrap_or_default();
            assert!(longest <= LONG + LONG / 8, "{count} peers, {longest} in a run");
            array.retain(|peer| peer.tag.is_multiple_of(64));
            assert!(array.runs.len() <= 1 + array.len() / SHORT, "{} peers are left", array.len());
            assert!(room(&array) <= 2 * array.len() + 4, "memory is given back");
            array.retain(|_| false);
            assert_eq!((array.len(), room(&array)), (0, 0));
        }
    }

    #[test]
    fn it_agrees_with_a_map() {
        let mut array = Array::new();
        let mut map = BTreeMap::new();
        let mut random = testing::random(1);
        // Grows, shrinks, and grows again.
        for turn in 0_u32..60_000 {
            let tag = tags(6_000).nth(usize::try_from(random() % 6_000).unwrap()).unwrap();
            let peer = Peer { port: u16::try_from(turn % 1_000).unwrap(), ..peer(tag) };
            let enters =
                if turn / 20_000 == 1 { random().is_multiple_of(8) } else { !random().is_multiple_of(8) };
            if enters {
                assert_eq!(array.put(peer), map.insert(tag, peer).is_none());
            } else {
                assert_eq!(array.remove(tag), map.remove(&tag).is_some());
            }
            if turn % 1_000 == 0 {
                array.retain(|peer| peer.port != 77);
                map.retain(|_, peer| peer.port != 77);
                let nth = |at| array.run_at(at).map(|(run, index)| run[index]);
                assert!((0..).map_while(nth).eq(map.values().copied()), "turn {turn}");
                for (position, tag) in map.keys().enumerate() {
                    assert_eq!((array.position(*tag), array.get(*tag)), (Some(position), map.get(tag)));
                }
            }
            assert_eq!(array.len(), map.len());
        }
    }
}
