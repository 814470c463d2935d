//! Leechers of several items around one seed, in virtual time.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are small and positive"
)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use seeder::{Member, PeerStats, Reveal, Schedule, Swarm, Uplink, rank};
use torrent::{Block, Lengths};

use super::leecher::{BLOCK, BlockId, Conn, Kind, Leecher, SECOND, Time};
use crate::support::{Xorshift, origin};

/// From one socket to another.
pub(crate) const DELAY: Time = 15_000;
const CHOKER: Time = 10 * SECOND;

#[derive(Debug, Clone, Copy)]
enum Message {
    Have(u32),
    HaveAll,
    /// Only the seed wants to know.
    Interested(bool),
    Choke,
    Unchoke,
    Request(BlockId),
    Cancel(BlockId),
    Reject(BlockId),
    Piece(BlockId),
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Join,
    Leave,
    /// From another peer of the item; the seed's number is the last one.
    Message(usize, Message),
    SentOne,
    Choke,
    Ask,
}

/// One item and its swarm.
pub(crate) struct Item {
    pub(crate) swarm: Swarm,
    pub(crate) leechers: Vec<Leecher>,
    members: Vec<Option<Member>>,
    /// What the seed's choker knows of them, if it has not a slot for everybody.
    stats: Vec<PeerStats>,
    queues: Vec<Vec<BlockId>>,
    /// Blocks in sockets.
    written: Vec<usize>,
    lengths: Lengths,
    pub(crate) sent: u64,
}

pub(crate) struct World {
    start: Instant,
    pub(crate) now: Time,
    events: BinaryHeap<Reverse<(Time, u64, usize, usize)>>,
    /// By sequence number.
    payloads: Vec<Event>,
    pub(crate) items: Vec<Item>,
    schedule: Schedule<usize, (usize, usize)>,
    uplink: f64,
    /// Whom the seed unchokes at once, if not everybody.
    pub(crate) slots: Option<usize>,
    /// Blocks that each socket takes before the network does, if the network is what limits.
    sockets: Option<usize>,
    /// Sockets that have something, by item and leecher; whose turn it is in the network.
    wire: VecDeque<(usize, usize, BlockId)>,
    measured: Uplink,
    busy_until: Time,
    /// Delay to the seed.
    seed_delay: Time,
    chance: Xorshift,
}

impl World {
    pub(crate) fn new(uplink: f64, seed_delay: Time, sockets: Option<usize>) -> Self {
        let start = origin();
        Self {
            start,
            now: 0,
            events: BinaryHeap::new(),
            payloads: Vec::new(),
            items: Vec::new(),
            schedule: Schedule::default(),
            uplink,
            slots: None,
            sockets,
            wire: VecDeque::new(),
            measured: Uplink::new(start, None),
            busy_until: 0,
            seed_delay,
            chance: Xorshift(0x5eed),
        }
    }

    /// Adds an item for leechers that come at these times. Its number.
    pub(crate) fn add(&mut self, total: u64, piece_length: u32, leechers: Vec<(Leecher, Time)>) -> usize {
        let lengths = Lengths::new(total, piece_length).unwrap();
        let mut swarm = Swarm::new(self.at(self.now), lengths.clone());
        if self.sockets.is_none() {
            swarm.set_uplink(self.at(self.now), self.uplink as u64);
        }
        let at = self.items.len();
        let count = leechers.len();
        let joins: Vec<_> = leechers.iter().map(|(_, time)| *time).collect();
        self.items.push(Item {
            swarm,
            leechers: leechers.into_iter().map(|(leecher, _)| leecher).collect(),
            members: vec![None; count],
            stats: vec![no_stats(self.at(self.now), piece_length); count],
            queues: vec![Vec::new(); count],
            written: vec![0; count],
            sent: 0,
            lengths,
        });
        self.push(CHOKER, at, count, Event::Choke);
        for (leecher, time) in joins.into_iter().enumerate() {
            self.push(time, at, leecher, Event::Join);
            self.push(time + CHOKER / 10, at, leecher, Event::Choke);
        }
        at
    }

    pub(crate) fn leave_at(&mut self, time: Time, item: usize, leecher: usize, back: Time) {
        self.push(time, item, leecher, Event::Leave);
        self.push(back, item, leecher, Event::Join);
    }

    /// Others have all of the item, too.
    pub(crate) fn others_seed(&mut self, item: usize) {
        let now = self.at(self.now);
        self.items[item].swarm.others_seed(now, true);
    }

    /// Goes on until that is so, or until that time; whether it was so.
    pub(crate) fn run(&mut self, limit: Time, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let deadline = self.items.iter().filter_map(|item| item.swarm.next_deadline()).min();
            let deadline = deadline.map(|at| (at - self.start).as_nanos().div_ceil(1000) as Time);
            let event = self.events.peek().map(|Reverse((time, ..))| *time);
            let Some(next) = deadline.into_iter().chain(event).min().filter(|next| *next <= limit) else {
                return false;
            };
            self.now = self.now.max(next);
            let now = self.at(self.now);
            if event == Some(next) {
                let Reverse((_, key, item, leecher)) = self.events.pop().unwrap();
                let event = self.payloads[key as usize];
                self.handle(item, leecher, event);
                self.reveal(item);
            } else {
                for item in 0..self.items.len() {
                    if self.items[item].swarm.next_deadline().is_some_and(|at| at <= now) {
                        self.items[item].swarm.handle_timeout(now);
                        self.reveal(item);
                    }
                }
            }
            self.serve();
        }
        true
    }

    fn at(&self, time: Time) -> Instant {
        self.start + Duration::from_micros(time)
    }

    fn push(&mut self, time: Time, item: usize, leecher: usize, event: Event) {
        let key = self.payloads.len() as u64;
        self.payloads.push(event);
        self.events.push(Reverse((time, key, item, leecher)));
    }

    fn send(&mut self, item: usize, from: usize, to: usize, message: Message) {
        let is_seed = from == self.items[item].leechers.len();
        let delay = if is_seed { self.seed_delay } else { DELAY };
        self.push(self.now + delay, item, to, Event::Message(from, message));
    }

    fn reveal(&mut self, item: usize) {
        let now = self.at(self.now);
        while let Some(reveal) = self.items[item].swarm.poll_reveal(now) {
            let seed = self.items[item].leechers.len();
            let (member, message) = match reveal {
                Reveal::Piece(member, piece) => (member, Message::Have(piece.get())),
                Reveal::All(member) => (member, Message::HaveAll),
            };
            let to = self.items[item].members.iter().position(|of| *of == Some(member)).unwrap();
            self.send(item, seed, to, message);
        }
    }

    /// One block after the other.
    fn serve(&mut self) {
        while self.busy_until <= self.now {
            let Some((item, leecher, id)) = self.next_block() else { return };
            let took = (f64::from(BLOCK) / self.uplink * SECOND as f64) as Time;
            self.busy_until = self.now + took;
            let seed = self.items[item].leechers.len();
            self.push(
                self.busy_until + self.seed_delay,
                item,
                leecher,
                Event::Message(seed, Message::Piece(id)),
            );
            // Something to wake up for.
            self.push(self.busy_until, item, seed, Event::SentOne);
            self.reveal(item);
        }
    }

    fn next_block(&mut self) -> Option<(usize, usize, BlockId)> {
        if self.sockets.is_some() {
            let (item, leecher, id) = self.wire.pop_front()?;
            self.items[item].written[leecher] -= 1;
            self.wait(item, leecher);
            self.measure();
            return Some((item, leecher, id));
        }
        let turn = self.schedule.pop()?;
        self.schedule.charge(turn, BLOCK.into());
        let (item, leecher) = turn.waiter;
        let id = self.write(item, leecher);
        self.wait(item, leecher);
        Some((item, leecher, id))
    }

    fn measure(&mut self) {
        let now = self.at(self.now);
        if self.measured.sent(now, BLOCK.into()) {
            let uplink = self.measured.bytes_per_second().unwrap();
            self.items.iter_mut().for_each(|item| item.swarm.set_uplink(now, uplink));
        }
    }

    /// Hands the next block of a leecher to its socket.
    fn write(&mut self, item: usize, leecher: usize) -> BlockId {
        let now = self.at(self.now);
        let of = &mut self.items[item];
        let id = of.queues[leecher].remove(0);
        of.swarm.sent(now, of.members[leecher].unwrap(), block(&of.lengths, id));
        of.sent += u64::from(BLOCK);
        of.stats[leecher].sent_since_unchoked += u64::from(BLOCK);
        id
    }

    /// Has the leecher wait for the uplink, if it has asked for something; or writes what its socket takes.
    fn wait(&mut self, item: usize, leecher: usize) {
        if let Some(room) = self.sockets {
            while self.items[item].written[leecher] < room && !self.items[item].queues[leecher].is_empty() {
                let id = self.write(item, leecher);
                self.items[item].written[leecher] += 1;
                self.wire.push_back((item, leecher, id));
            }
            let now = self.at(self.now);
            let of = &mut self.items[item];
            if let Some(member) = of.members[leecher] {
                of.swarm.blocked(now, member, of.written[leecher] >= room);
            }
            return;
        }
        let of = &self.items[item];
        match (of.queues[leecher].first(), of.members[leecher]) {
            (Some(id), Some(member)) => {
                let standing = of.swarm.standing(member, block(&of.lengths, *id));
                self.schedule.push((item, leecher), item, standing);
            }
            _ => self.schedule.remove((item, leecher)),
        }
    }

    fn handle(&mut self, item: usize, to: usize, event: Event) {
        let seed = self.items[item].leechers.len();
        match event {
            Event::SentOne if to == seed => {}
            Event::Join => self.join(item, to),
            Event::Leave => self.leave(item, to),
            Event::SentOne => {
                self.items[item].leechers[to].sending = false;
                self.upload(item, to);
            }
            Event::Choke if to == seed => {
                self.push(self.now + CHOKER, item, seed, Event::Choke);
                self.rank(item);
            }
            Event::Choke => self.choke(item, to),
            Event::Ask => self.ask_all(item, to),
            Event::Message(from, message) if to == seed => self.tell_seed(item, from, message),
            Event::Message(from, message) => self.tell(item, to, from, message),
        }
    }

    fn join(&mut self, item: usize, to: usize) {
        let now = self.at(self.now);
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (item * 0x10000 + to) as u32));
        let of = &mut self.items[item];
        let member = of.swarm.join(now, address);
        of.members[to] = Some(member);
        of.leechers[to].connected = true;
        let seed = of.leechers.len();
        of.leechers[to].conns[seed].open = self.slots.is_none();
        of.stats[to] = no_stats(now, of.lengths.piece_length());
        let has: Vec<_> = of.leechers[to].has.all().collect();
        let says = of.leechers[to].kind != Kind::Silent;
        if says {
            let pieces: Vec<_> = has.iter().map(|piece| of.lengths.piece(*piece).unwrap()).collect();
            of.swarm.has_many(now, member, pieces);
        }
        if self.slots.is_none() {
            of.swarm.interested(now, member, true);
        }
        for peer in (0..seed).filter(|peer| *peer != to) {
            if self.items[item].leechers[peer].connected {
                self.connect(item, to, peer);
                self.connect(item, peer, to);
            }
        }
    }

    /// One side of a connection.
    fn connect(&mut self, item: usize, one: usize, other: usize) {
        let of = &mut self.items[item];
        let [one_, other_] = of.leechers.get_disjoint_mut([one, other]).unwrap();
        one_.conns[other] = Conn::new(of.lengths.piece_count());
        let shows = other_.kind != Kind::Silent;
        other_.has.all().filter(|_| shows).for_each(|piece| one_.learn(other, piece));
        // A free slot is given at once.
        let used = one_.conns.iter().filter(|conn| conn.unchoked).count();
        if one_.kind.shares() && used < one_.slots {
            one_.conns[other].unchoked = true;
            self.send(item, one, other, Message::Unchoke);
        }
    }

    fn leave(&mut self, item: usize, to: usize) {
        let now = self.at(self.now);
        let of = &mut self.items[item];
        if let Some(member) = of.members[to].take() {
            of.swarm.leave(now, member);
        }
        of.queues[to].clear();
        self.schedule.remove((item, to));
        self.wire.retain(|(i, l, _)| (*i, *l) != (item, to));
        self.items[item].written[to] = 0;
        let of = &mut self.items[item];
        of.leechers[to].connected = false;
        for peer in 0..=of.leechers.len() {
            of.leechers[to].disconnect(peer);
            if peer < of.leechers.len() {
                of.leechers[peer].disconnect(to);
            }
        }
        for peer in 0..self.items[item].leechers.len() {
            self.ask_all(item, peer);
        }
    }

    /// To the seed.
    fn tell_seed(&mut self, item: usize, from: usize, message: Message) {
        let now = self.at(self.now);
        let of = &mut self.items[item];
        let Some(member) = of.members[from] else { return };
        match message {
            Message::Have(piece) => {
                of.swarm.has(now, member, of.lengths.piece(piece).unwrap());
                if of.leechers[from].finished.is_some_and(|at| at < self.now)
                    && of.leechers[from].has.all().count() as u32 == of.lengths.piece_count()
                {
                    self.completed(item, from);
                }
            }
            Message::Interested(interested) => {
                of.stats[from].interested = interested;
                of.stats[from].waiting_since = now;
                of.swarm.interested(now, member, interested);
                self.rank(item);
            }
            // It did not know yet.
            Message::Request(_) if self.slots.is_some() && of.stats[from].choked => {}
            Message::Request(id) => {
                of.swarm.requested(now, member, block(&of.lengths, id));
                of.queues[from].push(id);
                self.wait(item, from);
            }
            Message::Cancel(id) => {
                if let Some(at) = of.queues[from].iter().position(|other| *other == id) {
                    of.queues[from].remove(at);
                    of.swarm.cancelled(member, block(&of.lengths, id));
                    self.wait(item, from);
                }
            }
            _ => {}
        }
    }

    /// Has the seed's slots go round.
    fn rank(&mut self, item: usize) {
        let Some(slots) = self.slots else { return };
        let now = self.at(self.now);
        let of = &self.items[item];
        let present: Vec<_> = (0..of.members.len()).filter(|at| of.members[*at].is_some()).collect();
        let stats: Vec<_> = present.iter().map(|at| (*at, of.stats[*at])).collect();
        let chosen = rank(&stats, slots, now);
        for at in present {
            let (of, choked) = (&mut self.items[item], !chosen.contains(&at));
            let (stats, member) = (&mut of.stats[at], of.members[at].unwrap());
            let was_choked = std::mem::replace(&mut stats.choked, choked);
            if was_choked && !choked {
                (stats.last_unchoked, stats.sent_since_unchoked) = (Some(now), 0);
            } else if !was_choked && choked {
                stats.waiting_since = now;
                for id in std::mem::take(&mut of.queues[at]) {
                    of.swarm.cancelled(member, block(&of.lengths, id));
                }
                self.schedule.remove((item, at));
            }
            let (seed, waits) = (of.leechers.len(), choked && of.stats[at].interested);
            of.swarm.choked(now, member, waits);
            if was_choked != choked {
                self.send(item, seed, at, if choked { Message::Choke } else { Message::Unchoke });
            }
        }
    }

    /// Tells the seed if a leecher has become interested, or is not any more.
    fn show_interest(&mut self, item: usize, of: usize) {
        let leecher = &mut self.items[item].leechers[of];
        let seed = leecher.seed();
        let interested = leecher.conns[seed].has.all().any(|piece| !leecher.has.has(piece));
        if self.slots.is_some() && std::mem::replace(&mut leecher.interested, interested) != interested {
            self.send(item, of, seed, Message::Interested(interested));
        }
    }

    /// Two seeds have nothing to say to each other.
    fn completed(&mut self, item: usize, from: usize) {
        let now = self.at(self.now);
        let of = &mut self.items[item];
        let Some(member) = of.members[from] else { return };
        let says: Vec<_> = of.lengths.pieces().collect();
        of.swarm.has_many(now, member, says);
        of.queues[from].clear();
        self.schedule.remove((item, from));
        of.members[from] = None;
        of.swarm.leave(now, member);
        of.swarm.others_seed(now, true);
        self.rank(item);
    }

    fn tell(&mut self, item: usize, to: usize, from: usize, message: Message) {
        let of = &mut self.items[item];
        let seed = of.leechers.len();
        let is_connected =
            from == seed && of.members[to].is_some() || from < seed && of.leechers[from].connected;
        let leecher = &mut of.leechers[to];
        if !leecher.connected || !is_connected {
            return;
        }
        match message {
            Message::Have(piece) => {
                leecher.learn(from, piece);
                self.show_interest(item, to);
                self.ask(item, to, from);
            }
            Message::HaveAll => {
                (0..of.lengths.piece_count()).for_each(|piece| leecher.learn(from, piece));
                self.show_interest(item, to);
                self.ask(item, to, from);
            }
            Message::Choke => {
                leecher.conns[from].open = false;
                let lost = leecher.conns[from].outstanding.clone();
                leecher.give_up(from, &lost);
                self.ask_all(item, to);
            }
            Message::Unchoke => {
                leecher.conns[from].open = true;
                self.ask(item, to, from);
            }
            Message::Request(id) => {
                if leecher.conns[from].unchoked {
                    let conn = &mut leecher.conns[from];
                    conn.queue.push_back(id);
                    if conn.queue.len() == 1 {
                        leecher.turns.push_back(from);
                    }
                    self.upload(item, to);
                } else {
                    self.send(item, to, from, Message::Reject(id));
                }
            }
            Message::Cancel(id) => leecher.conns[from].queue.retain(|other| *other != id),
            Message::Reject(id) => {
                leecher.give_up(from, &[id]);
                self.ask_all(item, to);
            }
            Message::Piece(id) => self.piece(item, to, from, id),
            Message::Interested(_) => {}
        }
    }

    fn piece(&mut self, item: usize, to: usize, from: usize, id: BlockId) {
        let now = self.now;
        let leecher = &mut self.items[item].leechers[to];
        let (whole, others) = leecher.received(now, from, id);
        let (kind, seed) = (leecher.kind, leecher.seed());
        for other in others {
            self.send(item, to, other, Message::Cancel(id));
        }
        if let Some(piece) = whole.filter(|_| kind != Kind::Silent) {
            for other in (0..=seed).filter(|other| *other != to) {
                self.send(item, to, other, Message::Have(piece));
            }
        }
        self.show_interest(item, to);
        if kind == Kind::Trickler {
            self.push(now + SECOND / 2, item, to, Event::Ask);
        }
        self.ask(item, to, from);
    }

    fn ask(&mut self, item: usize, who: usize, of: usize) {
        let leecher = &mut self.items[item].leechers[who];
        if leecher.kind == Kind::Sluggish && !self.now.is_multiple_of(SECOND / 2) {
            let tick = self.now - self.now % (SECOND / 2) + SECOND / 2;
            if leecher.tick < tick {
                leecher.tick = tick;
                self.push(tick, item, who, Event::Ask);
            }
            return;
        }
        if !leecher.connected {
            return;
        }
        for id in leecher.requests(self.now, of, &mut self.chance) {
            self.send(item, who, of, Message::Request(id));
        }
    }

    fn ask_all(&mut self, item: usize, who: usize) {
        for of in 0..=self.items[item].leechers.len() {
            self.ask(item, who, of);
        }
    }

    /// Sends a block to whose turn it is.
    fn upload(&mut self, item: usize, who: usize) {
        let leecher = &mut self.items[item].leechers[who];
        if leecher.sending {
            return;
        }
        while let Some(to) = leecher.turns.pop_front() {
            let Some(id) = leecher.conns[to].queue.pop_front() else { continue };
            if !leecher.conns[to].queue.is_empty() {
                leecher.turns.push_back(to);
            }
            leecher.sending = true;
            let took = (f64::from(BLOCK) / leecher.up * SECOND as f64) as Time;
            self.push(self.now + took, item, who, Event::SentOne);
            self.push(self.now + took + DELAY, item, to, Event::Message(who, Message::Piece(id)));
            return;
        }
    }

    /// Tit for tat, and one by chance.
    fn choke(&mut self, item: usize, who: usize) {
        self.push(self.now + CHOKER, item, who, Event::Choke);
        let peers = self.items[item].leechers.len();
        let connected: Vec<_> =
            (0..peers).filter(|peer| *peer != who && self.items[item].leechers[*peer].connected).collect();
        let leecher = &mut self.items[item].leechers[who];
        if !leecher.kind.shares() || !leecher.connected {
            return;
        }
        let mut ranked = connected;
        ranked
            .sort_by_cached_key(|peer| (Reverse(leecher.conns[*peer].received), self.chance.below(1 << 20)));
        let chosen = ranked.len().min(leecher.slots);
        if chosen < ranked.len() && chosen > 0 {
            let lucky = chosen - 1 + self.chance.below(ranked.len() - chosen + 1);
            ranked.swap(chosen - 1, lucky);
        }
        let mut messages = Vec::new();
        for (place, peer) in ranked.into_iter().enumerate() {
            let conn = &mut leecher.conns[peer];
            conn.received = 0;
            let unchoke = place < chosen;
            if conn.unchoked && !unchoke {
                messages.push((peer, Message::Choke));
                conn.queue.clear();
            } else if !conn.unchoked && unchoke {
                messages.push((peer, Message::Unchoke));
            }
            conn.unchoked = unchoke;
        }
        for (peer, message) in messages {
            self.send(item, who, peer, message);
        }
    }
}

fn block(lengths: &Lengths, id: BlockId) -> Block {
    lengths.block(id.0, id.1 * BLOCK, BLOCK).unwrap()
}

fn no_stats(now: Instant, piece_length: u32) -> PeerStats {
    PeerStats {
        interested: false,
        choked: true,
        backlogged: false,
        bytes_sent: 0,
        sent_since_unchoked: 0,
        progress: 0.0,
        piece_length,
        connected: now,
        waiting_since: now,
        last_unchoked: None,
    }
}
