//! How far each piece has come.

use torrent::PieceIndex;

use super::Member;
use crate::piece_set::PieceSet;

/// How far a piece has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has it, and nobody was told of it who still may want it.
    New,
    /// Given to one member, and not sent whole.
    Given(Member),
    /// Sent to that member, and nobody else has shown it.
    Unproven(Member),
    /// In the swarm.
    Out,
    /// Can't be given at present.
    Withheld,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    state: State,
    /// Members that have it.
    availability: u32,
    /// How often somebody was told of it as a further copy.
    repeats: u16,
}

/// The pieces of the item.
#[derive(Debug)]
pub(super) struct Pieces {
    all: Box<[Piece]>,
    new: PieceSet,
    /// Where to look for the next new piece.
    cursor: u32,
    /// How often pieces have become new again.
    returned: u64,
}

impl Pieces {
    pub(super) fn new(piece_count: u32) -> Self {
        let piece = Piece { state: State::New, availability: 0, repeats: 0 };
        let mut new = PieceSet::new(piece_count);
        new.fill();
        Self { all: vec![piece; piece_count as usize].into(), new, cursor: 0, returned: 0 }
    }

    pub(super) fn state(&self, piece: PieceIndex) -> State {
        self.at(piece).state
    }

    /// How many have a piece, or were told of it in the tail.
    pub(super) fn spread(&self, piece: PieceIndex) -> u32 {
        let piece = self.at(piece);
        piece.availability + u32::from(piece.repeats)
    }

    /// Whether what is sent of the piece to this member is its first copy.
    pub(super) fn is_first(&self, member: Member, piece: PieceIndex) -> bool {
        self.state(piece) == State::Given(member)
    }

    /// Number of new pieces.
    pub(super) fn new_count(&self) -> u32 {
        self.new.len()
    }

    /// Grows when there are other new pieces than before.
    pub(super) fn returned(&self) -> u64 {
        self.returned
    }

    /// Number of pieces.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// The next new piece of those that `of` has in its bits.
    pub(super) fn next_new(&mut self, of: impl Fn(usize) -> u8) -> Option<u32> {
        let found = self.new.next_common(self.cursor, of)?;
        self.cursor = found + 1;
        Some(found)
    }

    pub(super) fn give(&mut self, member: Member, piece: PieceIndex) {
        self.set(piece, State::Given(member));
    }

    /// Somebody is told of it as a further copy. Who got it, if nobody else has shown it.
    pub(super) fn repeat(&mut self, piece: PieceIndex) -> Option<Member> {
        let at = self.at_mut(piece);
        at.repeats = at.repeats.saturating_add(1);
        let State::Unproven(giver) = at.state else { return None };
        at.state = State::Out;
        Some(giver)
    }

    /// Can't be given for now. How far it had come.
    pub(super) fn withhold(&mut self, piece: PieceIndex) -> State {
        let before = self.state(piece);
        self.set(piece, State::Withheld);
        before
    }

    /// Can be given again.
    pub(super) fn release(&mut self, piece: PieceIndex) {
        let is_elsewhere = self.at(piece).availability > 0;
        self.set(piece, if is_elsewhere { State::Out } else { State::New });
    }

    /// Was sent whole. Whether it is unproven now; `shown`: the member has said that it has it.
    pub(super) fn sent(&mut self, member: Member, piece: PieceIndex, shown: bool) -> bool {
        if !matches!(self.state(piece), State::New | State::Given(_)) {
            return false;
        }
        let is_elsewhere = self.at(piece).availability > u32::from(shown);
        self.set(piece, if is_elsewhere { State::Out } else { State::Unproven(member) });
        !is_elsewhere
    }

    /// A member has shown that it has the piece. Who got it, if this proves that it was passed on.
    pub(super) fn show(&mut self, member: Member, piece: PieceIndex) -> Option<Member> {
        self.at_mut(piece).availability += 1;
        let giver = match self.state(piece) {
            State::Withheld => return None,
            State::Unproven(giver) if giver == member => return None,
            State::Unproven(giver) => Some(giver),
            State::New | State::Given(_) | State::Out => None,
        };
        self.set(piece, State::Out);
        giver
    }

    /// Is to be given to somebody else.
    pub(super) fn take_back(&mut self, piece: PieceIndex) {
        self.set(piece, State::New);
    }

    /// The member is gone, and what it had.
    pub(super) fn forget(&mut self, member: Member, had: &PieceSet) {
        for (index, at) in (0..).zip(&mut self.all) {
            let had = had.contains(index);
            at.availability -= u32::from(had);
            let was_its = matches!(at.state, State::Given(of) | State::Unproven(of) if of == member);
            if at.availability == 0 && (was_its || had && at.state == State::Out) {
                at.state = State::New;
                self.new.insert(index);
                self.returned += 1;
            } else if was_its {
                at.state = State::Out;
            }
        }
    }

    fn set(&mut self, piece: PieceIndex, state: State) {
        self.at_mut(piece).state = state;
        if state == State::New {
            self.new.insert(piece.get());
            self.returned += 1;
        } else {
            self.new.remove(piece);
        }
    }

    fn at(&self, piece: PieceIndex) -> &Piece {
        &self.all[piece.get() as usize]
    }

    fn at_mut(&mut self, piece: PieceIndex) -> &mut Piece {
        &mut self.all[piece.get() as usize]
    }
}
