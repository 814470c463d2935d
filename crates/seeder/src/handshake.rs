//! The 68 bytes with which either side of a connection begins (BEP 3).

use torrent::{InfoHash, PeerId};

/// Length (bytes) of a handshake.
pub const LENGTH: usize = 68;

/// Length byte and name of the protocol, the same in every handshake.
pub(crate) const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Which torrent the sender wants, who it is and which extensions it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// The extensions the sender knows.
    pub reserved: Reserved,
    /// The torrent this connection is about.
    pub info_hash: InfoHash,
    /// The sender's name for itself.
    pub peer_id: PeerId,
}

/// The eight reserved bytes, each bit of which stands for an extension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved(pub [u8; 8]);

/// The first bytes are not a handshake of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a BitTorrent handshake")]
pub struct NotAHandshake;

impl Reserved {
    /// What this seeder knows: the fast extension and the extension protocol.
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// The same, over a connection for version 1 of a torrent that is both (BEP 52, "Upgrade Path").
    #[must_use]
    pub const fn with_upgrade(mut self) -> Self {
        self.0[7] |= 0x10;
        self
    }

    /// The same, of a sender that has a DHT node (BEP 5).
    #[must_use]
    pub const fn with_dht(mut self) -> Self {
        self.0[7] |= 0x01;
        self
    }

    /// Whether the sender has a DHT node (BEP 5).
    pub const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// Whether the sender, who names a torrent by version 1, knows its version 2 as well (BEP 52).
    pub const fn upgradable(self) -> bool {
        self.0[7] & 0x10 != 0
    }

    /// Whether the sender knows the fast extension (BEP 6).
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// Whether the sender knows the extension protocol (BEP 10).
    pub const fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }
}

impl Handshake {
    /// The handshake as it is on the wire.
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..20].copy_from_slice(PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved.0);
        bytes[28..48].copy_from_slice(self.info_hash.as_bytes());
        bytes[48..].copy_from_slice(self.peer_id.as_bytes());
        bytes
    }

    /// Reads the handshake at the start of `bytes`; `None` as long as more bytes are needed.
    ///
    /// # Errors
    /// At the first byte that no handshake has at its place.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NotAHandshake> {
        let known = bytes.len().min(PROTOCOL.len());
        if bytes[..known] != PROTOCOL[..known] {
            return Err(NotAHandshake);
        }
        let Some(bytes) = bytes.first_chunk::<LENGTH>() else { return Ok(None) };
        let mut reserved = [0; 8];
        reserved.copy_from_slice(&bytes[20..28]);
        let mut info_hash = [0; 20];
        info_hash.copy_from_slice(&bytes[28..48]);
        let mut peer_id = [0; 20];
        peer_id.copy_from_slice(&bytes[48..]);
        Ok(Some(Self {
            reserved: Reserved(reserved),
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(peer_id),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector() -> (Handshake, Vec<u8>) {
        let handshake = Handshake {
            reserved: Reserved([0, 0, 0, 0, 0, 0x10, 0, 0x05]),
            info_hash: InfoHash([0xaa; 20]),
            peer_id: PeerId(*b"-TR4050-abcdefghijkl"),
        };
        let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x05".to_vec();
        bytes.extend([0xaa; 20]);
        bytes.extend(b"-TR4050-abcdefghijkl");
        (handshake, bytes)
    }

    #[test]
    fn handshake_is_written_and_read() {
        let (handshake, mut bytes) = vector();
        assert_eq!(handshake.to_bytes()[..], bytes);
        for length in 0..LENGTH {
            assert_eq!(Handshake::parse(&bytes[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(Handshake::parse(&bytes), Ok(Some(handshake)));
        bytes.extend(b"what follows is not looked at");
        assert_eq!(Handshake::parse(&bytes), Ok(Some(handshake)));
    }

    #[test]
    fn other_protocols_are_told_at_the_first_wrong_byte() {
        let (_, bytes) = vector();
        for at in 0..PROTOCOL.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(Handshake::parse(&bytes[..at]), Ok(None));
            assert_eq!(Handshake::parse(&bytes[..=at]), Err(NotAHandshake), "byte {at}");
        }
    }

    #[test]
    fn each_extension_has_its_bit() {
        for (bytes, fast, extended, upgradable) in [
            ([0; 8], false, false, false),
            ([0, 0, 0, 0, 0, 0, 0, 0x04], true, false, false),
            ([0, 0, 0, 0, 0, 0x10, 0, 0], false, true, false),
            ([0, 0, 0, 0, 0, 0, 0, 0x10], false, false, true),
            ([0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0xff, 0xeb], false, false, false),
            (Reserved::OURS.0, true, true, false),
            (Reserved::OURS.with_upgrade().0, true, true, true),
        ] {
            let reserved = Reserved(bytes);
            let bits = (reserved.fast(), reserved.extended(), reserved.upgradable());
            assert_eq!(bits, (fast, extended, upgradable), "{bytes:x?}");
        }
    }
}
