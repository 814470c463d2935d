//! The messages that follow the handshake: BEP 3, the fast extension (BEP 6), the envelope of the extension
//! protocol (BEP 10), the DHT port (BEP 5) and the hashes of version 2 (BEP 52).
//!
//! Borrowed from the bytes they were read from, so that reading allocates nothing.

use torrent::{Block, NodeHash};

use crate::hash_request::{HASH, HASH_REQUEST, HashRequest};

/// Largest message (bytes, without the length prefix) that is read: 16 KiB of content or metadata or
/// 512 hashes, and what is written before and after. Only a bitfield may be longer, and no longer than the torrent's piece count asks.
pub const MAX_MESSAGE: usize = 17 * 1024;

/// Length (bytes) of what goes before a block on the wire; see [`piece_header`].
pub const PIECE_HEADER: usize = 13;

/// Bytes of the length prefix.
const PREFIX: usize = 4;

mod id {
    pub(super) const CHOKE: u8 = 0;
    pub(super) const UNCHOKE: u8 = 1;
    pub(super) const INTERESTED: u8 = 2;
    pub(super) const NOT_INTERESTED: u8 = 3;
    pub(super) const HAVE: u8 = 4;
    pub(super) const BITFIELD: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const PIECE: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PORT: u8 = 9;
    pub(super) const SUGGEST: u8 = 13;
    pub(super) const HAVE_ALL: u8 = 14;
    pub(super) const HAVE_NONE: u8 = 15;
    pub(super) const REJECT: u8 = 16;
    pub(super) const ALLOWED_FAST: u8 = 17;
    pub(super) const EXTENDED: u8 = 20;
    pub(super) const HASH_REQUEST: u8 = 21;
    pub(super) const HASHES: u8 = 22;
    pub(super) const HASH_REJECT: u8 = 23;
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Nothing but a sign of life.
    KeepAlive,
    /// Requests are not answered any more.
    Choke,
    /// Requests are answered from now on.
    Unchoke,
    /// The sender would request blocks if it were not choked.
    Interested,
    /// The sender wants nothing at present.
    NotInterested,
    /// The sender got this piece.
    Have(u32),
    /// The pieces the sender has, the highest bit of the first byte for piece 0.
    Bitfield(&'a [u8]),
    /// The sender wants a block.
    Request(Range),
    /// A block.
    Piece {
        /// Index of its piece.
        index: u32,
        /// Offset (bytes) in the piece.
        begin: u32,
        /// The block's bytes.
        block: &'a [u8],
    },
    /// The sender does not want a block any more.
    Cancel(Range),
    /// UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// A piece that is a good one to ask for (BEP 6).
    Suggest(u32),
    /// The sender has all pieces (BEP 6).
    HaveAll,
    /// The sender has no piece (BEP 6).
    HaveNone,
    /// This request will not be answered (BEP 6).
    Reject(Range),
    /// A piece that may be requested while choked (BEP 6).
    AllowedFast(u32),
    /// A message of an extension (BEP 10).
    Extended {
        /// 0 for the extended handshake, else the number that the receiver of the message gave the extension.
        id: u8,
        /// What the extension wrote.
        payload: &'a [u8],
    },
    /// The sender wants hashes (BEP 52).
    HashRequest(HashRequest),
    /// Hashes (BEP 52).
    Hashes {
        /// What they answer.
        request: HashRequest,
        /// Those asked for, then those that prove them.
        hashes: &'a [NodeHash],
    },
    /// This request for hashes will not be answered (BEP 52).
    HashReject(HashRequest),
    /// A message of a kind this seeder does not know, to be ignored.
    Unknown(u8),
}

/// The bytes that a request, cancel or reject is about; as the peer says it, nothing is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Index of the piece.
    pub index: u32,
    /// Offset (bytes) in the piece.
    pub begin: u32,
    /// Length (bytes).
    pub length: u32,
}

/// Bytes that are no message, however many more may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than any message of this torrent can be.
    #[error("a message of {length} bytes, at most {limit} are accepted")]
    TooLong {
        /// What the length prefix says.
        length: u32,
        /// The longest there may be.
        limit: usize,
    },
    /// A message of this kind has another length.
    #[error("a message of kind {id} can't be {length} bytes long")]
    WrongLength {
        /// The kind.
        id: u8,
        /// What the length prefix says.
        length: u32,
    },
}

impl From<Block> for Range {
    fn from(block: Block) -> Self {
        Self { index: block.piece.get(), begin: block.begin, length: block.length }
    }
}

/// Bytes in the bitfield of a torrent with this many pieces.
pub(crate) const fn bitfield_length(piece_count: u32) -> usize {
    piece_count.div_ceil(8) as usize
}

/// What goes before the bytes of `block` to make it a piece message.
pub fn piece_header(block: Block) -> [u8; PIECE_HEADER] {
    let mut header = [0; PIECE_HEADER];
    header[..4].copy_from_slice(&(9 + block.length).to_be_bytes());
    header[4] = id::PIECE;
    header[5..9].copy_from_slice(&block.piece.get().to_be_bytes());
    header[9..].copy_from_slice(&block.begin.to_be_bytes());
    header
}

impl<'a> Message<'a> {
    /// Reads the message at the start of `bytes` and tells how many bytes it takes; `None` as long as more bytes
    /// are needed.
    ///
    /// # Errors
    /// As soon as it is certain that no message begins like this: after four bytes for a length beyond all
    /// limits, after five for one that the kind of message does not allow.
    pub fn decode(bytes: &'a [u8], piece_count: u32) -> Result<Option<(Self, usize)>, MessageError> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix);
        let size = length as usize;
        if size == 0 {
            return Ok(Some((Self::KeepAlive, PREFIX)));
        }
        let bitfield = 1 + bitfield_length(piece_count);
        let too_long =
            |limit| if size > limit { Err(MessageError::TooLong { length, limit }) } else { Ok(()) };
        too_long(bitfield.max(MAX_MESSAGE))?;
        let Some(&id) = rest.first() else { return Ok(None) };
        let fits = match id {
            id::CHOKE..=id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => size == 1,
            id::PORT => size == 3,
            id::HAVE | id::SUGGEST | id::ALLOWED_FAST => size == 5,
            id::REQUEST | id::CANCEL | id::REJECT => size == 13,
            id::PIECE => size >= 9,
            id::EXTENDED => size >= 2,
            id::HASH_REQUEST | id::HASH_REJECT => size == 1 + HASH_REQUEST,
            id::HASHES => size > 1 + HASH_REQUEST && (size - 1 - HASH_REQUEST).is_multiple_of(HASH),
            // A peer that still lacks the metadata does not know how many pieces it has none of.
            id::BITFIELD => size == bitfield || size == 1,
            _ => true,
        };
        if !fits {
            return Err(MessageError::WrongLength { id, length });
        }
        if id != id::BITFIELD {
            too_long(MAX_MESSAGE)?;
        }
        let Some(body) = rest.get(1..size) else { return Ok(None) };
        Ok(Some((Self::read(id, body), PREFIX + size)))
    }

    /// The message of kind `id` with a body whose length is right for it.
    fn read(id: u8, body: &'a [u8]) -> Self {
        match id {
            id::CHOKE => Self::Choke,
            id::UNCHOKE => Self::Unchoke,
            id::INTERESTED => Self::Interested,
            id::NOT_INTERESTED => Self::NotInterested,
            id::HAVE => Self::Have(word(body, 0)),
            id::BITFIELD => Self::Bitfield(body),
            id::REQUEST => Self::Request(Range::read(body)),
            id::PIECE => Self::Piece { index: word(body, 0), begin: word(body, 4), block: &body[8..] },
            id::CANCEL => Self::Cancel(Range::read(body)),
            id::PORT => Self::Port(u16::from_be_bytes([body[0], body[1]])),
            id::SUGGEST => Self::Suggest(word(body, 0)),
            id::HAVE_ALL => Self::HaveAll,
            id::HAVE_NONE => Self::HaveNone,
            id::REJECT => Self::Reject(Range::read(body)),
            id::ALLOWED_FAST => Self::AllowedFast(word(body, 0)),
            id::EXTENDED => Self::Extended { id: body[0], payload: &body[1..] },
            id::HASH_REQUEST..=id::HASH_REJECT => Self::read_hashes(id, body),
            _ => Self::Unknown(id),
        }
    }

    fn read_hashes(id: u8, body: &'a [u8]) -> Self {
        let (request, hashes) = body.split_first_chunk().expect("invariant: the length is right");
        let request = HashRequest::read(request);
        match id {
            id::HASH_REQUEST => Self::HashRequest(request),
            id::HASHES => Self::Hashes { request, hashes: hashes.as_chunks().0 },
            _ => Self::HashReject(request),
        }
    }

    /// Appends the message as it is on the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::KeepAlive => out.extend([0; PREFIX]),
            Self::Choke => put(out, id::CHOKE, &[]),
            Self::Unchoke => put(out, id::UNCHOKE, &[]),
            Self::Interested => put(out, id::INTERESTED, &[]),
            Self::NotInterested => put(out, id::NOT_INTERESTED, &[]),
            Self::Have(index) => put(out, id::HAVE, &[&index.to_be_bytes()]),
            Self::Bitfield(bits) => put(out, id::BITFIELD, &[bits]),
            Self::Request(range) => range.put(out, id::REQUEST),
            Self::Piece { index, begin, block } => {
                put(out, id::PIECE, &[&index.to_be_bytes(), &begin.to_be_bytes(), block]);
            }
            Self::Cancel(range) => range.put(out, id::CANCEL),
            Self::Port(port) => put(out, id::PORT, &[&port.to_be_bytes()]),
            Self::Suggest(index) => put(out, id::SUGGEST, &[&index.to_be_bytes()]),
            Self::HaveAll => put(out, id::HAVE_ALL, &[]),
            Self::HaveNone => put(out, id::HAVE_NONE, &[]),
            Self::Reject(range) => range.put(out, id::REJECT),
            Self::AllowedFast(index) => put(out, id::ALLOWED_FAST, &[&index.to_be_bytes()]),
            Self::Extended { id, payload } => put(out, id::EXTENDED, &[&[id], payload]),
            Self::HashRequest(request) => put(out, id::HASH_REQUEST, &[&request.to_bytes()]),
            Self::Hashes { request, hashes } => {
                put(out, id::HASHES, &[&request.to_bytes(), hashes.as_flattened()]);
            }
            Self::HashReject(request) => put(out, id::HASH_REJECT, &[&request.to_bytes()]),
            Self::Unknown(id) => put(out, id, &[]),
        }
    }

    /// Whether only a peer with the fast extension (BEP 6) may send this.
    pub(crate) fn needs_fast(&self) -> bool {
        matches!(
            self,
            Self::Suggest(_) | Self::HaveAll | Self::HaveNone | Self::Reject(_) | Self::AllowedFast(_)
        )
    }
}

impl Range {
    fn read(body: &[u8]) -> Self {
        Self { index: word(body, 0), begin: word(body, 4), length: word(body, 8) }
    }

    fn put(self, out: &mut Vec<u8>, id: u8) {
        let Self { index, begin, length } = self;
        put(out, id, &[&index.to_be_bytes(), &begin.to_be_bytes(), &length.to_be_bytes()]);
    }
}

fn word(body: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]])
}

fn put(out: &mut Vec<u8>, id: u8, parts: &[&[u8]]) {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u32::try_from(length).expect("invariant: we write no message of 4 GiB");
    out.extend(length.to_be_bytes());
    out.push(id);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use crate::hash_request::MAX_HASHES;

    use super::*;

    /// Pieces of the torrent that the bitfields here are about.
    const PIECES: u32 = 10;

    const RANGE: Range = Range { index: 1, begin: 0x4000, length: 0x0001_0203 };

    const HASHES: HashRequest = HashRequest {
        pieces_root: *b"root of a file's tree, 32 bytes.",
        base_layer: 4,
        index: 0x0200,
        length: 2,
        proof_layers: 0x0102_0304,
    };

    const VECTORS: &[(Message, &[u8])] = &[
        (Message::KeepAlive, b"\0\0\0\0"),
        (Message::Choke, b"\0\0\0\x01\0"),
        (Message::Unchoke, b"\0\0\0\x01\x01"),
        (Message::Interested, b"\0\0\0\x01\x02"),
        (Message::NotInterested, b"\0\0\0\x01\x03"),
        (Message::Have(0x0102_0304), b"\0\0\0\x05\x04\x01\x02\x03\x04"),
        (Message::Bitfield(&[0xff, 0xc0]), b"\0\0\0\x03\x05\xff\xc0"),
        (Message::Bitfield(&[]), b"\0\0\0\x01\x05"),
        (Message::Request(RANGE), b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\x01\x02\x03"),
        (
            Message::Piece { index: 1, begin: 0x4000, block: b"block" },
            b"\0\0\0\x0e\x07\0\0\0\x01\0\0\x40\0block",
        ),
        (Message::Cancel(RANGE), b"\0\0\0\x0d\x08\0\0\0\x01\0\0\x40\0\0\x01\x02\x03"),
        (Message::Port(0x1ae1), b"\0\0\0\x03\x09\x1a\xe1"),
        (Message::Suggest(7), b"\0\0\0\x05\x0d\0\0\0\x07"),
        (Message::HaveAll, b"\0\0\0\x01\x0e"),
        (Message::HaveNone, b"\0\0\0\x01\x0f"),
        (Message::Reject(RANGE), b"\0\0\0\x0d\x10\0\0\0\x01\0\0\x40\0\0\x01\x02\x03"),
        (Message::AllowedFast(7), b"\0\0\0\x05\x11\0\0\0\x07"),
        (Message::Extended { id: 3, payload: b"de" }, b"\0\0\0\x04\x14\x03de"),
        (
            Message::HashRequest(HASHES),
            b"\0\0\0\x31\x15root of a file's tree, 32 bytes.\0\0\0\x04\0\0\x02\0\0\0\0\x02\x01\x02\x03\x04",
        ),
        (
            Message::Hashes {
                request: HASHES,
                hashes: &[*b"0123456789abcdef0123456789abcdef", *b"the second one has 32 bytes too."],
            },
            b"\0\0\0\x71\x16root of a file's tree, 32 bytes.\0\0\0\x04\0\0\x02\0\0\0\0\x02\x01\x02\x03\x04\
              0123456789abcdef0123456789abcdefthe second one has 32 bytes too.",
        ),
        (
            Message::HashReject(HASHES),
            b"\0\0\0\x31\x17root of a file's tree, 32 bytes.\0\0\0\x04\0\0\x02\0\0\0\0\x02\x01\x02\x03\x04",
        ),
        (Message::Unknown(200), b"\0\0\0\x01\xc8"),
    ];

    #[test]
    fn every_message_is_written_and_read() {
        for (message, bytes) in VECTORS {
            let mut written = Vec::new();
            message.encode(&mut written);
            assert_eq!(written, *bytes, "{message:?}");
            assert_eq!(Message::decode(bytes, PIECES), Ok(Some((*message, bytes.len()))));
            for length in 0..bytes.len() {
                assert_eq!(Message::decode(&bytes[..length], PIECES), Ok(None), "{length} of {bytes:x?}");
            }
        }
    }

    #[test]
    fn messages_follow_each_other_without_gaps() {
        let mut stream: Vec<u8> = VECTORS.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        for (message, _) in VECTORS {
            let (read, size) = Message::decode(&stream, PIECES).unwrap().unwrap();
            assert_eq!(read, *message);
            stream.drain(..size);
        }
        assert!(stream.is_empty());
    }

    #[test]
    fn wrong_lengths_are_refused_as_early_as_they_can_be() {
        let limit = MAX_MESSAGE;
        for (bytes, pieces, error) in [
            (&b"\xff\xff\xff\xff"[..], PIECES, MessageError::TooLong { length: u32::MAX, limit }),
            (b"\0\0\x44\x01", PIECES, MessageError::TooLong { length: 0x4401, limit }),
            (b"\0\0\x7a\x14", 250_000, MessageError::TooLong { length: 31252, limit: 31251 }),
            (b"\0\0\x44\x01\x14", 250_000, MessageError::TooLong { length: 0x4401, limit }),
            (b"\0\0\x44\x11\x16", 250_000, MessageError::TooLong { length: 0x4411, limit }),
            (b"\0\0\0\x02\0", PIECES, MessageError::WrongLength { id: 0, length: 2 }),
            (b"\0\0\0\x04\x04", PIECES, MessageError::WrongLength { id: 4, length: 4 }),
            (b"\0\0\0\x02\x05", PIECES, MessageError::WrongLength { id: 5, length: 2 }),
            (b"\0\0\0\x04\x05", PIECES, MessageError::WrongLength { id: 5, length: 4 }),
            (b"\0\0\0\x0e\x06", PIECES, MessageError::WrongLength { id: 6, length: 14 }),
            (b"\0\0\0\x08\x07", PIECES, MessageError::WrongLength { id: 7, length: 8 }),
            (b"\0\0\0\x0c\x08", PIECES, MessageError::WrongLength { id: 8, length: 12 }),
            (b"\0\0\0\x02\x09", PIECES, MessageError::WrongLength { id: 9, length: 2 }),
            (b"\0\0\0\x01\x10", PIECES, MessageError::WrongLength { id: 16, length: 1 }),
            (b"\0\0\0\x01\x14", PIECES, MessageError::WrongLength { id: 20, length: 1 }),
            (b"\0\0\0\x30\x15", PIECES, MessageError::WrongLength { id: 21, length: 48 }),
            (b"\0\0\0\x31\x16", PIECES, MessageError::WrongLength { id: 22, length: 49 }),
            (b"\0\0\0\x52\x16", PIECES, MessageError::WrongLength { id: 22, length: 82 }),
            (b"\0\0\0\x01\x16", PIECES, MessageError::WrongLength { id: 22, length: 1 }),
            (b"\0\0\0\x51\x17", PIECES, MessageError::WrongLength { id: 23, length: 81 }),
        ] {
            assert_eq!(Message::decode(bytes, pieces), Err(error), "{bytes:x?}");
            assert_eq!(Message::decode(&bytes[..bytes.len() - 1], pieces), Ok(None), "{bytes:x?}");
        }
    }

    #[test]
    fn a_bitfield_may_be_as_long_as_the_torrent_needs() {
        let bits = vec![0x55; bitfield_length(250_000)];
        let message = Message::Bitfield(&bits);
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(Message::decode(&bytes, 250_000), Ok(Some((message, bytes.len()))));
        assert!(Message::decode(&bytes, 249_992).is_err());
    }

    #[test]
    fn the_longest_answer_to_a_hash_request_is_a_message() {
        // A tree can't be higher than 32 layers over the pieces: there are no more pieces.
        for (length, proof) in [(MAX_HASHES, 32 - MAX_HASHES.ilog2()), (1, 32)] {
            let hashes = vec![[0x5a; HASH]; (length + proof) as usize];
            let message = Message::Hashes { request: HASHES, hashes: &hashes };
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(Message::decode(&bytes, PIECES), Ok(Some((message, bytes.len()))));
        }
    }
}
