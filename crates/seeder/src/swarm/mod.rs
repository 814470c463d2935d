//! Who is told of which piece while the box is the only complete source of an item.
//!
//! Then its uplink is what everybody waits for, and it is wasted on every byte that leaves twice before all have
//! left once. So members are greeted without a piece, and told of pieces one by one: what nobody was told of
//! goes to one member alone, who gets it from here and the others from it. A few such pieces are open at each
//! member, so that the uplink always has something to do; nobody waits for a confirmation.
//!
//! Members are judged by what they pass on: whoever got pieces that nobody else shows is given less, and the
//! pieces are given to somebody else in the end. When the first copy is out (the tail), the uplink is filled with
//! the pieces that fewest members have.
//!
//! Driven by events; [`Swarm::poll_reveal`] is to be asked after them. Members that are unknown, as they have
//! left, are ignored.

mod first_copy;
mod member;
mod pieces;
mod record;
mod standing;
mod sweep;
mod tail;
mod widening;
mod withheld;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use torrent::{Block, Lengths, PieceIndex};

pub use member::Member;
pub use standing::Standing;

use member::Peer;
use pieces::{Pieces, State};
use record::Record;
use widening::Widening;

/// The uplink in bytes a second, as long as nobody knows it. Rather too little: what is revealed too early can't be
/// taken back.
const UNKNOWN_UPLINK: f64 = 2.0 * 1024.0 * 1024.0;

/// The least that an uplink is taken for, in bytes a second: a peer or two at the slowest pace.
const MIN_UPLINK: f64 = 16.0 * 1024.0;

/// The uplink is idle when it could have sent what it was given, and nobody waits, for this long.
const MIN_IDLE: Duration = Duration::from_millis(30);

/// The most that is believed to wait in sockets and the network, in time of the uplink.
const MAX_BACKLOG: Duration = Duration::from_secs(5);

/// A member that has been alone for this long is told of everything. Most swarms start with a rush.
const ALONE: Duration = Duration::from_secs(2);

/// What a member is to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reveal {
    /// One more piece.
    Piece(Member, PieceIndex),
    /// All pieces that it was not told of yet. It is not mentioned again.
    All(Member),
}

/// The hand-out of one item.
#[derive(Debug)]
pub struct Swarm {
    lengths: Lengths,
    pieces: Pieces,
    members: BTreeMap<Member, Peer>,
    next_member: u32,
    record: Record,
    /// Pieces that can't be given, in order.
    withheld: Vec<PieceIndex>,
    widening: Widening,
    /// Where the tail looks for the next piece.
    tail_cursor: u32,
    /// Further copies that were revealed since the last sweep.
    repeats: usize,
    /// Bytes a second.
    uplink: f64,
    /// Whether there are other complete sources.
    others_seed: bool,
    /// Since when at most one member is incomplete and interested, if so.
    alone_since: Option<Instant>,
    /// Members that have asked for something and whose socket takes it.
    ready: usize,
    /// Bytes that were asked for and not sent.
    queued: u64,
    /// When the uplink will have sent everything it was given.
    busy_until: Instant,
    /// When a member last did something.
    last_event: Instant,
    last_sweep: Instant,
    /// Members that are incomplete and unchoked, at least 1.
    incomplete: f64,
    /// The highest debt with which a member is given what nobody has, unless the uplink is idle.
    trusted_debt: f64,
    /// Whether there may be something to reveal.
    dirty: bool,
    /// What was decided and not told yet.
    reveals: VecDeque<Reveal>,
}

impl Swarm {
    /// A swarm without members.
    pub fn new(now: Instant, lengths: Lengths) -> Self {
        Self {
            pieces: Pieces::new(lengths.piece_count()),
            lengths,
            members: BTreeMap::new(),
            next_member: 0,
            record: Record::default(),
            withheld: Vec::new(),
            widening: Widening::default(),
            tail_cursor: 0,
            repeats: 0,
            uplink: UNKNOWN_UPLINK,
            others_seed: false,
            alone_since: Some(now),
            ready: 0,
            queued: 0,
            busy_until: now,
            last_event: now,
            last_sweep: now,
            incomplete: 1.0,
            trusted_debt: sweep::TOLERANCE,
            dirty: false,
            reveals: VecDeque::new(),
        }
    }

    /// What can be sent, in bytes a second: the configured limit, or what was measured of late.
    pub fn set_uplink(&mut self, now: Instant, bytes_per_second: u64) {
        let uplink = (bytes_per_second as f64).max(MIN_UPLINK);
        let backlog = self.busy_until.saturating_duration_since(now).as_secs_f64() * self.uplink / uplink;
        self.busy_until = now + Duration::from_secs_f64(backlog).min(MAX_BACKLOG);
        self.uplink = uplink;
    }

    /// A peer has connected and was told of no piece.
    pub fn join(&mut self, now: Instant, address: IpAddr) -> Member {
        while self.members.contains_key(&Member(self.next_member)) {
            self.next_member = self.next_member.wrapping_add(1);
        }
        let member = Member(self.next_member);
        self.next_member = self.next_member.wrapping_add(1);
        if self.alone_since.is_some() {
            // That nobody else was here and the uplink was idle means nothing now.
            self.alone_since = Some(now);
            self.busy_until = self.busy_until.max(now);
            self.widening = Widening::default();
        }
        let debt = self.record.debt(now, address);
        self.members.insert(member, Peer::new(now, address, debt, self.lengths.piece_count()));
        self.touch(now);
        member
    }

    /// The member has disconnected. What nobody else has is to be given out anew; but who has everything has not fled
    /// and seeds elsewhere now.
    pub fn leave(&mut self, now: Instant, member: Member) {
        let Some(peer) = self.members.remove(&member) else { return };
        self.ready -= usize::from(peer.is_ready());
        self.queued -= peer.queued;
        if peer.is_incomplete() {
            self.record.put(now, peer.address, peer.debt() + peer.started() as f64);
            self.pieces.forget(member, &peer.has);
        }
        self.touch(now);
    }

    /// The member says that it has a piece.
    pub fn has(&mut self, now: Instant, member: Member, piece: PieceIndex) {
        let Some(peer) = self.members.get_mut(&member) else { return };
        if peer.has.contains(piece.get()) {
            return;
        }
        peer.has.insert(piece.get());
        let was_open = peer.open.remove(&piece).is_some();
        if peer.has.is_complete() {
            self.touch(now);
        }
        self.dirty |= was_open;
        self.last_event = now;
        let giver = self.pieces.show(member, piece);
        if let Some(giver) = giver.and_then(|giver| self.members.get_mut(&giver)) {
            giver.unproven -= 1;
        }
    }

    /// The member says what it has, all at once.
    pub fn has_many(&mut self, now: Instant, member: Member, pieces: impl IntoIterator<Item = PieceIndex>) {
        pieces.into_iter().for_each(|piece| self.has(now, member, piece));
    }

    /// The member wants blocks, or does not any more.
    pub fn interested(&mut self, now: Instant, member: Member, interested: bool) {
        let Some(peer) = self.members.get_mut(&member) else { return };
        peer.interested = interested;
        self.touch(now);
    }

    /// Whether the member waits for a slot: it is interested, and choked. At first it does not, since members should be
    /// unchoked at once. Whoever waits is given nothing, and what it was given is given to others; but who is not
    /// interested must be told of something to become so.
    pub fn choked(&mut self, now: Instant, member: Member, choked: bool) {
        let changed = self.members.get_mut(&member).filter(|peer| peer.choked != choked);
        let Some(peer) = changed else { return };
        peer.choked = choked;
        if choked {
            for (piece, _) in std::mem::take(&mut peer.open) {
                if self.pieces.state(piece) == State::Given(member) {
                    self.pieces.take_back(piece);
                }
            }
        }
        self.touch(now);
    }

    /// The member's request for a block was taken on. A new piece that it was told of becomes its own by that; one
    /// that it was not told of (some clients ask for anything) only if it might be given one now.
    pub fn requested(&mut self, now: Instant, member: Member, block: Block) {
        let is_alone = self.alone_since.is_some();
        let may_claim = self.members.get(&member).is_some_and(|peer| {
            let is_trusted = peer.debt() <= self.trusted_debt && self.has_room(peer);
            peer.is_named(block.piece) || is_alone || is_trusted
        });
        let Some(peer) = self.members.get_mut(&member) else { return };
        self.ready -= usize::from(peer.is_ready());
        self.queued += u64::from(block.length);
        let is_open = peer.requested(now, block);
        self.ready += usize::from(peer.is_ready());
        if is_open && may_claim && self.pieces.state(block.piece) == State::New {
            self.pieces.give(member, block.piece);
        }
        self.last_event = now;
    }

    /// The request will not be answered, whoever wished so.
    pub fn cancelled(&mut self, member: Member, block: Block) {
        self.unqueue(member, block);
        let is_closed = self.members.get_mut(&member).is_some_and(|peer| peer.close(block.piece));
        if is_closed && self.pieces.state(block.piece) == State::Given(member) {
            self.pieces.take_back(block.piece);
            self.dirty = true;
        }
    }

    /// A block that was asked for is on its way.
    pub fn sent(&mut self, now: Instant, member: Member, block: Block) {
        self.unqueue(member, block);
        let size = self.lengths.piece_size(block.piece);
        let Some(peer) = self.members.get_mut(&member) else { return };
        let took = Duration::from_secs_f64(f64::from(block.length) / self.uplink);
        self.busy_until = (self.busy_until.max(now) + took).min(now + MAX_BACKLOG);
        if peer.sent(self.busy_until, block, size) {
            let is_unproven = self.pieces.sent(member, block.piece, peer.has.contains(block.piece.get()));
            peer.unproven += u32::from(is_unproven);
            self.dirty = true;
        }
        self.last_event = now;
    }

    /// Whether the member's socket takes no more at present.
    pub fn blocked(&mut self, now: Instant, member: Member, blocked: bool) {
        let Some(peer) = self.members.get_mut(&member) else { return };
        self.ready -= usize::from(peer.is_ready());
        peer.blocked_since = blocked.then(|| peer.blocked_since.unwrap_or(now));
        self.ready += usize::from(peer.is_ready());
    }

    /// Whether there are other complete sources. As long as there are, all members are told of everything.
    pub fn others_seed(&mut self, now: Instant, others_seed: bool) {
        self.others_seed = others_seed;
        self.touch(now);
    }

    /// What a member is to be told of now. To be asked until it is `None`, after every batch of events.
    pub fn poll_reveal(&mut self, now: Instant) -> Option<Reveal> {
        if std::mem::take(&mut self.dirty) {
            self.reveal_all(now);
            self.first_copies(now);
            self.further_copies(now);
        }
        self.reveals.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_quiet = self.last_event + sweep::DORMANT < self.last_sweep;
        let is_over = self.others_seed || !self.members.values().any(Peer::is_incomplete);
        let (soon, late) = (self.last_sweep + sweep::IDLE_PACE, self.last_sweep + sweep::PACE);
        let at = if self.ready == 0 { (self.busy_until + MIN_IDLE).clamp(soon, late) } else { late };
        (!is_quiet && !is_over).then_some(at)
    }

    /// The place of a member among those who wait for the upload limit, given the block that is next for it.
    pub fn standing(&self, member: Member, next: Block) -> Standing {
        let Some(peer) = self.members.get(&member) else { return Standing::default() };
        let others_wait = !self.others_seed && self.alone_since.is_none();
        let is_first = self.pieces.is_first(member, next.piece);
        let is_urgent = is_first && others_wait && peer.debt() <= self.trusted_debt;
        let is_started = peer.open.get(&next.piece).is_some_and(|open| open.sent > 0);
        Standing::new(is_urgent, is_started, peer.debt(), peer.sent)
    }

    fn unqueue(&mut self, member: Member, block: Block) {
        let Some(peer) = self.members.get_mut(&member) else { return };
        self.ready -= usize::from(peer.is_ready());
        self.queued -= peer.unqueue(block);
        self.ready += usize::from(peer.is_ready());
    }

    /// The members have changed, or what they want.
    fn touch(&mut self, now: Instant) {
        let wanting = self.members.values().filter(|peer| peer.is_incomplete() && peer.interested);
        let is_alone = wanting.take(2).count() < 2;
        self.alone_since = is_alone.then(|| self.alone_since.unwrap_or(now));
        self.last_event = now;
        self.dirty = true;
    }

    /// For how long the uplink has had nothing to do, if it has not just paused between two blocks.
    fn idle(&self, now: Instant) -> Option<Duration> {
        let idle = now.saturating_duration_since(self.busy_until);
        (self.ready == 0 && idle >= MIN_IDLE).then_some(idle)
    }

    /// Bytes that were sent and are still on this side of the uplink.
    fn backlog(&self, now: Instant) -> f64 {
        self.busy_until.saturating_duration_since(now).as_secs_f64() * self.uplink
    }

    fn reveal_all(&mut self, now: Instant) {
        let is_alone = self.alone_since.is_some_and(|since| now >= since + ALONE);
        if !self.others_seed && !is_alone {
            return;
        }
        for (member, peer) in self.members.iter_mut().filter(|(_, peer)| peer.is_incomplete()) {
            if peer.revealed.take().is_some() {
                self.reveals.push_back(Reveal::All(*member));
            }
        }
    }

    /// Has the member told of a piece.
    fn tell(&mut self, now: Instant, member: Member, piece: PieceIndex) {
        if let Some(peer) = self.members.get_mut(&member) {
            peer.reveal(now, piece);
            self.reveals.push_back(Reveal::Piece(member, piece));
        }
    }
}
