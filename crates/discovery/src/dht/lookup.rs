//! Looking for what is nearest to a place, from node to node (BEP 5, after Kademlia).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use torrent::InfoHash;
use tracker::address::Scope;

use super::message::Node;
use super::node_id::{Distance, NodeId};
use super::table::K;

/// Queries of a lookup that wait for an answer.
const ALPHA: usize = 4;

/// Nodes that a lookup keeps; only the nearest count.
const MAX_NODES: usize = 64;

/// Queries of a lookup; half as many are a long one.
const MAX_QUERIES: usize = 100;

/// Entrances of a lookup: nodes whose ids are not known.
const MAX_ENTRANCES: usize = 64;

#[derive(Debug)]
pub(crate) struct Lookup {
    target: NodeId,
    /// What the box is to be announced for, if that is the purpose.
    announce: Option<InfoHash>,
    nodes: BTreeMap<Distance, Entry>,
    entrances: Vec<SocketAddr>,
    waiting: usize,
    queries: usize,
}

#[derive(Debug)]
struct Entry {
    node: Node,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    Failed,
    Answered(Option<Vec<u8>>),
}

impl Lookup {
    /// Finds the nodes near `target`.
    pub(crate) fn find(target: NodeId) -> Self {
        let nodes = BTreeMap::new();
        Self { target, announce: None, nodes, entrances: Vec::new(), waiting: 0, queries: 0 }
    }

    /// Finds peers of a torrent, and the nodes to announce it to.
    pub(crate) fn announce(info_hash: InfoHash) -> Self {
        Self { announce: Some(info_hash), ..Self::find(info_hash.into()) }
    }

    pub(crate) fn target(&self) -> NodeId {
        self.target
    }

    pub(crate) fn announces(&self) -> Option<InfoHash> {
        self.announce
    }

    /// Nodes to begin with, of which only the addresses are known.
    pub(crate) fn enter_by(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.entrances.extend(addresses);
        self.entrances.truncate(MAX_ENTRANCES);
    }

    /// Takes a node, if it is one of the nearest and not one of many at the same address.
    pub(crate) fn add(&mut self, node: Node) {
        let distance = node.id.distance(&self.target);
        let ip = node.address.ip();
        let is_free = Scope::of(ip) != Some(Scope::Global)
            || self.nodes.values().all(|entry| entry.node.address.ip() != ip);
        if is_free {
            self.nodes.entry(distance).or_insert(Entry { node, state: State::Fresh });
        }
        if self.nodes.len() > MAX_NODES {
            // An answer that is still to come will find nothing to change.
            self.nodes.pop_last();
        }
    }

    /// Whom to ask next; `None` if nobody now.
    pub(crate) fn next(&mut self) -> Option<(SocketAddr, Option<NodeId>)> {
        if self.waiting >= ALPHA || self.queries >= MAX_QUERIES {
            return None;
        }
        let asked = self.entrances.pop().map(|address| (address, None)).or_else(|| {
            let alive = self.nodes.values_mut().filter(|entry| entry.state != State::Failed);
            let fresh = alive.take(K).find(|entry| entry.state == State::Fresh)?;
            fresh.state = State::Asked;
            Some((fresh.node.address, Some(fresh.node.id)))
        })?;
        self.waiting += 1;
        self.queries += 1;
        Some(asked)
    }

    /// A node has answered that was asked as `asked`, `None` for an entrance. If it is another by now, nobody else is to
    /// be kept waiting for who was asked.
    pub(crate) fn answered(&mut self, asked: Option<NodeId>, node: Node, token: Option<&[u8]>) {
        self.waiting = self.waiting.saturating_sub(1);
        self.gone(asked.filter(|asked| *asked != node.id));
        self.add(node);
        if let Some(entry) = self.nodes.get_mut(&node.id.distance(&self.target))
            && entry.node == node
        {
            entry.state = State::Answered(token.map(<[u8]>::to_vec));
        }
    }

    /// A node has not answered; `None` for an entrance.
    pub(crate) fn failed(&mut self, id: Option<NodeId>) {
        self.waiting = self.waiting.saturating_sub(1);
        self.gone(id);
    }

    fn gone(&mut self, id: Option<NodeId>) {
        if let Some(entry) = id.and_then(|id| self.nodes.get_mut(&id.distance(&self.target))) {
            entry.state = State::Failed;
        }
    }

    /// Whether nothing is left to be asked or waited for.
    pub(crate) fn is_done(&self) -> bool {
        let mut alive = self.nodes.values().filter(|entry| entry.state != State::Failed).take(K);
        let more = !self.entrances.is_empty() || alive.any(|entry| entry.state == State::Fresh);
        self.waiting == 0 && (self.queries >= MAX_QUERIES || !more)
    }

    /// The nearest nodes that take announcements, with the tokens that they want to see then.
    pub(crate) fn takers(&self) -> Vec<(Node, Vec<u8>)> {
        let takers = self.nodes.values().filter_map(|entry| match &entry.state {
            State::Answered(Some(token)) => Some((entry.node, token.clone())),
            _ => None,
        });
        takers.take(K).collect()
    }
}
