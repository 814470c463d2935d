//! Whom to connect to.
//!
//! A box may be behind NAT, and so may those who want something from it: whoever can be reached has to be called.
//! Candidates come from several sources, and strangers write most of them: all lists are bounded, and an address is
//! only called if whoever told of it could be near it.

mod limits;
mod tip;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use torrent::InfoHash;
use tracker::address::Scope;

use crate::compact::canonical;
use crate::priority::priority;
pub use limits::Limits;
pub use tip::{Source, Tip};

/// Time in which a peer that was told of the box by its tracker can connect to it; most can.
pub const GRACE: Duration = Duration::from_secs(10);

/// Time after each call that failed but the last.
const BACK_OFF: [Duration; 2] = [Duration::from_mins(1), Duration::from_mins(5)];

/// For so long a peer that could never be reached is not called, whoever tells of it.
const UNREACHABLE: Duration = Duration::from_mins(30);

/// Time after a call that could not be made.
const PUT_OFF: Duration = Duration::from_mins(1);

/// For so long a peer is not called after a connection with it has ended.
const REST: Duration = Duration::from_mins(1);

/// In which there are no more calls than [`Limits::per_second`].
const SECOND: Duration = Duration::from_secs(1);

/// Below are ports of well-known services. Nobody must be able to have them called by telling of them; only who has
/// announced to the box's tracker is known to be there.
const FIRST_FREE_PORT: u16 = 1024;

/// A candidate of an item.
#[derive(Debug)]
struct Candidate {
    source: Source,
    priority: u32,
    /// Calls that failed.
    failures: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not to be called before.
    Waiting(Instant),
    /// To be called.
    Ready,
    /// Being called.
    Calling,
    /// Connected; whether the box called.
    Connected { outgoing: bool },
    /// Not to be called, and to be forgotten then.
    Resting(Instant),
}

impl State {
    /// Whether it is not connected.
    fn is_idle(self) -> bool {
        !matches!(self, Self::Connected { .. })
    }
}

/// The candidates of an item.
#[derive(Debug, Default)]
struct Item {
    candidates: BTreeMap<SocketAddr, Candidate>,
    /// How many are not connected.
    idle: usize,
}

type Key = (InfoHash, SocketAddr);

/// Position in the order of calling.
type Rank = (Source, Reverse<u32>, Key);

/// All candidates of all items.
#[derive(Debug, Default)]
pub struct Candidates {
    limits: Limits,
    own: Vec<SocketAddr>,
    items: BTreeMap<InfoHash, Item>,
    /// Those that are ready.
    ready: BTreeSet<Rank>,
    /// Those that wait or rest, by the time at which that ends.
    timed: BTreeSet<(Instant, Key)>,
    /// Those that wait or rest, could not be reached and are hearsay: they make room for others.
    failed: BTreeSet<Key>,
    /// How many are not connected.
    idle: usize,
    calling: usize,
    outgoing: usize,
    /// When the last calls began, of which there are no more than in a second.
    calls: VecDeque<Instant>,
}

impl Candidates {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The box's own addresses with the port of its listener, as far as known. They are never called.
    pub fn set_own(&mut self, own: Vec<SocketAddr>) {
        self.own = own;
    }

    /// Takes a candidate, unless it makes no sense or there are too many. One that is known stays what it is.
    pub fn add(&mut self, now: Instant, tip: &Tip) {
        let Tip { info_hash, source, .. } = *tip;
        let Some(address) = self.sensible(tip) else { return };
        let key = (info_hash, address);
        if let Some(known) = self.get(key) {
            let better = source < known.source;
            if better && matches!(known.state, State::Waiting(_) | State::Ready) {
                let state = known.state;
                self.take_out(key);
                self.put_in(key, source, 0, state);
            }
            return;
        }
        self.make_room(key, source);
        if self.has_room(key, source) {
            let wait = if source == Source::Tracker { GRACE } else { Duration::ZERO };
            self.put_in(key, source, 0, State::Waiting(now + wait));
        }
    }

    /// A peer has everything, or has left: it is not called.
    pub fn remove(&mut self, info_hash: InfoHash, address: SocketAddr) {
        let key = (info_hash, canonical(address));
        let is_idle =
            |candidate: &Candidate| !matches!(candidate.state, State::Calling | State::Connected { .. });
        if self.get(key).is_some_and(is_idle) {
            self.take_out(key);
        }
    }

    /// An item is no longer served: nobody is called for it. What has begun goes on to its end.
    pub fn forget(&mut self, info_hash: &InfoHash) {
        let addresses = self.items.get(info_hash).into_iter().flat_map(|item| item.candidates.keys());
        for address in addresses.copied().collect::<Vec<_>>() {
            self.remove(*info_hash, address);
        }
    }

    /// Whom to call now; `None` if nobody, or if there are enough calls and connections. What becomes of the call is
    /// to be told by [`connected`](Self::connected), and in any case by [`ended`](Self::ended) or
    /// [`put_off`](Self::put_off).
    pub fn poll(&mut self, now: Instant) -> Option<(InfoHash, SocketAddr)> {
        while let Some((due, key)) = self.timed.first().copied().filter(|(due, _)| *due <= now) {
            let Some(Candidate { source, failures, state, .. }) = self.take_out(key) else {
                debug_assert!(false, "what is timed at {due:?} is known");
                return None;
            };
            if matches!(state, State::Waiting(_)) {
                self.put_in(key, source, failures, State::Ready);
            }
        }
        if self.has_enough() || self.rested().is_some_and(|rested| rested > now) {
            return None;
        }
        let (.., key) = *self.ready.first()?;
        if self.calls.len() >= self.limits.per_second {
            self.calls.pop_front();
        }
        self.calls.push_back(now);
        self.set_state(key, State::Calling);
        Some(key)
    }

    /// When [`poll`](Self::poll) may have somebody new, if nothing happens before; the past means at once.
    pub fn next_due(&self) -> Option<Instant> {
        let timed = self.timed.first().map(|(due, _)| *due);
        let due = if self.ready.is_empty() { timed } else { self.calls.back().copied() }?;
        (!self.has_enough()).then(|| self.rested().map_or(due, |rested| rested.max(due)))
    }

    /// Whether there are enough calls and connections.
    fn has_enough(&self) -> bool {
        self.calling >= self.limits.half_open || self.outgoing >= self.limits.outgoing
    }

    /// When there may be another call after those of the last second; `None` if there were few.
    fn rested(&self) -> Option<Instant> {
        self.calls.front().filter(|_| self.calls.len() >= self.limits.per_second).map(|first| *first + SECOND)
    }

    /// A call has become a connection.
    pub fn connected(&mut self, info_hash: InfoHash, address: SocketAddr) {
        self.set_state((info_hash, canonical(address)), State::Connected { outgoing: true });
    }

    /// A peer that takes connections at this address has connected to the box: it need not be called.
    pub fn arrived(&mut self, info_hash: InfoHash, address: SocketAddr) {
        let key = (info_hash, canonical(address));
        match self.get(key).map(|candidate| candidate.state) {
            Some(State::Calling | State::Connected { .. }) => {}
            Some(_) => self.set_state(key, State::Connected { outgoing: false }),
            None => self.put_in(key, Source::Tracker, 0, State::Connected { outgoing: false }),
        }
    }

    /// A call could not be made: it says nothing of the peer, which waits.
    pub fn put_off(&mut self, now: Instant, info_hash: InfoHash, address: SocketAddr) {
        let key = (info_hash, canonical(address));
        if self.get(key).is_some_and(|candidate| candidate.state == State::Calling) {
            self.set_state(key, State::Waiting(now + PUT_OFF));
        }
    }

    /// A call was in vain, or the connection that came of it has ended.
    pub fn ended(&mut self, now: Instant, info_hash: InfoHash, address: SocketAddr) {
        let key = (info_hash, canonical(address));
        let Some(Candidate { source, mut failures, state, .. }) = self.take_out(key) else { return };
        if state == State::Calling {
            failures += 1;
            let pause = BACK_OFF.get(failures - 1);
            let state = pause.map_or(State::Resting(now + UNREACHABLE), |pause| State::Waiting(now + *pause));
            self.put_in(key, source, failures, state);
        } else {
            self.rest(now, key);
        }
    }

    /// A peer that had [`arrived`](Self::arrived) is no longer connected.
    pub fn departed(&mut self, now: Instant, info_hash: InfoHash, address: SocketAddr) {
        let key = (info_hash, canonical(address));
        if self.get(key).is_some_and(|candidate| candidate.state == State::Connected { outgoing: false }) {
            self.take_out(key);
            self.rest(now, key);
        }
    }

    /// A peer was connected: it is left alone for a while, unless there are others to be kept in mind.
    fn rest(&mut self, now: Instant, key: Key) {
        if self.has_room(key, Source::Tracker) {
            self.put_in(key, Source::Tracker, 0, State::Resting(now + REST));
        }
    }

    /// How many there are that are not connected.
    pub fn len(&self) -> usize {
        self.idle
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.idle == 0
    }

    /// The address in canonical form, if it can be called and whoever told of it may know it.
    fn sensible(&self, tip: &Tip) -> Option<SocketAddr> {
        let address = canonical(tip.address);
        let scope = Scope::of(address.ip())?;
        let lowest = if tip.source == Source::Tracker { 1 } else { FIRST_FREE_PORT };
        // Strangers must not have anybody called in the box's own network.
        let known_there = scope.is_told_to(tip.teller);
        (known_there && address.port() >= lowest && !self.own.contains(&address)).then_some(address)
    }

    /// Whether there is room for another candidate. Hearsay gets half of it: the rest is for those who ask themselves.
    fn has_room(&self, key: Key, source: Source) -> bool {
        !self.is_full(source) && !self.is_item_full(&key.0, source) && !self.is_crowded(key)
    }

    fn is_full(&self, source: Source) -> bool {
        self.idle >= self.limits.all / source.share()
    }

    fn is_item_full(&self, info_hash: &InfoHash, source: Source) -> bool {
        self.items.get(info_hash).is_some_and(|item| item.idle >= self.limits.per_item / source.share())
    }

    /// Whether there are as many at this address as may be.
    fn is_crowded(&self, (info_hash, address): Key) -> bool {
        let Some(item) = self.items.get(&info_hash) else { return false };
        let at = |port| SocketAddr::new(address.ip(), port);
        let neighbours = item.candidates.range(at(0)..=at(u16::MAX));
        neighbours.filter(|(_, neighbour)| neighbour.state.is_idle()).count() >= self.limits.per_address
    }

    /// Lets one go that failed where there is no room: of the same item, or of any if that is not what is full.
    fn make_room(&mut self, key: Key, source: Source) {
        if self.is_crowded(key) {
            return;
        }
        let lowest = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let of_item = self.failed.range((key.0, lowest)..).next().filter(|failed| failed.0 == key.0);
        let goes = match (self.is_item_full(&key.0, source), self.is_full(source)) {
            (true, _) => of_item,
            (false, true) => of_item.or(self.failed.first()),
            (false, false) => None,
        };
        if let Some(key) = goes.copied() {
            self.take_out(key);
        }
    }

    fn get(&self, (info_hash, address): Key) -> Option<&Candidate> {
        self.items.get(&info_hash)?.candidates.get(&address)
    }

    fn set_state(&mut self, key: Key, state: State) {
        if let Some(Candidate { source, failures, .. }) = self.take_out(key) {
            self.put_in(key, source, failures, state);
        }
    }

    /// Enters a candidate in all the places where one in this state is.
    fn put_in(&mut self, key: Key, source: Source, failures: usize, state: State) {
        let (info_hash, address) = key;
        let priority = priority(self.seen_from(address), address);
        match state {
            State::Ready => drop(self.ready.insert((source, Reverse(priority), key))),
            State::Waiting(until) | State::Resting(until) => {
                self.timed.insert((until, key));
                if failures > 0 && !source.tells_of_itself() {
                    self.failed.insert(key);
                }
            }
            State::Calling | State::Connected { .. } => {}
        }
        let candidate = Candidate { source, priority, failures, state };
        self.items.entry(info_hash).or_default().candidates.insert(address, candidate);
        self.count(&info_hash, state, 1);
    }

    /// Takes a candidate out of all the places where it is.
    fn take_out(&mut self, key: Key) -> Option<Candidate> {
        let (info_hash, address) = key;
        let candidate = self.items.get_mut(&info_hash)?.candidates.remove(&address)?;
        self.count(&info_hash, candidate.state, -1);
        if self.items.get(&info_hash).is_some_and(|item| item.candidates.is_empty()) {
            self.items.remove(&info_hash);
        }
        match candidate.state {
            State::Ready => drop(self.ready.remove(&(candidate.source, Reverse(candidate.priority), key))),
            State::Waiting(until) | State::Resting(until) => {
                self.timed.remove(&(until, key));
                self.failed.remove(&key);
            }
            State::Calling | State::Connected { .. } => {}
        }
        Some(candidate)
    }

    /// Counts one more or one less in this state.
    fn count(&mut self, info_hash: &InfoHash, state: State, change: isize) {
        let add = |number: &mut usize| *number = number.saturating_add_signed(change);
        if state.is_idle() {
            add(&mut self.idle);
            self.items.get_mut(info_hash).map(|item| &mut item.idle).into_iter().for_each(add);
        }
        match state {
            State::Calling => {
                add(&mut self.calling);
                add(&mut self.outgoing);
            }
            State::Connected { outgoing: true } => add(&mut self.outgoing),
            _ => {}
        }
    }

    /// Our own address as a peer there sees it, as far as known.
    fn seen_from(&self, peer: SocketAddr) -> SocketAddr {
        let family = || self.own.iter().filter(|own| own.is_ipv4() == peer.is_ipv4());
        let near = family().find(|own| Scope::of(own.ip()) == Scope::of(peer.ip()));
        let unknown =
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        near.or_else(|| family().next()).copied().unwrap_or(SocketAddr::new(unknown, 0))
    }
}

#[cfg(test)]
mod tests;
