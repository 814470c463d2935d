//! A node of the DHT (BEP 5) in one address family; those of version 6 have one of their own (BEP 32).
//!
//! It does no I/O: whoever owns the socket hands in packets ([`Dht::receive`]), calls [`Dht::handle_timeout`] at
//! [`Dht::next_deadline`], and after each of these sends what there is ([`Dht::poll_transmit`]) and looks what happened
//! ([`Dht::poll_event`]).
//!
//! The node is a full one: it answers others and keeps what they announce. All of that is bounded: nodes, torrents,
//! peers, lookups, and answers in a second. No address in a network that the teller can't be in is ever asked.

mod desk;
mod lookup;
mod message;
mod node_id;
mod store;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use torrent::InfoHash;
use tracker::address::Scope;

use crate::compact::canonical;
use desk::Desk;
use lookup::Lookup;
use message::{Body, Message, Query, Response};
pub use message::{MAX_PACKET, Node};
pub use node_id::NodeId;
use table::{K, Table};

/// Lookups at a time. Each asks some forty nodes in a few seconds, and a home router keeps all of them in its tables for
/// minutes.
pub const MAX_LOOKUPS: usize = 8;

/// Queries that wait for an answer, beyond which nobody is asked for a sign of life.
const MAX_PENDING: usize = 256;

/// Time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// How often a node that was silent for long is asked for a sign of life.
const UPKEEP: Duration = Duration::from_secs(3);

/// How often some place is looked up, to know nodes everywhere.
const REFRESH: Duration = Duration::from_mins(5);

/// Nodes that said last where they see us, and how many of these must agree for it to be believed.
const WITNESSES: usize = 16;
const MAJORITY: usize = 10;

/// Where chance comes from.
pub type Random = Box<dyn FnMut() -> u64 + Send>;

/// What a node is made with.
pub struct Config {
    /// Its place: the one from before, or any.
    pub id: NodeId,
    /// Whether it is of version 6.
    pub v6: bool,
    /// Where the box takes connections from peers, which is what it announces.
    pub port: u16,
    /// For tokens: secret, random, another at each start.
    pub key: [u8; 16],
    /// Chance.
    pub random: Random,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A peer of a torrent that is being announced, as a node at `teller` says.
    Peer {
        /// The torrent.
        info_hash: InfoHash,
        /// Where the peer takes connections.
        address: SocketAddr,
        /// Who says so.
        teller: IpAddr,
    },
    /// An announcement is at its end.
    Announced {
        /// The torrent.
        info_hash: InfoHash,
        /// Nodes that were told of it; 0 if none could be reached.
        nodes: usize,
    },
}

/// A node of the DHT.
pub struct Dht {
    v6: bool,
    port: u16,
    table: Table,
    desk: Desk,
    random: Random,
    lookups: BTreeMap<u64, Lookup>,
    next_lookup: u64,
    pending: BTreeMap<u32, Pending>,
    /// When each of them is given up, in this order.
    timeouts: VecDeque<(Instant, u32)>,
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
    events: VecDeque<Event>,
    witnesses: VecDeque<IpAddr>,
    next_upkeep: Instant,
    next_refresh: Instant,
}

/// A query that was sent.
struct Pending {
    address: SocketAddr,
    /// `None` if it is not known.
    id: Option<NodeId>,
    /// The lookup it is of.
    lookup: Option<u64>,
}

impl Dht {
    /// A node that knows no others.
    pub fn new(now: Instant, config: Config) -> Self {
        let Config { id, v6, port, key, random } = config;
        Self {
            v6,
            port,
            table: Table::new(id),
            desk: Desk::new(&key, now),
            random,
            lookups: BTreeMap::new(),
            next_lookup: 0,
            pending: BTreeMap::new(),
            timeouts: VecDeque::new(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            witnesses: VecDeque::new(),
            next_upkeep: now + UPKEEP,
            next_refresh: now + REFRESH,
        }
    }

    /// Its place; another one when it turns out that its address demands it (BEP 42).
    pub fn id(&self) -> NodeId {
        self.table.own()
    }

    /// The nodes that it knows and that have answered.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        self.table.nodes()
    }

    /// Whether it knows nobody.
    pub fn is_alone(&self) -> bool {
        self.table.len() == 0
    }

    /// Enters the DHT by nodes at these addresses, and finds its neighbours.
    pub fn enter(&mut self, now: Instant, addresses: impl IntoIterator<Item = SocketAddr>) {
        let family = addresses.into_iter().map(canonical).filter(|address| address.is_ipv6() == self.v6);
        let mut lookup = Lookup::find(self.id());
        lookup.enter_by(family);
        self.begin(now, lookup);
    }

    /// There is said to be a node: it is asked for a sign of life, unless there is much to do.
    pub fn hear_of(&mut self, now: Instant, address: SocketAddr) {
        let address = canonical(address);
        let is_known = self.nodes().any(|node| node.address == address);
        if address.is_ipv6() == self.v6 && !is_known && self.pending.len() < MAX_PENDING {
            self.ask(now, address, None, None, Query::Ping);
        }
    }

    /// Whether it is of version 6.
    pub fn is_v6(&self) -> bool {
        self.v6
    }

    /// Lookups that are going on. There should not be more than [`MAX_LOOKUPS`].
    pub fn lookups(&self) -> usize {
        self.lookups.len()
    }

    /// Announces the box as a peer of a torrent to the nodes that are nearest to it, and finds other peers on the way.
    pub fn announce(&mut self, now: Instant, info_hash: InfoHash) {
        self.begin(now, Lookup::announce(info_hash));
    }

    /// Takes a packet.
    pub fn receive(&mut self, now: Instant, packet: &[u8], source: SocketAddr) {
        let source = canonical(source);
        let Some(Message { transaction, body }) = Message::parse(packet) else { return };
        if source.is_ipv6() != self.v6 || source.port() == 0 {
            return;
        }
        match body {
            Body::Query { id, query, read_only } => {
                let chance = (self.random)();
                let answer = self.desk.answer(now, &self.table, transaction, &query, source, chance);
                let Some(answer) = answer else { return };
                self.outgoing.push_back((source, answer));
                let node = Node { id, address: source };
                if !read_only && self.table.wants(&node) && self.pending.len() < MAX_PENDING {
                    self.ask(now, source, Some(id), None, Query::Ping);
                }
            }
            Body::Response { response, seen_at } => {
                let Some(pending) = self.take_pending(transaction, source) else { return };
                self.witness(now, seen_at);
                self.answered(now, &pending, &response);
            }
            Body::Error(_) => {
                if let Some(pending) = self.take_pending(transaction, source) {
                    self.failed(now, &pending);
                }
            }
        }
    }

    /// Does what is due; calling it early is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, transaction)) = self.timeouts.pop_front_if(|(due, _)| *due <= now) {
            if let Some(pending) = self.pending.remove(&transaction) {
                if let Some(id) = &pending.id {
                    self.table.failed(id);
                }
                self.failed(now, &pending);
            }
        }
        if now >= self.next_upkeep {
            self.next_upkeep = now + UPKEEP;
            if let Some(node) = self.table.questionable(now) {
                self.ask(now, node.address, Some(node.id), None, Query::Ping);
            }
        }
        if now >= self.next_refresh {
            self.next_refresh = now + REFRESH;
            self.desk.expire(now);
            // In turn somewhere and among the neighbours.
            let anywhere = NodeId(self.random_bytes());
            let target = if (self.random)().is_multiple_of(2) { anywhere } else { self.id() };
            self.begin(now, Lookup::find(target));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing happens before.
    pub fn next_deadline(&self) -> Instant {
        let deadline = self.next_upkeep.min(self.next_refresh);
        self.timeouts.front().map_or(deadline, |(due, _)| deadline.min(*due))
    }

    /// A packet that is to be sent, until there is none.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outgoing.pop_front()
    }

    /// What has happened, until there is nothing more.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn begin(&mut self, now: Instant, mut lookup: Lookup) {
        let target = lookup.target();
        self.table.closest(&target, K).into_iter().for_each(|node| lookup.add(node));
        self.next_lookup += 1;
        self.go_on(now, self.next_lookup, lookup);
    }

    /// Asks whom a lookup is to ask next, and keeps it or brings it to its end.
    fn go_on(&mut self, now: Instant, key: u64, mut lookup: Lookup) {
        while let Some((address, id)) = lookup.next() {
            let query = match lookup.announces() {
                Some(info_hash) => Query::GetPeers(info_hash),
                None => Query::FindNode(lookup.target()),
            };
            self.ask(now, address, id, Some(key), query);
        }
        if !lookup.is_done() {
            self.lookups.insert(key, lookup);
            return;
        }
        let Some(info_hash) = lookup.announces() else { return };
        let takers = lookup.takers();
        self.events.push_back(Event::Announced { info_hash, nodes: takers.len() });
        for (node, token) in takers {
            let query = Query::AnnouncePeer { info_hash, port: Some(self.port), token: &token };
            self.ask(now, node.address, Some(node.id), None, query);
        }
    }

    fn ask(
        &mut self,
        now: Instant,
        address: SocketAddr,
        id: Option<NodeId>,
        lookup: Option<u64>,
        query: Query<'_>,
    ) {
        let transaction = self.free_transaction();
        let body = Body::Query { id: self.id(), query, read_only: false };
        let packet = Message { transaction: &transaction.to_ne_bytes(), body }.to_bytes();
        self.outgoing.push_back((address, packet));
        self.pending.insert(transaction, Pending { address, id, lookup });
        self.timeouts.push_back((now + ANSWER_LIMIT, transaction));
    }

    /// A transaction id that nobody can guess and that no query is waiting with.
    fn free_transaction(&mut self) -> u32 {
        let [a, b, c, d, ..] = (self.random)().to_ne_bytes();
        let mut transaction = u32::from_ne_bytes([a, b, c, d]);
        // Not drawn again: chance may fail.
        while self.pending.contains_key(&transaction) {
            transaction = transaction.wrapping_add(1);
        }
        transaction
    }

    /// The query that is answered with this transaction id from there.
    fn take_pending(&mut self, transaction: &[u8], source: SocketAddr) -> Option<Pending> {
        let transaction = u32::from_ne_bytes(transaction.try_into().ok()?);
        self.pending.get(&transaction).filter(|pending| pending.address == source)?;
        self.pending.remove(&transaction)
    }

    fn answered(&mut self, now: Instant, pending: &Pending, response: &Response<'_>) {
        let node = Node { id: response.id, address: pending.address };
        let teller = node.address.ip();
        if let Some(id) = pending.id.filter(|id| *id != node.id) {
            // It has a new id; the old one is nobody's.
            self.table.failed(&id);
        }
        self.table.answered(now, node);
        let Some((key, mut lookup)) = pending.lookup.and_then(|key| self.lookups.remove_entry(&key)) else {
            return;
        };
        lookup.answered(pending.id, node, response.token);
        let sensible = |node: &&Node| {
            node.address.is_ipv6() == self.v6 && node.address.port() != 0 && is_told_to(node.address, teller)
        };
        response.nodes.iter().filter(sensible).for_each(|node| lookup.add(*node));
        if let Some(info_hash) = lookup.announces() {
            let peers = response.values.iter();
            self.events.extend(peers.map(|address| Event::Peer { info_hash, address: *address, teller }));
        }
        self.go_on(now, key, lookup);
    }

    fn failed(&mut self, now: Instant, pending: &Pending) {
        if let Some((key, mut lookup)) = pending.lookup.and_then(|key| self.lookups.remove_entry(&key)) {
            lookup.failed(pending.id);
            self.go_on(now, key, lookup);
        }
    }

    /// A node says where it sees us. When most agree and our id is not one for there, we take one that is.
    fn witness(&mut self, now: Instant, seen_at: Option<SocketAddr>) {
        let Some(ip) = seen_at.map(|address| address.ip().to_canonical()) else { return };
        self.witnesses.push_back(ip);
        if self.witnesses.len() > WITNESSES {
            self.witnesses.pop_front();
        }
        let agree = self.witnesses.iter().filter(|other| **other == ip).count();
        if agree >= MAJORITY && Scope::of(ip) == Some(Scope::Global) && !self.id().fits(ip) {
            let id = NodeId::at(ip, self.random_bytes());
            let before = std::mem::replace(&mut self.table, Table::new(id));
            before.nodes().for_each(|node| self.table.answered(now, node));
            self.begin(now, Lookup::find(self.id()));
        }
    }

    fn random_bytes(&mut self) -> [u8; 20] {
        let words: [[u8; 8]; 3] = std::array::from_fn(|_| (self.random)().to_ne_bytes());
        *words.as_flattened().first_chunk().expect("invariant: 24 bytes begin with 20")
    }
}

/// Whether an address means something to whoever is at `ip`.
fn is_told_to(address: SocketAddr, ip: IpAddr) -> bool {
    Scope::of(address.ip()).is_some_and(|scope| scope.is_told_to(ip))
}

#[cfg(test)]
mod tests;
