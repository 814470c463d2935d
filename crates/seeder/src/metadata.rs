//! Handing out the info dictionary (BEP 9), which is what makes magnet links work.

use std::collections::VecDeque;

use torrent::bencode::{self, Error, dictionary};

use crate::extended::LIMITS;

/// Bytes of the info dictionary in each message but the last.
pub const METADATA_PIECE: usize = 16 * 1024;

/// Metadata requests of one peer that may wait: some clients ask for all pieces at once, and accept 10 MiB.
const MAX_WAITING: usize = 1024;

/// Our number for metadata messages.
pub(crate) const UT_METADATA_ID: u8 = 1;

/// How many copies of the info dictionary one connection is given. More than one, since clients ask again after
/// a time-out or when the hash was wrong because of another peer's piece.
const MAX_COPIES: usize = 4;

/// A message of the `ut_metadata` extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataMessage<'a> {
    /// The sender wants this piece of the info dictionary.
    Request(u32),
    /// A piece of the info dictionary.
    Data {
        /// Which one.
        piece: u32,
        /// Size (bytes) of the whole info dictionary.
        total_size: u32,
        /// The piece, [`METADATA_PIECE`] bytes unless it is the last.
        bytes: &'a [u8],
    },
    /// This request will not be answered.
    Reject(u32),
}

impl<'a> MetadataMessage<'a> {
    /// Reads the payload of an extension message; `None` for kinds that are not known and must be ignored.
    ///
    /// # Errors
    /// When the payload does not begin with a bencoded value within [`MAX_MESSAGE`](crate::MAX_MESSAGE) and 8
    /// levels.
    pub fn parse(payload: &'a [u8]) -> Result<Option<Self>, Error> {
        let (value, used) = bencode::scan_prefix(payload, LIMITS)?;
        let number = |key| value.as_dictionary()?.get(key)?.as_integer()?.try_into().ok();
        let (Some(kind), Some(piece)) = (number(b"msg_type"), number(b"piece")) else { return Ok(None) };
        Ok(match kind {
            0 => Some(Self::Request(piece)),
            1 => number(b"total_size").map(|total_size| Self::Data {
                piece,
                total_size,
                bytes: &payload[used..],
            }),
            2 => Some(Self::Reject(piece)),
            _ => None,
        })
    }

    /// The payload of the extension message.
    pub fn to_bytes(&self) -> Vec<u8> {
        match *self {
            Self::Request(piece) => header(0, piece, None),
            Self::Reject(piece) => header(2, piece, None),
            Self::Data { piece, total_size, bytes } => {
                let mut payload = header(1, piece, Some(total_size));
                payload.extend_from_slice(bytes);
                payload
            }
        }
    }
}

fn header(kind: u8, piece: u32, total_size: Option<u32>) -> Vec<u8> {
    dictionary(|d| {
        d.integer(b"msg_type", kind);
        d.integer(b"piece", piece);
        if let Some(size) = total_size {
            d.integer(b"total_size", size);
        }
    })
}

/// The requests of one peer for metadata. Numbers wait here, not the 16 KiB answers.
#[derive(Debug, Default)]
pub(crate) struct MetadataRequests {
    waiting: VecDeque<u32>,
    /// Requests that were taken on over the life of the connection.
    accepted: usize,
}

impl MetadataRequests {
    /// Queues a request; `false` when it has to be rejected.
    pub(crate) fn push(&mut self, piece: u32, info_bytes: &[u8]) -> bool {
        let pieces = info_bytes.len().div_ceil(METADATA_PIECE);
        let accept = (piece as usize) < pieces
            && self.waiting.len() < MAX_WAITING
            && self.accepted < MAX_COPIES * pieces;
        if accept {
            self.accepted += 1;
            self.waiting.push_back(piece);
        }
        accept
    }

    /// Forgets all requests.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The payload that answers the request that has waited longest.
    pub(crate) fn pop(&mut self, info_bytes: &[u8]) -> Option<Vec<u8>> {
        let piece = self.waiting.pop_front()?;
        let bytes = info_bytes.chunks(METADATA_PIECE).nth(piece as usize)?;
        let total_size = u32::try_from(info_bytes.len()).ok()?;
        Some(MetadataMessage::Data { piece, total_size, bytes }.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &[(MetadataMessage, &[u8])] = &[
        (MetadataMessage::Request(0), b"d8:msg_typei0e5:piecei0ee"),
        (
            MetadataMessage::Data { piece: 1, total_size: 34_256, bytes: b"xxxx" },
            b"d8:msg_typei1e5:piecei1e10:total_sizei34256eexxxx",
        ),
        (MetadataMessage::Reject(7), b"d8:msg_typei2e5:piecei7ee"),
    ];

    #[test]
    fn every_message_is_written_and_read() {
        for (message, bytes) in VECTORS {
            assert_eq!(message.to_bytes().escape_ascii().to_string(), bytes.escape_ascii().to_string());
            assert_eq!(MetadataMessage::parse(bytes), Ok(Some(*message)));
        }
    }

    #[test]
    fn unknown_and_incomplete_messages_are_ignored() {
        for payload in [
            &b"d8:msg_typei3e5:piecei0ee"[..],
            b"d8:msg_typei-1e5:piecei0ee",
            b"d8:msg_typei0ee",
            b"d8:msg_typei0e5:piecei-1ee",
            b"d8:msg_typei0e5:piecei4294967296ee",
            b"d8:msg_typei1e5:piecei0ee",
            b"d5:piecei0ee",
            b"i0e",
        ] {
            assert_eq!(MetadataMessage::parse(payload), Ok(None), "{}", payload.escape_ascii());
        }
        assert!(MetadataMessage::parse(b"d8:msg_typei0e5:piece").is_err());
        assert!(MetadataMessage::parse(b"").is_err());
    }

    #[test]
    fn pieces_add_up_to_the_info_dictionary() {
        for size in [1, METADATA_PIECE - 1, METADATA_PIECE, METADATA_PIECE + 1, 3 * METADATA_PIECE] {
            let info_bytes: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0]).collect();
            let mut requests = MetadataRequests::default();
            let mut got = Vec::new();
            for piece in 0.. {
                if !requests.push(piece, &info_bytes) {
                    break;
                }
                let answer = requests.pop(&info_bytes).unwrap();
                let Ok(Some(MetadataMessage::Data { bytes, .. })) = MetadataMessage::parse(&answer) else {
                    panic!("{answer:?}");
                };
                got.extend_from_slice(bytes);
            }
            assert_eq!(got, info_bytes, "{size} bytes");
            assert_eq!(requests.pop(&info_bytes), None);
        }
    }

    #[test]
    fn a_peer_is_given_a_few_copies_and_no_more() {
        let info_bytes = vec![0; 2 * METADATA_PIECE];
        let mut requests = MetadataRequests::default();
        let accepted = (0..1000).filter(|asked| requests.push(asked % 2, &info_bytes)).count();
        assert_eq!(accepted, 2 * MAX_COPIES);
        let info_bytes = vec![0; 2 * MAX_WAITING * METADATA_PIECE];
        let mut requests = MetadataRequests::default();
        let accepted = (0..2000).filter(|piece| requests.push(*piece, &info_bytes)).count();
        assert_eq!(accepted, MAX_WAITING, "requests that wait are bounded");
    }
}
