//! Handing out the info dictionary (BEP 9), which is what makes magnet links work.

use torrent::bencode::{self, Error, dictionary};

use crate::extended::LIMITS;

/// Bytes of the info dictionary in each message but the last.
pub const METADATA_PIECE: usize = 16 * 1024;

/// Our number for metadata messages.
pub(crate) const UT_METADATA_ID: u8 = 1;

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
}
