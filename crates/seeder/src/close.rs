//! Why a connection is closed.

use torrent::{InfoHash, bencode};

use crate::handshake::NotAHandshake;
use crate::message::{MessageError, Range};

/// Why this side closes a connection. As text it is a clause for a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Close {
    /// Both sides have everything: there is nothing to do for either.
    #[error("the peer has everything")]
    BothSeeds,
    /// The peer is this box itself.
    #[error("connected to itself")]
    Itself,
    /// The peer answered for another torrent than it was called for.
    #[error("the peer speaks of {0}, for which it was not called")]
    AnotherTorrent(InfoHash),
    /// The first bytes are of another protocol.
    #[error(transparent)]
    NotAHandshake(#[from] NotAHandshake),
    /// The handshake was not complete in time.
    #[error("no handshake in time")]
    HandshakeTimeout,
    /// Nothing came for so long that the peer must be gone.
    #[error("the peer has fallen silent")]
    Silent,
    /// The peer is there but has wanted nothing for a long time.
    #[error("the peer wants nothing")]
    Idle,
    /// The peer asks for blocks but does not take what is sent.
    #[error("the peer does not read what is sent to it")]
    NotReading,
    /// Too much was sent before the handshake was answered.
    #[error("the peer sent too much before the handshake was answered")]
    TooEager,
    /// A length that no message has.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A piece that the torrent does not have.
    #[error("the peer speaks of piece {0}, which does not exist")]
    NoSuchPiece(u32),
    /// A peer that says over and over which pieces it has.
    #[error("the peer says again and again what it has")]
    TooManyBitfields,
    /// A request for bytes that don't exist or for more than a block.
    #[error("a request for {} bytes at {} of piece {}, which is not a block", .0.length, .0.begin, .0.index)]
    BadRequest(Range),
    /// A block, though none was asked for.
    #[error("a block that was not asked for")]
    UnaskedBlock,
    /// Hashes, though none were asked for.
    #[error("hashes that were not asked for")]
    UnaskedHashes,
    /// A message of the fast extension from a peer that did not say it knows it.
    #[error("a message of the fast extension, which was not agreed on")]
    FastNotAgreed,
    /// An extension message that is nested too deep.
    #[error("an extension message with {0}")]
    Extended(bencode::Error),
}
