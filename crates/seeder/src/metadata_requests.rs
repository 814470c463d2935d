//! What a peer has asked for of the info dictionary (BEP 9). Numbers wait here, not the 16 KiB answers: not even
//! the info dictionary is held by a session, as a box has many more torrents than are asked for at a time.

use crate::bounded_queue::BoundedQueue;
use crate::message::Message;
use crate::metadata::{METADATA_PIECE, MetadataMessage};

/// Metadata requests of one peer that may wait: some clients ask for all pieces at once, and accept 10 MiB.
const MAX_WAITING: usize = 1024;

/// How many copies of the info dictionary one connection is given. More than one, since clients ask again after
/// a time-out or when the hash was wrong because of another peer's piece.
const MAX_COPIES: usize = 4;

/// A piece of the info dictionary that a peer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetadataPiece {
    /// Its number, from 0.
    pub index: u32,
    /// Where it begins in the info dictionary, in bytes.
    pub offset: u32,
    /// 1 to [`METADATA_PIECE`] bytes; only those of the last piece are fewer.
    pub length: u32,
}

/// The requests of one peer, and how it is answered.
#[derive(Debug)]
pub(crate) struct MetadataRequests {
    /// Bytes of the info dictionary.
    size: u32,
    /// The peer's number for metadata messages; 0 if it wants none.
    id: u8,
    queue: BoundedQueue<MetadataPiece>,
}

impl MetadataRequests {
    /// For an info dictionary of `size` bytes.
    pub(crate) fn new(size: u32) -> Self {
        let pieces = (size as usize).div_ceil(METADATA_PIECE);
        Self { size, id: 0, queue: BoundedQueue::new(MAX_WAITING, MAX_COPIES * pieces) }
    }

    /// Takes the peer's number for metadata messages; with 0 it turns them off.
    pub(crate) fn set_id(&mut self, id: u8) {
        self.id = id;
        if id == 0 {
            self.queue.clear();
        }
    }

    /// The peer's number for metadata messages; 0 if it wants none.
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    /// Whether the peer understands answers.
    pub(crate) fn is_on(&self) -> bool {
        self.id != 0
    }

    /// Queues a request; `false` when it has to be rejected.
    pub(crate) fn push(&mut self, index: u32) -> bool {
        self.piece(index).is_some_and(|piece| self.queue.push(piece))
    }

    /// The request that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<MetadataPiece> {
        self.queue.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The message that brings a piece, or rejects the request if `bytes` are not as many as it has.
    pub(crate) fn answer(&self, piece: MetadataPiece, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() != piece.length as usize {
            return self.reject(piece.index);
        }
        self.message(MetadataMessage::Data { piece: piece.index, total_size: self.size, bytes })
    }

    /// The message that rejects a request.
    pub(crate) fn reject(&self, index: u32) -> Option<Vec<u8>> {
        self.message(MetadataMessage::Reject(index))
    }

    /// The message as it is on the wire; `None` when the peer wants none.
    fn message(&self, message: MetadataMessage<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Message::Extended { id: self.id, payload: &message.to_bytes() }.encode(&mut out);
        self.is_on().then_some(out)
    }

    fn piece(&self, index: u32) -> Option<MetadataPiece> {
        let whole = u32::try_from(METADATA_PIECE).ok()?;
        let offset = index.checked_mul(whole).filter(|offset| *offset < self.size)?;
        Some(MetadataPiece { index, offset, length: whole.min(self.size - offset) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(size: usize) -> MetadataRequests {
        MetadataRequests::new(size.try_into().unwrap())
    }

    #[test]
    fn pieces_add_up_to_the_info_dictionary() {
        for size in [0, 1, METADATA_PIECE - 1, METADATA_PIECE, METADATA_PIECE + 1, 3 * METADATA_PIECE] {
            let mut requests = requests(size);
            let (mut count, mut end) = (0, 0);
            while requests.push(count) {
                let piece = requests.pop().unwrap();
                assert_eq!((piece.index, piece.offset), (count, end));
                count += 1;
                assert!((1..=METADATA_PIECE).contains(&(piece.length as usize)));
                end += piece.length;
            }
            assert_eq!(end as usize, size);
            assert!(requests.is_empty() && !requests.push(u32::MAX));
        }
        let most = MetadataRequests::new(u32::MAX).piece(u32::MAX / 0x4000).unwrap();
        assert_eq!((most.offset, most.length), (u32::MAX - 0x3fff, 0x3fff));
    }

    #[test]
    fn a_peer_is_given_a_few_copies_and_no_more() {
        let mut one_by_one = requests(2 * METADATA_PIECE);
        let accepted = (0..1000).filter(|asked| one_by_one.push(asked % 2)).count();
        assert_eq!(accepted, 2 * MAX_COPIES);
        let mut at_once = requests(2 * MAX_WAITING * METADATA_PIECE);
        let accepted = (0..2000).filter(|piece| at_once.push(*piece)).count();
        assert_eq!(accepted, MAX_WAITING, "requests that wait are bounded");
    }
}
