//! One member: what it has, what it was told of, and how it does.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use torrent::{Block, MAX_BLOCK, PieceIndex};

use crate::piece_set::PieceSet;
use crate::requests::MAX_REQUESTS;

/// Pieces that may be open at a member; what it asks for beyond that is a repeat. Twice what it can ask for at once.
pub(super) const MAX_OPEN: usize = 2 * MAX_REQUESTS;

/// The key of a member; not used again before four billion others have joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member(pub(super) u32);

/// A piece that a member was told of or asks for, and that was not sent whole.
#[derive(Debug)]
pub(super) struct Open {
    /// When it was revealed, or first asked for.
    pub(super) opened: Instant,
    /// When it was revealed, asked for or last sent of.
    pub(super) since: Instant,
    /// When it was revealed, first asked for, or got further.
    pub(super) moved: Instant,
    pub(super) asked: bool,
    /// Bytes that were asked for and not sent.
    queued: u32,
    /// Bytes; those that were sent again do not count.
    pub(super) sent: u32,
    /// Where blocks begin that were sent, if at a multiple of their usual size, as with all clients.
    begins: BTreeSet<u32>,
}

impl Open {
    fn new(now: Instant, asked: bool) -> Self {
        Self { opened: now, since: now, moved: now, asked, queued: 0, sent: 0, begins: BTreeSet::new() }
    }

    fn sent(&mut self, at: Instant, block: Block) {
        self.since = at;
        if !block.begin.is_multiple_of(MAX_BLOCK) || self.begins.insert(block.begin) {
            self.moved = at;
            self.sent = self.sent.saturating_add(block.length);
        }
    }
}

/// The state of a member.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) has: PieceSet,
    /// `None` if it was told of everything.
    pub(super) revealed: Option<PieceSet>,
    pub(super) interested: bool,
    pub(super) choked: bool,
    /// Since when its socket has taken nothing.
    pub(super) blocked_since: Option<Instant>,
    /// Bytes that it has asked for and not been sent.
    pub(super) queued: u64,
    /// Bytes that it was sent.
    pub(super) sent: u64,
    /// When the last of it left; what it is told of later waits behind that.
    pub(super) reached: Instant,
    pub(super) open: BTreeMap<PieceIndex, Open>,
    /// Pieces that it got and nobody else shows.
    pub(super) unproven: u32,
    /// Pieces' worth of disappointment. Fades.
    pub(super) bad: f64,
    /// Whether it was sent a whole piece.
    pub(super) has_finished_one: bool,
    /// The state of the item (see `Pieces::returned`) in which there was nothing new for it.
    pub(super) exhausted: Option<u64>,
}

impl Peer {
    pub(super) fn new(now: Instant, address: IpAddr, bad: f64, piece_count: u32) -> Self {
        Self {
            address,
            has: PieceSet::new(piece_count),
            revealed: Some(PieceSet::new(piece_count)),
            interested: false,
            choked: false,
            blocked_since: None,
            queued: 0,
            sent: 0,
            reached: now,
            open: BTreeMap::new(),
            unproven: 0,
            bad,
            has_finished_one: false,
            exhausted: None,
        }
    }

    pub(super) fn is_incomplete(&self) -> bool {
        !self.has.is_complete()
    }

    /// Whether there may be something left to tell it, and of use to it.
    pub(super) fn takes_reveals(&self) -> bool {
        self.is_served() && self.revealed.is_some()
    }

    pub(super) fn is_served(&self) -> bool {
        self.is_incomplete() && !self.choked
    }

    pub(super) fn is_ready(&self) -> bool {
        self.queued > 0 && self.blocked_since.is_none()
    }

    /// Pieces that it got and has not passed on, as far as is known.
    pub(super) fn debt(&self) -> f64 {
        f64::from(self.unproven) + self.bad
    }

    /// Number of pieces of which it got some.
    pub(super) fn started(&self) -> usize {
        self.open.values().filter(|open| open.sent > 0).count()
    }

    /// Of eight pieces those that it neither has nor was told of, as bits.
    pub(super) fn untold(&self, byte: usize) -> u8 {
        !(self.has.bits()[byte] | self.revealed.as_ref().map_or(0xff, |revealed| revealed.bits()[byte]))
    }

    /// Bytes that are on their way to it, or soon will be: what it asks for, and what it was just told of, if it has shown
    /// that it takes something.
    pub(super) fn pending(&self, now: Instant, young: Duration, piece_length: u64) -> u64 {
        let is_fresh = |open: &&Open| {
            self.has_finished_one && !open.asked && now.saturating_duration_since(open.since) < young
        };
        self.queued + self.open.values().filter(is_fresh).count() as u64 * piece_length
    }

    pub(super) fn reveal(&mut self, now: Instant, piece: PieceIndex) {
        if let Some(revealed) = &mut self.revealed {
            revealed.insert(piece.get());
        }
        self.open.insert(piece, Open::new(now, false));
    }

    /// Whether it was told of that piece by name.
    pub(super) fn is_named(&self, piece: PieceIndex) -> bool {
        self.revealed.as_ref().is_some_and(|revealed| revealed.contains(piece.get()))
    }

    /// Whether the piece is open now.
    pub(super) fn requested(&mut self, now: Instant, block: Block) -> bool {
        self.queued += u64::from(block.length);
        let Some(open) = self.open_piece(now, block.piece) else { return false };
        open.asked = true;
        open.since = now;
        open.queued = open.queued.saturating_add(block.length);
        true
    }

    /// A request was answered, or will not be. The bytes that do not wait any more.
    pub(super) fn unqueue(&mut self, block: Block) -> u64 {
        if let Some(open) = self.open.get_mut(&block.piece) {
            open.queued = open.queued.saturating_sub(block.length);
        }
        let length = self.queued.min(block.length.into());
        self.queued -= length;
        length
    }

    /// Forgets an open piece that was asked for, if nothing of it was sent or will be. Whether it did.
    pub(super) fn close(&mut self, piece: PieceIndex) -> bool {
        let is_over =
            self.open.get(&piece).is_some_and(|open| open.asked && open.queued == 0 && open.sent == 0);
        is_over && self.open.remove(&piece).is_some()
    }

    fn open_piece(&mut self, now: Instant, piece: PieceIndex) -> Option<&mut Open> {
        let has_room = self.open.len() < MAX_OPEN;
        match self.open.entry(piece) {
            Entry::Occupied(open) => Some(open.into_mut()),
            Entry::Vacant(place) => has_room.then(|| place.insert(Open::new(now, true))),
        }
    }

    /// Whether that was the last of the piece, which has `size` bytes.
    /// `at`: when it leaves for the member.
    pub(super) fn sent(&mut self, at: Instant, block: Block, size: u32) -> bool {
        self.sent += u64::from(block.length);
        self.reached = at;
        let Some(open) = self.open_piece(at, block.piece) else { return false };
        open.sent(at, block);
        let is_whole = open.sent >= size;
        if is_whole {
            self.open.remove(&block.piece);
            self.has_finished_one = true;
        }
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use torrent::Lengths;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "there is no other way to get an origin")]
    fn who_asks_for_everything_has_a_limited_number_of_pieces_open() {
        let (now, lengths) = (Instant::now(), Lengths::new(10_000, 1).unwrap());
        let mut peer = Peer::new(now, IpAddr::V4(Ipv4Addr::LOCALHOST), 0.0, lengths.piece_count());
        for index in 0..lengths.piece_count() {
            let block = lengths.block(index, 0, 1).unwrap();
            assert_eq!(peer.requested(now, block), (index as usize) < MAX_OPEN);
        }
        assert_eq!((peer.open.len(), peer.queued), (MAX_OPEN, 10_000));
    }
}
