//! Figures of one peer, for the choker and for people.

use std::time::Instant;

/// Figures of one peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeerStats {
    /// Whether the peer wants blocks.
    pub interested: bool,
    /// Whether it gets none.
    pub choked: bool,
    /// Whether it has asked for more blocks than were sent.
    pub backlogged: bool,
    /// Bytes of blocks that were sent.
    pub bytes_sent: u64,
    /// Those of them since the peer was last unchoked.
    pub sent_since_unchoked: u64,
    /// How much of the torrent the peer has, 0 to 1.
    pub progress: f64,
    /// Bytes in a piece of its torrent.
    pub piece_length: u32,
    /// When the connection was opened.
    pub connected: Instant,
    /// Since when the peer has been interested and choked, if it is both; else of no meaning.
    pub waiting_since: Instant,
    /// When it was last unchoked.
    pub last_unchoked: Option<Instant>,
}
