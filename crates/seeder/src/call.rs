//! A connection that this side opened, until the peer has answered.

use std::time::Instant;

use torrent::{InfoHash, PeerId};

use crate::close::Close;
use crate::greeting::Torrent;
use crate::handshake::Handshake;
use crate::upload::Upload;

/// What this side said first.
#[derive(Debug)]
pub(crate) struct Call {
    torrent: Torrent,
    info_hash: InfoHash,
    /// Our handshake, until it is written.
    handshake: Vec<u8>,
}

impl Call {
    pub(crate) fn new(our_peer_id: PeerId, info_hash: InfoHash, torrent: Torrent) -> Self {
        let handshake = torrent.handshake(our_peer_id, info_hash).to_bytes().to_vec();
        Self { torrent, info_hash, handshake }
    }

    /// Our handshake, once.
    pub(crate) fn poll_handshake(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.handshake)).filter(|bytes| !bytes.is_empty())
    }

    /// The state after the peer's handshake.
    pub(crate) fn answered(&mut self, now: Instant, theirs: &Handshake) -> Result<Upload, Close> {
        // A peer that knows both versions may answer with the second (BEP 52).
        if theirs.info_hash != self.info_hash && self.torrent.v2 != Some(theirs.info_hash) {
            return Err(Close::AnotherTorrent(theirs.info_hash));
        }
        let handshake = std::mem::take(&mut self.handshake);
        Ok(Upload::new(now, theirs, self.torrent.clone(), handshake))
    }
}
