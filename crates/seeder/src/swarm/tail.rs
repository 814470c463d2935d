//! Which member is given which further copy, when no new piece is left or nobody asks for one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use torrent::PieceIndex;

use super::member::Open;
use super::pieces::State;
use super::{Member, Peer, Swarm};

/// What is kept ahead of the uplink, in seconds of it.
const AHEAD: f64 = 0.25;

/// A reveal counts as a request for this long.
const YOUNG: Duration = Duration::from_millis(200);

/// The uplink is idle for so long that even what was given to one member is given to another.
const STUCK: Duration = Duration::from_millis(50);

/// The uplink is idle for so long that even those are served who pass on nothing, and even what may still be passed
/// on is sent again.
const DESPERATE: Duration = Duration::from_millis(250);

/// Pieces that are looked at to find the one that fewest have.
const LOOK: usize = 2048;

/// Members that are tried in vain until it is left.
const MAX_TRIES: usize = 16;

/// Further copies that are revealed from one sweep to the next: the work for one event is bounded.
const MAX_REPEATS: usize = 256;

impl Swarm {
    /// Tells members of pieces, those first that have least to do, of those that can be trusted with it.
    pub(super) fn further_copies(&mut self, now: Instant) {
        let idle = self.idle(now);
        let is_first_copy = self.pieces.new_count() > 0 && idle.is_none();
        if is_first_copy || self.is_busy(now) || self.repeats >= MAX_REPEATS {
            return;
        }
        let idle = idle.unwrap_or_default();
        let piece_length = u64::from(self.lengths.piece_length());
        let (mut receivers, mut pending) = (BinaryHeap::new(), self.backlog(now));
        for (member, peer) in self.members.iter().filter(|(_, peer)| self.may_receive(peer, idle)) {
            let of_it = peer.pending(now, YOUNG, piece_length);
            receivers.push(Reverse((of_it / piece_length, peer.has.len(), *member)));
            pending += of_it as f64;
        }
        let enough = AHEAD * self.uplink * self.widening.factor();
        let mut tries = 0;
        while pending < enough
            && self.repeats < MAX_REPEATS
            && tries < MAX_TRIES
            && let Some(Reverse((waiting, has, member))) = receivers.pop()
        {
            let Some(piece) = self.rarest_for(now, member, idle) else {
                tries += 1;
                continue;
            };
            self.repeat(piece);
            self.tell(now, member, piece);
            let Some(peer) = self.members.get(&member) else { continue };
            if peer.has_finished_one {
                pending += piece_length as f64;
            }
            if self.may_receive(peer, idle) {
                receivers.push(Reverse((waiting + 1, has, member)));
            }
        }
    }

    /// Whether a further copy is of use with the member. Whoever has not taken a whole piece may be one who only listens,
    /// and is told of one at a time.
    fn may_receive(&self, peer: &Peer, idle: Duration) -> bool {
        let is_good = peer.debt() <= self.trusted_debt && (peer.has_finished_one || peer.open.is_empty());
        peer.takes_reveals() && (is_good || idle > DESPERATE)
    }

    /// Whether enough waits to be sent.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.queued as f64 + self.backlog(now) >= AHEAD * self.uplink
    }

    /// From now on nobody can tell whether it was passed on: whoever got it first has not done so in time.
    fn repeat(&mut self, piece: PieceIndex) {
        self.repeats += 1;
        let giver = self.pieces.repeat(piece);
        if let Some(giver) = giver.and_then(|giver| self.members.get_mut(&giver)) {
            giver.bad += f64::from(u8::from(giver.debt() > self.trusted_debt));
            giver.unproven -= 1;
        }
    }

    /// The piece that fewest have, of those the member may be told of.
    fn rarest_for(&mut self, now: Instant, member: Member, idle: Duration) -> Option<PieceIndex> {
        let peer = self.members.get_mut(&member)?;
        if untold(peer, 0, self.pieces.count()).next().is_none_or(|index| index >= self.pieces.count()) {
            peer.revealed = None;
            return None;
        }
        let peer = self.members.get(&member)?;
        let may = |piece: PieceIndex| match self.pieces.state(piece) {
            State::New | State::Withheld => false,
            State::Given(giver) => idle > STUCK || self.is_left_alone(now, piece, giver),
            State::Unproven(giver) => idle > DESPERATE || !self.is_trusted(giver),
            State::Out => true,
        };
        let best = untold(peer, self.tail_cursor, self.pieces.count())
            .take(LOOK)
            .filter_map(|index| self.lengths.piece(index))
            .filter(|piece| may(*piece))
            .min_by_key(|piece| self.pieces.spread(*piece))?;
        self.tail_cursor = best.get() + 1;
        Some(best)
    }

    /// Whether the piece was given to somebody who does not ask for it and has not taken one yet.
    fn is_left_alone(&self, now: Instant, piece: PieceIndex, giver: Member) -> bool {
        let Some(peer) = self.members.get(&giver) else { return true };
        let is_unused = |open: &Open| !open.asked && now.saturating_duration_since(open.since) >= YOUNG;
        !peer.has_finished_one && peer.open.get(&piece).is_none_or(is_unused)
    }

    fn is_trusted(&self, member: Member) -> bool {
        self.members.get(&member).is_some_and(|peer| peer.debt() <= self.trusted_debt)
    }
}

/// Pieces that the member neither has nor was told of, round from `from`.
fn untold(peer: &Peer, from: u32, count: u32) -> impl Iterator<Item = u32> {
    let bytes = count.div_ceil(8);
    let first = from / 8 % bytes.max(1);
    (first..bytes).chain(0..first).flat_map(move |byte| {
        let bits = peer.untold(byte as usize);
        (0..8).filter(move |bit| bits & (0x80 >> bit) != 0).map(move |bit| byte * 8 + bit)
    })
}
