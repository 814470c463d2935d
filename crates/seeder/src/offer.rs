//! The pieces that a peer may have of this side, and those it was told of.

use std::collections::BTreeSet;

use torrent::PieceIndex;

use crate::piece_set::PieceSet;

/// A peer may have all pieces but those that are withheld. Where pieces are handed out it was told of some: who asks for
/// another one, as no client does, is given it all the same, when it is of use to nobody else to send something.
#[derive(Debug)]
pub(crate) struct Offer {
    /// `None` where all are.
    revealed: Option<PieceSet>,
    withheld: BTreeSet<PieceIndex>,
}

impl Offer {
    /// All of `piece_count` pieces, or none to begin with, and never those that are withheld.
    pub(crate) fn new(piece_count: u32, is_handed_out: bool, withheld: Vec<PieceIndex>) -> Self {
        let revealed = is_handed_out.then(|| PieceSet::new(piece_count));
        Self { revealed, withheld: withheld.into_iter().collect() }
    }

    /// Whether pieces are revealed one by one.
    pub(crate) fn is_handed_out(&self) -> bool {
        self.revealed.is_some()
    }

    /// Whether the peer may have it.
    pub(crate) fn has(&self, piece: PieceIndex) -> bool {
        !self.withheld.contains(&piece)
    }

    /// Whether the peer is to be told of the piece, which it was not told of before.
    pub(crate) fn reveal(&mut self, piece: PieceIndex) -> bool {
        let is_new = !self.is_revealed(piece);
        if let Some(revealed) = &mut self.revealed {
            revealed.insert(piece.get());
        }
        is_new && !self.withheld.contains(&piece)
    }

    /// Whether this is a change.
    pub(crate) fn withhold(&mut self, piece: PieceIndex) -> bool {
        self.withheld.insert(piece)
    }

    /// Whether the peer is to be told that it may have the piece again.
    pub(crate) fn release(&mut self, piece: PieceIndex) -> bool {
        self.withheld.remove(&piece) && self.is_revealed(piece)
    }

    fn is_revealed(&self, piece: PieceIndex) -> bool {
        self.revealed.as_ref().is_none_or(|revealed| revealed.contains(piece.get()))
    }
}
