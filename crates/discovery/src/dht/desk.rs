//! What others ask of this node.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracker::connection_id::{ConnectionId, ConnectionIds};

use super::is_told_to;
use super::message::{Body, Failure, Message, Query, Response};
use super::node_id::NodeId;
use super::store::Store;
use super::table::{K, Table};

/// Answers in a second: a small machine has other things to do, and who forges sources should find better means.
pub(super) const MAX_ANSWERS: u32 = 200;

/// Answers queries, and keeps what is announced.
#[derive(Debug)]
pub(super) struct Desk {
    store: Store,
    /// A token is the same as what the UDP tracker gives out: proof that its sender receives what is sent there.
    tokens: ConnectionIds,
    /// Answers in the second that began then.
    answers: (Instant, u32),
}

impl Desk {
    pub(super) fn new(key: &[u8; 16], now: Instant) -> Self {
        Self { store: Store::default(), tokens: ConnectionIds::new(key, now), answers: (now, 0) }
    }

    /// Forgets what was announced long ago.
    pub(super) fn expire(&mut self, now: Instant) {
        self.store.expire(now);
    }

    /// The packet that answers a query; `None` if there were too many in this second.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        table: &Table,
        transaction: &[u8],
        query: &Query<'_>,
        asker: SocketAddr,
        random: u64,
    ) -> Option<Vec<u8>> {
        if !self.has_time(now) {
            return None;
        }
        let nodes = |target: NodeId| {
            let mut nodes = table.closest(&target, K);
            nodes.retain(|node| is_told_to(node.address, asker.ip()));
            nodes
        };
        let mut response = Response { id: table.own(), nodes: Vec::new(), values: Vec::new(), token: None };
        let new_token = self.tokens.issue(now, asker.ip()).0.to_be_bytes();
        let mut failure = None;
        match *query {
            Query::Ping => {}
            Query::FindNode(target) => response.nodes = nodes(target),
            Query::GetPeers(info_hash) => {
                response.nodes = nodes(info_hash.into());
                response.values = self.store.get(&info_hash, random);
                response.values.retain(|peer| is_told_to(*peer, asker.ip()));
                response.token = Some(&new_token);
            }
            Query::AnnouncePeer { info_hash, port, token } => {
                let token = token.try_into().map(|token| ConnectionId(u64::from_be_bytes(token)));
                if token.is_ok_and(|token| self.tokens.accepts(now, asker.ip(), token)) {
                    let peer = SocketAddr::new(asker.ip(), port.unwrap_or(asker.port()));
                    self.store.put(now, info_hash, peer);
                } else {
                    failure = Some(Failure::Token);
                }
            }
            Query::Other => failure = Some(Failure::Method),
        }
        let body = failure.map_or(Body::Response { response, seen_at: Some(asker) }, Body::Error);
        Some(Message { transaction, body }.to_bytes())
    }

    /// Whether there may be one more answer in this second.
    fn has_time(&mut self, now: Instant) -> bool {
        let (second, count) = &mut self.answers;
        if now >= *second + Duration::from_secs(1) {
            (*second, *count) = (now, 0);
        }
        *count += 1;
        *count <= MAX_ANSWERS
    }
}
