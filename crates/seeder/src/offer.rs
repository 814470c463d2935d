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

/// What has become of pieces that the peer was told of.
#[derive(Debug)]
pub(crate) struct Change {
    /// It may have these no more.
    pub(crate) withdrawn: Vec<PieceIndex>,
    /// It may have these again, and is to be told.
    pub(crate) released: Vec<PieceIndex>,
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

    /// From now on these are withheld, and no others.
    pub(crate) fn set_withheld(&mut self, withheld: &[PieceIndex]) -> Change {
        let before = std::mem::replace(&mut self.withheld, withheld.iter().copied().collect());
        Change {
            withdrawn: self.withheld.difference(&before).copied().collect(),
            released: before
                .difference(&self.withheld)
                .copied()
                .filter(|piece| self.is_revealed(*piece))
                .collect(),
        }
    }

    fn is_revealed(&self, piece: PieceIndex) -> bool {
        self.revealed.as_ref().is_none_or(|revealed| revealed.contains(piece.get()))
    }
}
