//! The packets of the DHT, KRPC (BEP 5; addresses of version 6 from BEP 32, `ip` from BEP 42, `ro` from BEP 43).

use std::net::SocketAddr;

use torrent::InfoHash;
use torrent::bencode::{self, Dictionary, DictionaryWriter, Limits, Value, dictionary};

use super::node_id::NodeId;
use crate::compact;

/// Longest packet (bytes) that is read or written: what fits into one frame everywhere.
pub const MAX_PACKET: usize = 1400;

/// Limits on a packet from outside; three levels are needed.
const LIMITS: Limits = Limits { bytes: MAX_PACKET, depth: 6 };

/// Longest transaction id and token (bytes) that are taken from others, to be given back.
const MAX_ECHO: usize = 64;

/// Most nodes and peers that are taken from a packet.
const MAX_NODES: usize = 32;
const MAX_VALUES: usize = 100;

/// A node, as nodes tell of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Its place.
    pub id: NodeId,
    /// Where it is.
    pub address: SocketAddr,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Given back with the answer.
    pub(crate) transaction: &'a [u8],
    pub(crate) body: Body<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Query {
        id: NodeId,
        query: Query<'a>,
        /// The sender answers no queries (BEP 43).
        read_only: bool,
    },
    Response {
        response: Response<'a>,
        /// Where the sender sees the receiver (BEP 42).
        seen_at: Option<SocketAddr>,
    },
    Error(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Query<'a> {
    Ping,
    FindNode(NodeId),
    GetPeers(InfoHash),
    AnnouncePeer {
        info_hash: InfoHash,
        /// `None` for the one that the packet comes from.
        port: Option<u16>,
        token: &'a [u8],
    },
    /// Of a kind that is not known here.
    Other,
}

/// An answer; the query says what it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) id: NodeId,
    /// All of one address family.
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<SocketAddr>,
    pub(crate) token: Option<&'a [u8]>,
}

/// Why a query is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A token that was not given to this node, or too long ago.
    Token,
    /// A kind of query that is not known.
    Method,
    /// Any other, as others may have.
    Other,
}

impl<'a> Message<'a> {
    /// Reads a packet; `None` for what is none.
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Self> {
        let top = bencode::scan(packet, LIMITS).ok()?.as_dictionary()?;
        let transaction = bytes(top, b"t").filter(|t| t.len() <= MAX_ECHO)?;
        let body = match bytes(top, b"y")? {
            b"q" => {
                let arguments = top.get(b"a")?.as_dictionary()?;
                let read_only = top.get(b"ro").and_then(Value::as_integer) == Some(1);
                Body::Query { id: place(arguments, b"id")?, query: Query::parse(top, arguments)?, read_only }
            }
            b"r" => {
                let response = Response::parse(top.get(b"r")?.as_dictionary()?)?;
                Body::Response { response, seen_at: bytes(top, b"ip").and_then(compact::get) }
            }
            b"e" => Body::Error(Failure::Other),
            _ => return None,
        };
        Some(Self { transaction, body })
    }

    /// The packet.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        dictionary(|top| {
            match &self.body {
                Body::Query { id, query, read_only } => {
                    top.dictionary(b"a", |a| query.write(*id, a));
                    top.bytes(b"q", query.name());
                    if *read_only {
                        top.integer(b"ro", 1);
                    }
                }
                Body::Response { response, seen_at } => {
                    if let Some(address) = seen_at {
                        top.bytes(b"ip", packed(*address));
                    }
                    top.dictionary(b"r", |r| response.write(r));
                }
                Body::Error(failure) => {
                    let (code, text) = failure.code();
                    top.list(b"e", |e| {
                        e.integer(code);
                        e.bytes(text);
                    });
                }
            }
            top.bytes(b"t", self.transaction);
            top.bytes(
                b"y",
                match self.body {
                    Body::Query { .. } => b"q",
                    Body::Response { .. } => b"r",
                    Body::Error(_) => b"e",
                },
            );
        })
    }
}

impl<'a> Query<'a> {
    fn parse(top: Dictionary<'a>, arguments: Dictionary<'a>) -> Option<Self> {
        let info_hash = || place(arguments, b"info_hash").map(|place| InfoHash(place.0));
        let integer = |key| arguments.get(key)?.as_integer();
        Some(match bytes(top, b"q")? {
            b"ping" => Self::Ping,
            b"find_node" => Self::FindNode(place(arguments, b"target")?),
            b"get_peers" => Self::GetPeers(info_hash()?),
            b"announce_peer" => {
                let implied = integer(b"implied_port").is_some_and(|implied| implied != 0);
                let port = integer(b"port").and_then(|port| port.try_into().ok()).filter(|port| *port != 0);
                Self::AnnouncePeer {
                    info_hash: info_hash()?,
                    port: if implied { None } else { Some(port?) },
                    token: bytes(arguments, b"token")?,
                }
            }
            _ => Self::Other,
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Ping | Self::Other => "ping",
            Self::FindNode(_) => "find_node",
            Self::GetPeers(_) => "get_peers",
            Self::AnnouncePeer { .. } => "announce_peer",
        }
    }

    fn write(&self, id: NodeId, a: &mut DictionaryWriter<'_>) {
        a.bytes(b"id", id.0);
        match self {
            Self::Ping | Self::Other => {}
            Self::FindNode(target) => a.bytes(b"target", target.0),
            Self::GetPeers(info_hash) => a.bytes(b"info_hash", info_hash.0),
            Self::AnnouncePeer { info_hash, port, token } => {
                if port.is_none() {
                    a.integer(b"implied_port", 1);
                }
                a.bytes(b"info_hash", info_hash.0);
                a.integer(b"port", port.unwrap_or(0));
                a.bytes(b"token", token);
            }
        }
    }
}

impl<'a> Response<'a> {
    fn parse(r: Dictionary<'a>) -> Option<Self> {
        let nodes = |key, size| {
            let entries = bytes(r, key).unwrap_or_default().chunks_exact(20 + size);
            entries.filter_map(|entry| {
                let (id, address) = entry.split_first_chunk::<20>()?;
                Some(Node { id: NodeId(*id), address: compact::get(address)? })
            })
        };
        let nodes = nodes(b"nodes", compact::V4).chain(nodes(b"nodes6", compact::V6));
        let values = r.get(b"values").and_then(Value::as_list);
        let values = values.iter().flat_map(|list| list.iter()).filter_map(Value::as_bytes);
        Some(Self {
            id: place(r, b"id")?,
            nodes: nodes.take(MAX_NODES).collect(),
            values: values.filter_map(compact::get).take(MAX_VALUES).collect(),
            token: bytes(r, b"token").filter(|token| token.len() <= MAX_ECHO),
        })
    }

    fn write(&self, r: &mut DictionaryWriter<'_>) {
        r.bytes(b"id", self.id.0);
        for (key, is_v4) in [(&b"nodes"[..], true), (b"nodes6", false)] {
            let nodes = self.nodes.iter().filter(|node| node.address.is_ipv4() == is_v4);
            let packed: Vec<u8> =
                nodes.flat_map(|node| [&node.id.0[..], &packed(node.address)].concat()).collect();
            if !packed.is_empty() {
                r.bytes(key, packed);
            }
        }
        if let Some(token) = self.token {
            r.bytes(b"token", token);
        }
        if !self.values.is_empty() {
            r.list(b"values", |l| self.values.iter().for_each(|value| l.bytes(packed(*value))));
        }
    }
}

impl Failure {
    /// As BEP 5 numbers them.
    fn code(self) -> (u16, &'static str) {
        match self {
            Self::Token => (203, "bad token"),
            Self::Method => (204, "unknown method"),
            Self::Other => (202, "server error"),
        }
    }
}

fn bytes<'a>(dictionary: Dictionary<'a>, key: &[u8]) -> Option<&'a [u8]> {
    dictionary.get(key)?.as_bytes()
}

fn place(dictionary: Dictionary<'_>, key: &[u8]) -> Option<NodeId> {
    bytes(dictionary, key)?.try_into().ok().map(NodeId)
}

fn packed(address: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact::V6);
    compact::put(&mut out, address);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NodeId = NodeId(*b"abcdefghij0123456789");

    /// A packet that is read as this message and written so again.
    #[track_caller]
    fn check(packet: &[u8], transaction: &[u8], body: Body<'_>) {
        let message = Message { transaction, body };
        assert_eq!(Message::parse(packet).as_ref(), Some(&message), "{}", packet.escape_ascii());
        assert_eq!(message.to_bytes().escape_ascii().to_string(), packet.escape_ascii().to_string());
    }

    fn query(query: Query<'_>) -> Body<'_> {
        Body::Query { id: ID, query, read_only: false }
    }

    fn response(nodes: Vec<Node>, values: &[&str], token: Option<&'static [u8]>) -> Body<'static> {
        let values = values.iter().map(|value| value.parse().unwrap()).collect();
        Body::Response { response: Response { id: ID, nodes, values, token }, seen_at: None }
    }

    #[test]
    fn packets_are_those_of_the_specification() {
        let info_hash = InfoHash(*b"mnopqrstuvwxyz123456");
        check(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", b"aa", query(Query::Ping));
        check(b"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re", b"aa", response(vec![], &[], None));
        check(
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            b"aa",
            query(Query::FindNode(info_hash.into())),
        );
        check(
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            b"aa",
            query(Query::GetPeers(info_hash)),
        );
        check(
            b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
            b"aa",
            response(vec![], &["97.120.106.101:11893", "105.100.104.116:28269"], Some(b"aoeusnth")),
        );
        check(
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
              5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            b"aa",
            query(Query::AnnouncePeer { info_hash, port: Some(6881), token: b"aoeusnth" }),
        );
        let node =
            Node { id: NodeId(*b"mnopqrstuvwxyz123456"), address: "97.120.106.101:11893".parse().unwrap() };
        check(
            b"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456axje.ue1:t2:aa1:y1:re",
            b"aa",
            response(vec![node], &[], None),
        );
    }

    #[test]
    fn what_newer_specifications_add_is_read() {
        let announce =
            b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz123456\
                         4:porti0e5:token1:xe1:q13:announce_peer2:roi1e1:t1:a1:v4:LT\x01\x021:y1:qe";
        let Some(Message {
            body: Body::Query { query: Query::AnnouncePeer { port, .. }, read_only, .. },
            ..
        }) = Message::parse(announce)
        else {
            panic!("not read")
        };
        assert_eq!((port, read_only), (None, true));
        let seen = b"d2:ip6:\xc0\0\x02\x01\x1a\xe11:rd2:id20:abcdefghij01234567891:pi6881ee1:t1:a1:y1:re";
        let Some(Message { body: Body::Response { seen_at, .. }, .. }) = Message::parse(seen) else {
            panic!("not read")
        };
        assert_eq!(seen_at, "192.0.2.1:6881".parse().ok());
        let v6 = [
            b"d1:rd2:id20:abcdefghij01234567896:nodes638:mnopqrstuvwxyz123456",
            &[1; 18][..],
            b"e1:t1:a1:y1:re",
        ];
        let v6 = v6.concat();
        let Some(Message { body: Body::Response { response, .. }, .. }) = Message::parse(&v6) else {
            panic!("not read")
        };
        assert_eq!(response.nodes[0].address, "[101:101:101:101:101:101:101:101]:257".parse().unwrap());
        let other = b"d1:ad2:id20:abcdefghij0123456789e1:q3:get1:t1:a1:y1:qe";
        assert!(matches!(Message::parse(other).unwrap().body, Body::Query { query: Query::Other, .. }));
        assert!(matches!(Message::parse(b"d1:eli201e1:xe1:t1:a1:y1:ee").unwrap().body, Body::Error(_)));
    }

    #[test]
    fn hostile_packets_are_none() {
        let deep = [&b"d1:a"[..], &b"l".repeat(1000), &b"e".repeat(1000), b"e"].concat();
        let long_id =
            [&b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t65:"[..], &[b'a'; 65], b"1:y1:qe"].concat();
        for packet in [
            &b""[..],
            b"d",
            b"de",
            b"i1e",
            &deep,
            &long_id,
            &[b'd'; 1400],
            b"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe",
            b"d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t2:aa1:y1:qe",
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe trailing",
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:xe1:q13:announce_peer\
              1:t2:aa1:y1:qe",
        ] {
            assert_eq!(Message::parse(packet), None, "{}", packet.escape_ascii());
        }
    }
}
