//! Announce and scrape: what a `BitTorrent` tracker knows and says.
//!
//! Pure: bytes, time and chance are arguments. The daemon owns the sockets, decides which torrents may be
//! tracked, and passes every request through here.
//!
//! - [`announce`]: what peers say and are told, whatever the protocol
//! - [`swarm`]: the one store of who is in which swarm, for HTTP and UDP alike
//! - [`address`]: which addresses are told to whom, and the box's own
//! - [`http`]: query string to announce or scrape, answer to bencode (BEP 3, 7, 23, 24, 31, 48)
//! - [`udp`]: packet to request, answer to packet (BEP 15, 41)
//! - [`members`], [`admission`], [`claims`]: whose passkey it is, who may have what is for members, what they say they moved
//! - [`prefix`]: what one network may take of time and memory
//! - [`connection_id`]: connection ids that need no memory (BEP 15)
//!
//! Invariants:
//! - A peer's address is the source of its packet, never what the request claims.
//! - An address is only handed to peers that can reach it: none that is unspecified or has port 0, private ones
//!   within private networks, loopback ones on the same machine.
//! - Nothing is sent to a UDP source that has not proved that it receives there, save the 16 bytes that let it.

pub mod address;
pub mod admission;
pub mod announce;
mod array;
pub mod claims;
pub mod connection_id;
mod failure;
pub mod http;
pub mod members;
mod peers;
pub mod prefix;
pub mod swarm;
#[cfg(test)]
mod testing;
pub mod udp;

pub use announce::{Announce, Answer, Event, Scrape};
pub use failure::{CHANGING, Failure, NOT_A_MEMBER, NOT_PUBLISHED, RETIRED, Retry, TOO_MANY};
pub use swarm::SwarmStore;

/// Most info hashes in one scrape, over HTTP and UDP alike: as many as fit into a UDP packet (BEP 15).
pub const MAX_SCRAPE: usize = 74;
