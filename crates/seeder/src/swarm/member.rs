//! One member: what it has, what it was told of, and how it does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use torrent::{Block, PieceIndex};

use crate::piece_set::PieceSet;

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
    pub(super) asked: bool,
    /// Bytes.
    pub(super) sent: u32,
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

    pub(super) fn is_told(&self, piece: PieceIndex) -> bool {
        self.revealed.as_ref().is_none_or(|revealed| revealed.contains(piece.get()))
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

    /// Bytes that are on their way to it, or soon will be: what it asks for, and what it was just told of.
    pub(super) fn pending(&self, now: Instant, young: Duration, piece_length: u64) -> u64 {
        let is_fresh = |open: &&Open| !open.asked && now.saturating_duration_since(open.since) < young;
        self.queued + self.open.values().filter(is_fresh).count() as u64 * piece_length
    }

    pub(super) fn reveal(&mut self, now: Instant, piece: PieceIndex) {
        if let Some(revealed) = &mut self.revealed {
            revealed.insert(piece.get());
        }
        self.open.insert(piece, Open { opened: now, since: now, asked: false, sent: 0 });
    }

    pub(super) fn requested(&mut self, now: Instant, block: Block) {
        let open =
            self.open.entry(block.piece).or_insert(Open { opened: now, since: now, asked: true, sent: 0 });
        open.asked = true;
        open.since = now;
        self.queued += u64::from(block.length);
    }

    /// Whether that was the last of the piece, which has `size` bytes.
    /// `at`: when it leaves for the member.
    pub(super) fn sent(&mut self, at: Instant, block: Block, size: u32) -> bool {
        self.sent += u64::from(block.length);
        self.reached = at;
        let open =
            self.open.entry(block.piece).or_insert(Open { opened: at, since: at, asked: true, sent: 0 });
        open.since = at;
        open.sent = open.sent.saturating_add(block.length);
        let is_whole = open.sent >= size;
        if is_whole {
            self.open.remove(&block.piece);
            self.has_finished_one = true;
        }
        is_whole
    }
}
