//! What a session tells its driver.

use torrent::{Block, InfoHash, PeerId, PieceIndex};

use crate::hash_request::HashRequest;
use crate::metadata_requests::MetadataPiece;

/// What happened, for the driver to act on. Interest is a state, not a change: if the peer changes its mind twice
/// before the driver looks, nothing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The peer wants this torrent: [`PeerSession::attach`](crate::PeerSession::attach) it or close the connection.
    Handshake {
        /// The torrent.
        info_hash: InfoHash,
        /// The peer's name for itself.
        peer_id: PeerId,
    },
    /// Whether the peer wants blocks; time to [`rank`](crate::rank).
    Interested(bool),
    /// The peer has got this piece. This and the next three are told only while pieces are handed out.
    Has(PieceIndex),
    /// The peer says anew which pieces it [has](crate::PeerSession::have).
    HasSeveral,
    /// The peer asks for a block, and may have it.
    Requested(Block),
    /// A block that was asked for will not be sent.
    Cancelled(Block),
}

/// What is to be written next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transmit {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The [`metadata_message`](crate::PeerSession::metadata_message) with this piece of the info dictionary, unless it
    /// is [not to be had](crate::PeerSession::metadata_unavailable).
    Metadata(MetadataPiece),
    /// The [`hashes_message`](crate::PeerSession::hashes_message) with the [answer](HashRequest::answer) to this request,
    /// unless it is to be [rejected](crate::PeerSession::reject_hashes).
    Hashes(HashRequest),
    /// [`piece_header`](crate::piece_header) of the block, then its bytes.
    Block(Block),
}
