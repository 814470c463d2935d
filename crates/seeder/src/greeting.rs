//! What this side says first, and what it has to know for that.

use std::net::IpAddr;

use torrent::{InfoHash, Lengths, PeerId, PieceIndex};

use crate::client;
use crate::extended::{ExtendedHandshake, HANDSHAKE_ID};
use crate::extensions::UT_PEX_ID;
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
    /// Whether the peer is told of pieces one by one ([`PeerSession::reveal`](crate::PeerSession::reveal)), and the driver
    /// what it has and asks for. It begins with none then.
    pub hand_out: bool,
    /// Whether peers may be told of each other (BEP 11): never those of a private torrent (BEP 27).
    pub exchange: bool,
    /// Where this side takes connections, and the UDP port of its DHT node (BEP 5), if the peer may know them.
    pub port: Option<u16>,
    /// See [`Torrent::port`].
    pub dht_port: Option<u16>,
    /// The address at which this side sees the peer (BEP 10).
    pub your_ip: Option<IpAddr>,
    /// Pieces that this side can't give at present, in any order: mostly none. See
    /// [`PeerSession::set_withheld`](crate::PeerSession::set_withheld).
    pub withheld: Vec<PieceIndex>,
}

impl Torrent {
    /// The pieces that the peer is told it may download while choked.
    pub(crate) fn offered(&self, reserved: Reserved) -> Vec<PieceIndex> {
        if self.hand_out || !reserved.fast() {
            return Vec::new();
        }
        self.allowed_fast.iter().filter(|piece| !self.withheld.contains(piece)).copied().collect()
    }

    /// Our handshake, in answer to that of a peer.
    pub(crate) fn answer(&self, our_peer_id: PeerId, theirs: &Handshake) -> Handshake {
        let upgrade = self.v2.filter(|_| theirs.reserved.upgradable());
        self.handshake(our_peer_id, upgrade.unwrap_or(theirs.info_hash))
    }

    /// Our handshake for this name of the torrent.
    pub(crate) fn handshake(&self, peer_id: PeerId, info_hash: InfoHash) -> Handshake {
        let mut reserved = Reserved::OURS;
        if self.v2.is_some_and(|v2| v2 != info_hash) {
            reserved = reserved.with_upgrade();
        }
        if self.dht_port.is_some() {
            reserved = reserved.with_dht();
        }
        Handshake { reserved, info_hash, peer_id }
    }

    /// What goes right after our handshake.
    pub(crate) fn introduce(&self, reserved: Reserved, out: &mut Vec<u8>) {
        match (self.hand_out, reserved.fast()) {
            (true, true) => Message::HaveNone.encode(out),
            // No bitfield says the same.
            (true, false) => {}
            (false, true) if self.withheld.is_empty() => Message::HaveAll.encode(out),
            (false, _) => {
                let mut have = PieceSet::new(self.lengths.piece_count());
                have.fill();
                self.withheld.iter().for_each(|piece| have.remove(*piece));
                Message::Bitfield(have.bits()).encode(out);
            }
        }
        if reserved.extended() {
            let payload = self.extended_handshake().to_bytes();
            Message::Extended { id: HANDSHAKE_ID, payload: &payload }.encode(out);
        }
        if let Some(port) = self.dht_port.filter(|_| reserved.dht()) {
            Message::Port(port).encode(out);
        }
        for piece in self.offered(reserved) {
            Message::AllowedFast(piece.get()).encode(out);
        }
    }

    fn extended_handshake(&self) -> ExtendedHandshake {
        ExtendedHandshake {
            ut_metadata: Some(UT_METADATA_ID),
            ut_pex: self.exchange.then_some(UT_PEX_ID),
            port: self.port,
            your_ip: self.your_ip,
            metadata_size: Some(self.metadata_size),
            reqq: MAX_REQUESTS.try_into().ok(),
            // Of who only uploads and has nothing yet libtorrent thinks that it is of no use, and hangs up.
            upload_only: Some(!self.hand_out),
            client: Some(client::CLIENT.into()),
        }
    }
}
