//! What this side says first, and what it has to know for that.

use torrent::{InfoHash, Lengths, PeerId, PieceIndex};

use crate::client;
use crate::extended::{ExtendedHandshake, HANDSHAKE_ID};
use crate::handshake::{Handshake, Reserved};
use crate::message::Message;
use crate::metadata::UT_METADATA_ID;
use crate::piece_set::PieceSet;
use crate::requests::MAX_REQUESTS;

/// What the session needs to know of the torrent that a peer wants.
#[derive(Debug, Clone)]
pub struct Torrent {
    /// Lengths of content and pieces.
    pub lengths: Lengths,
    /// Bytes of the info dictionary, which is handed out to those who came by a magnet link (BEP 9).
    pub metadata_size: u32,
    /// The info hash of its version 2, cut to 20 bytes, if it has that version: then peers may ask for hashes,
    /// and a peer that came for version 1 and knows both is answered with this one (BEP 52).
    pub v2: Option<InfoHash>,
    /// Pieces that this peer may download while it is choked, from [`allowed_fast`](crate::allowed_fast()) or
    /// none (BEP 6).
    pub allowed_fast: Vec<PieceIndex>,
    /// Pieces that this side can't give at present, in any order: mostly none. See
    /// [`PeerSession::withhold`](crate::PeerSession::withhold).
    pub withheld: Vec<PieceIndex>,
}

impl Torrent {
    /// The pieces that the peer is told it may download while choked.
    pub(crate) fn offered(&self, reserved: Reserved) -> Vec<PieceIndex> {
        let offered = self.allowed_fast.iter().filter(|piece| !self.withheld.contains(piece));
        if reserved.fast() { offered.copied().collect() } else { Vec::new() }
    }

    /// Our handshake and what goes right after it.
    pub(crate) fn greeting(&self, our_peer_id: PeerId, theirs: &Handshake) -> Vec<u8> {
        let reserved = theirs.reserved;
        let mut out = self.handshake(our_peer_id, theirs).to_bytes().to_vec();
        if self.withheld.is_empty() && reserved.fast() {
            Message::HaveAll.encode(&mut out);
        } else {
            let mut have = PieceSet::new(self.lengths.piece_count());
            have.fill();
            self.withheld.iter().for_each(|piece| have.remove(*piece));
            Message::Bitfield(have.bits()).encode(&mut out);
        }
        if reserved.extended() {
            let payload = self.extended_handshake().to_bytes();
            Message::Extended { id: HANDSHAKE_ID, payload: &payload }.encode(&mut out);
        }
        for piece in self.offered(reserved) {
            Message::AllowedFast(piece.get()).encode(&mut out);
        }
        out
    }

    fn handshake(&self, peer_id: PeerId, theirs: &Handshake) -> Handshake {
        let upgrade = self.v2.filter(|_| theirs.reserved.upgradable());
        let info_hash = upgrade.unwrap_or(theirs.info_hash);
        let is_v1_of_both = self.v2.is_some_and(|v2| v2 != info_hash);
        let reserved = if is_v1_of_both { Reserved::OURS_UPGRADABLE } else { Reserved::OURS };
        Handshake { reserved, info_hash, peer_id }
    }

    fn extended_handshake(&self) -> ExtendedHandshake {
        ExtendedHandshake {
            ut_metadata: Some(UT_METADATA_ID),
            metadata_size: Some(self.metadata_size),
            reqq: MAX_REQUESTS.try_into().ok(),
            upload_only: Some(true),
            client: Some(client::CLIENT.into()),
            ..ExtendedHandshake::default()
        }
    }
}
