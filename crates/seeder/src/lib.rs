//! The upload side of the peer wire protocol: what a complete peer, a seed, says and to whom it gives.
//!
//! Pure: bytes and time in, bytes and decisions out. No socket, no file, no clock. Nor does the content pass
//! through here: sessions hand out [`Block`](torrent::Block)s, which the driver sends from wherever it keeps the
//! bytes. Of the info dictionary and of hashes only what is on its way to a peer does: a [`MetadataPiece`], the
//! answer to a [`HashRequest`].
//!
//! Invariants: nothing a peer sends makes anything panic, or grow beyond a named limit; a block that was not
//! asked for, is not wholly inside its piece, or is of a piece that is withheld, is never handed out; the answers to a peer are in the order
//! in which they were caused, except that metadata, hashes and blocks come after all other messages, in this order.
//!
//! - [`PeerSession`]: one connected peer, from its first byte on
//! - [`rank`], [`Slots`]: which peers are unchoked, and how many
//! - [`Swarm`]: who is told of which piece while this is the only seed
//! - [`Schedule`]: who sends next under the upload limit; [`Uplink`]: what that is, if none is configured
//! - [`allowed_fast()`]: the pieces that a choked peer may have (BEP 6)
//! - [`Handshake`], [`Message`], [`ExtendedHandshake`], [`MetadataMessage`]: the codecs, both ways
//! - [`mse`]: connections that are encrypted, before a session sees them
//! - [`peer_id()`], [`CLIENT`]: how we name ourselves

mod allowed_fast;
mod bounded_queue;
mod call;
mod choker;
mod client;
mod close;
mod event;
mod extended;
mod extensions;
mod greeting;
mod handshake;
mod hash_request;
mod have;
mod message;
mod metadata;
mod metadata_requests;
pub mod mse;
mod offer;
mod outbox;
mod peer_stats;
mod piece_set;
mod requests;
mod schedule;
mod session;
mod slots;
mod subscriber;
mod swarm;
mod uplink;
mod upload;

pub use allowed_fast::allowed_fast;
pub use choker::rank;
pub use client::{CLIENT, peer_id};
pub use close::Close;
pub use event::{Event, Transmit};
pub use extended::{ExtendedHandshake, HANDSHAKE_ID};
pub use greeting::Torrent;
pub use handshake::{Handshake, LENGTH as HANDSHAKE_LENGTH, NotAHandshake, Reserved};
pub use hash_request::{HashRequest, MAX_HASHES};
pub use message::{MAX_MESSAGE, Message, MessageError, PIECE_HEADER, Range, piece_header};
pub use metadata::{METADATA_PIECE, MetadataMessage};
pub use metadata_requests::MetadataPiece;
pub use peer_stats::PeerStats;
pub use requests::MAX_REQUESTS;
pub use schedule::{Schedule, Turn};
pub use session::{HANDSHAKE_LIMIT, PeerSession, SILENCE_LIMIT};
pub use slots::{Round, Slots};
pub use subscriber::subscriber;
pub use swarm::{Member, Reveal, Standing, Swarm};
pub use uplink::Uplink;
pub use upload::{IDLE_LIMIT, KEEP_ALIVE, WRITE_LIMIT};
