//! What a peer says it has.

use crate::close::Close;
use crate::piece_set::PieceSet;

/// Bitfields and their like that a peer may send. One is right, at first (BEP 3); some clients send it again when they have
/// got the metadata.
const MAX_BITFIELDS: usize = 8;

/// The pieces that a peer has.
#[derive(Debug)]
pub(crate) struct Have {
    pieces: PieceSet,
    piece_count: u32,
    bitfields: usize,
}

impl Have {
    /// None of `piece_count` pieces.
    pub(crate) fn new(piece_count: u32) -> Self {
        Self { pieces: PieceSet::new(piece_count), piece_count, bitfields: 0 }
    }

    /// It has got one more.
    pub(crate) fn insert(&mut self, index: u32) -> Result<(), Close> {
        if self.pieces.insert(index) { Ok(()) } else { Err(Close::NoSuchPiece(index)) }
    }

    /// It says anew what it has.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut PieceSet)) -> Result<(), Close> {
        self.bitfields += 1;
        if self.bitfields > MAX_BITFIELDS {
            return Err(Close::TooManyBitfields);
        }
        change(&mut self.pieces);
        Ok(())
    }

    pub(crate) fn pieces(&self) -> &PieceSet {
        &self.pieces
    }

    /// The part of all pieces, 0 to 1.
    pub(crate) fn part(&self) -> f64 {
        f64::from(self.pieces.len()) / f64::from(self.piece_count.max(1))
    }
}
