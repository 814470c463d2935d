//! The names of the peer protocol: which torrent, and which peer.

use std::array::TryFromSliceError;
use std::{fmt, str::FromStr};

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Names a torrent among peers and trackers: the SHA-1 of the raw bytes of its info dictionary (BEP 3), or in
/// version 2 what [`InfoHashV2::truncated`] gives.
///
/// Written as 40 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// Names a torrent of version 2: the SHA-256 of the raw bytes of its info dictionary (BEP 52).
///
/// Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHashV2(pub [u8; 32]);

/// All names of a torrent: it has one for each version that its info dictionary is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InfoHashes {
    /// Version 1 only.
    V1(InfoHash),
    /// Version 2 only.
    V2(InfoHashV2),
    /// Both versions: two swarms that share the content.
    Hybrid(InfoHash, InfoHashV2),
}

/// The 20 bytes by which a client names itself; each client chooses its own (BEP 3, conventions in BEP 20).
///
/// They are arbitrary bytes from outside; written with everything but printable ASCII escaped
/// (`-TR4050-abc\x00...`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// A text is not an info hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an info hash is 40 hexadecimal digits, or 64 in version 2")]
pub struct ParseInfoHashError;

impl InfoHash {
    /// The name of the torrent with these raw bytes of the info dictionary.
    pub fn of(info_bytes: &[u8]) -> Self {
        Self(Sha1::digest(info_bytes).into())
    }

    /// The 20 bytes as they are on the wire.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl InfoHashV2 {
    /// The name of the torrent with these raw bytes of the info dictionary.
    pub fn of(info_bytes: &[u8]) -> Self {
        Self(Sha256::digest(info_bytes).into())
    }

    /// All 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 20 bytes, which stand for all in handshakes and announces (BEP 52).
    pub fn truncated(&self) -> InfoHash {
        let (first, _) = self.0.split_first_chunk().expect("invariant: 32 bytes begin with 20");
        InfoHash(*first)
    }
}

impl InfoHashes {
    /// The name in version 1, if there is one.
    pub fn v1(self) -> Option<InfoHash> {
        match self {
            Self::V1(v1) | Self::Hybrid(v1, _) => Some(v1),
            Self::V2(_) => None,
        }
    }

    /// The name in version 2, if there is one.
    pub fn v2(self) -> Option<InfoHashV2> {
        match self {
            Self::V2(v2) | Self::Hybrid(_, v2) => Some(v2),
            Self::V1(_) => None,
        }
    }

    /// One or two names by which peers and trackers may ask for the torrent, that of version 1 first.
    pub fn on_the_wire(self) -> impl Iterator<Item = InfoHash> {
        self.v1().into_iter().chain(self.v2().map(|v2| v2.truncated()))
    }
}

impl PeerId {
    /// The 20 bytes as they are on the wire.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl From<[u8; 20]> for InfoHash {
    fn from(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }
}

impl From<[u8; 32]> for InfoHashV2 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<[u8; 20]> for PeerId {
    fn from(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }
}

/// Fails unless there are exactly 20 bytes.
impl TryFrom<&[u8]> for InfoHash {
    type Error = TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

/// Fails unless there are exactly 20 bytes.
impl TryFrom<&[u8]> for PeerId {
    type Error = TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

/// Takes 40 hexadecimal digits of either case, nothing around them.
impl FromStr for InfoHash {
    type Err = ParseInfoHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex_bytes(text).map(Self)
    }
}

/// Takes 64 hexadecimal digits of either case, nothing around them.
impl FromStr for InfoHashV2 {
    type Err = ParseInfoHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex_bytes(text).map(Self)
    }
}

fn hex_bytes<const N: usize>(text: &str) -> Result<[u8; N], ParseInfoHashError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(ParseInfoHashError);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Ok(bytes)
}

fn hex_digit(digit: u8) -> Result<u8, ParseInfoHashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseInfoHashError),
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00010203f4f5f6f708090a0bfcfdfeff10111213";
    const BYTES: [u8; 20] =
        [0, 1, 2, 3, 0xf4, 0xf5, 0xf6, 0xf7, 8, 9, 10, 11, 0xfc, 0xfd, 0xfe, 0xff, 16, 17, 18, 19];

    #[test]
    fn info_hash_is_read_in_either_case_and_written_in_lower() {
        for text in [HEX.to_owned(), HEX.to_uppercase()] {
            let hash: InfoHash = text.parse().unwrap();
            assert_eq!(hash, InfoHash(BYTES));
            assert_eq!(hash.to_string(), HEX);
            assert_eq!(format!("{hash:?}"), HEX);
        }
    }

    #[test]
    fn what_is_not_40_hex_digits_is_no_info_hash() {
        let long = format!("{HEX}0");
        let prefixed = format!("0x{}", &HEX[2..]);
        let signed = format!("+0{}", &HEX[2..]);
        let wide = format!("{}ü", &HEX[2..]);
        for text in ["", &HEX[1..], &HEX[2..], &long, &prefixed, &signed, &wide] {
            assert_eq!(text.parse::<InfoHash>(), Err(ParseInfoHashError), "{text:?}");
        }
    }

    #[test]
    fn slices_must_have_20_bytes() {
        assert_eq!(InfoHash::try_from(&BYTES[..]).ok(), Some(InfoHash(BYTES)));
        assert_eq!(PeerId::try_from(&BYTES[..]).ok(), Some(PeerId(BYTES)));
        assert!(InfoHash::try_from(&BYTES[1..]).is_err());
        assert!(PeerId::try_from(&[0; 21][..]).is_err());
    }

    #[test]
    fn info_hash_is_the_sha1_of_the_bytes() {
        assert_eq!(InfoHash::of(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    #[test]
    fn an_info_hash_of_version_2_is_the_sha256_of_the_bytes_and_has_a_short_form() {
        let hash = InfoHashV2::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), hex);
        assert_eq!(hex.to_uppercase().parse(), Ok(hash));
        assert_eq!(hex[1..].parse::<InfoHashV2>(), Err(ParseInfoHashError));
        assert_eq!(hex[..40].parse(), Ok(hash.truncated()));
    }

    #[test]
    fn a_torrent_is_asked_for_by_each_of_its_names() {
        let (v1, v2) = (InfoHash([1; 20]), InfoHashV2([2; 32]));
        let check = |hashes: InfoHashes, want: &[InfoHash]| {
            assert_eq!(hashes.on_the_wire().collect::<Vec<_>>(), want);
        };
        check(InfoHashes::V1(v1), &[v1]);
        check(InfoHashes::V2(v2), &[InfoHash([2; 20])]);
        check(InfoHashes::Hybrid(v1, v2), &[v1, InfoHash([2; 20])]);
    }

    #[test]
    fn peer_id_is_printable_whatever_it_holds() {
        let peer_id = PeerId(*b"-TR4050-a\0\xff\x1b[2J\\\n'\"z");
        assert_eq!(peer_id.to_string(), r#"-TR4050-a\x00\xff\x1b[2J\\\n\'\"z"#);
        assert_eq!(format!("{peer_id:?}"), peer_id.to_string());
    }
}
