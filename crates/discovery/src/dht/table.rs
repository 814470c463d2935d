//! The nodes that are known: few of those far away, many of those near (BEP 5, "Routing Table").

use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracker::address::Scope;

use super::message::Node;
use super::node_id::{BITS, NodeId};

/// Nodes at each distance, and the number of nodes of all kinds that BEP 5 calls K.
pub(crate) const K: usize = 8;

/// After so long without a sign of life a node is asked for one.
const QUESTIONABLE: Duration = Duration::from_mins(15);

/// Unanswered queries after which a node is dropped.
const MAX_FAILURES: u8 = 2;

/// All nodes have answered a query once.
#[derive(Debug)]
pub(crate) struct Table {
    own: NodeId,
    /// By the number of bits that a node's id has in common with ours.
    buckets: Vec<Vec<Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    node: Node,
    answered: Instant,
    failures: u8,
}

impl Table {
    pub(crate) fn new(own: NodeId) -> Self {
        Self { own, buckets: vec![Vec::new(); BITS] }
    }

    /// Our own id.
    pub(crate) fn own(&self) -> NodeId {
        self.own
    }

    pub(crate) fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.known().map(|known| known.node)
    }

    /// Whether a node that is not known would be entered if it answered.
    pub(crate) fn wants(&self, node: &Node) -> bool {
        let Some(bucket) = self.bucket_of(&node.id).map(|index| &self.buckets[index]) else { return false };
        let known = bucket.iter().any(|known| known.node.id == node.id);
        let room = bucket.len() < K || bucket.iter().any(|known| known.failures > 0);
        !known && room && self.is_free(node.address.ip())
    }

    /// A node has answered.
    pub(crate) fn answered(&mut self, now: Instant, node: Node) {
        let wanted = self.wants(&node);
        let Some(index) = self.bucket_of(&node.id) else { return };
        let bucket = &mut self.buckets[index];
        let answered = Known { node, answered: now, failures: 0 };
        // Who answers with another's id from elsewhere does not take its place.
        if let Some(known) = bucket.iter_mut().find(|known| known.node == node) {
            *known = answered;
        } else if wanted {
            if bucket.len() == K
                && let Some(failed) = bucket.iter().position(|known| known.failures > 0)
            {
                bucket.swap_remove(failed);
            }
            bucket.push(answered);
        }
    }

    /// A node has not answered.
    pub(crate) fn failed(&mut self, id: &NodeId) {
        let Some(index) = self.bucket_of(id) else { return };
        let bucket = &mut self.buckets[index];
        if let Some(known) = bucket.iter_mut().find(|known| known.node.id == *id) {
            known.failures += 1;
        }
        bucket.retain(|known| known.failures < MAX_FAILURES);
    }

    /// The nodes that are nearest to a place, nearest first.
    pub(crate) fn closest(&self, target: &NodeId, count: usize) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.nodes().collect();
        nodes.sort_unstable_by_key(|node| node.id.distance(target));
        nodes.truncate(count);
        nodes
    }

    /// The node that has been silent longest, if for too long.
    pub(crate) fn questionable(&self, now: Instant) -> Option<Node> {
        let silent = self.known().min_by_key(|known| known.answered)?;
        (now >= silent.answered + QUESTIONABLE).then_some(silent.node)
    }

    fn known(&self) -> impl Iterator<Item = &Known> {
        self.buckets.iter().flatten()
    }

    /// `None` for our own id.
    fn bucket_of(&self, id: &NodeId) -> Option<usize> {
        Some(self.own.distance(id).common_bits()).filter(|bits| *bits < BITS)
    }

    /// Nobody fills the table from one address, at least none of those that cost something.
    fn is_free(&self, ip: IpAddr) -> bool {
        Scope::of(ip) != Some(Scope::Global) || self.nodes().all(|node| node.address.ip() != ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    /// A node whose id begins with this byte, at an address of its own.
    fn node(first: u8, number: u8) -> Node {
        let mut id = [number; 20];
        id[0] = first;
        Node { id: NodeId(id), address: ([203, 0, first, number], 6881).into() }
    }

    #[test]
    fn far_nodes_are_few_and_near_ones_many() {
        let (start, mut table) = (start(), Table::new(NodeId([0; 20])));
        (1..100).for_each(|number| table.answered(start, node(0x80, number)));
        assert_eq!(table.len(), K);
        (1..9).for_each(|number| table.answered(start, node(0x01, number)));
        assert_eq!(table.len(), 2 * K);
        let closest = table.closest(&NodeId([0; 20]), K + 1);
        assert!(closest[..K].iter().all(|node| node.id.0[0] == 1) && closest[K].id.0[0] == 0x80);
        assert!(!table.wants(&Node { id: NodeId([0; 20]), ..node(9, 9) }), "our own id");
    }

    #[test]
    fn silent_nodes_make_room() {
        let (start, mut table) = (start(), Table::new(NodeId([0; 20])));
        for number in 0..8 {
            table.answered(start + u32::from(number) * Duration::from_secs(1), node(0x80, number));
        }
        assert!(!table.wants(&node(0x80, 9)));
        assert_eq!(table.questionable(start + QUESTIONABLE), Some(node(0x80, 0)));
        table.failed(&node(0x80, 0).id);
        assert!(table.wants(&node(0x80, 9)));
        table.answered(start + QUESTIONABLE, node(0x80, 9));
        assert!(table.nodes().all(|known| known != node(0x80, 0)) && table.len() == K);
        table.failed(&node(0x80, 1).id);
        table.failed(&node(0x80, 1).id);
        assert_eq!(table.len(), K - 1);
    }

    #[test]
    fn an_address_has_one_node_unless_it_is_near() {
        let (start, mut table) = (start(), Table::new(NodeId([0; 20])));
        table.answered(start, node(0x80, 1));
        let same = Node { id: NodeId([0x40; 20]), ..node(0x80, 1) };
        table.answered(start, same);
        // Nor does anybody move a node by using its id.
        table.answered(start, Node { address: ([203, 0, 0, 1], 1).into(), ..node(0x80, 1) });
        assert_eq!(table.nodes().collect::<Vec<_>>(), [node(0x80, 1)]);
        for port in 1..4 {
            let id = NodeId([0x10 << port; 20]);
            table.answered(start, Node { id, address: ([127, 0, 0, 1], port).into() });
        }
        assert_eq!(table.len(), 4);
    }
}
