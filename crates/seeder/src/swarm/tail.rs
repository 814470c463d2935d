//! Which member is given which further copy, when no new piece is left or nobody asks for one.

use std::time::{Duration, Instant};

use torrent::PieceIndex;

use super::pieces::State;
use super::replication::MIN_PATIENCE;
use super::{Member, Peer, Swarm};

/// What is kept ahead of the uplink, in seconds of it.
const AHEAD: f64 = 0.25;

/// A reveal counts as a request for this long.
const YOUNG: Duration = Duration::from_millis(200);

/// How many times [`AHEAD`] is revealed at most, where nobody asks.
const MAX_WIDENING: f64 = 32.0;

/// How soon it is doubled again.
const WIDEN_PACE: Duration = Duration::from_millis(20);

/// When the swarm needs less than this (s) to finish by itself, nothing more is revealed of what it has.
const HOLD: f64 = 0.4;

/// The uplink is idle for so long that even what was given to one member is given to another.
const DEADLOCK: Duration = Duration::from_millis(50);

/// The uplink is idle for so long that even those are served who pass on nothing, and even what may still be passed
/// on is sent again.
const DESPERATE: Duration = Duration::from_millis(250);

/// What was sent is not sent again before this multiple of the time in which it should have been passed on.
const PATIENCE: u32 = 2;

/// Pieces that are looked at to find the one that fewest have.
const LOOK: usize = 2048;

/// What the tail remembers.
#[derive(Debug, Default)]
pub(super) struct Tail {
    widening: f64,
    widened: Option<Instant>,
    /// Pieces that members have shown since the last sweep, and in a second (mean).
    haves: u32,
    have_rate: f64,
    /// Mean reaction of members (s).
    pub(super) reaction: f64,
    /// Pieces that are missing at members.
    pub(super) missing: u64,
    /// Where to look for the next piece.
    cursor: u32,
}

impl Tail {
    pub(super) fn count_have(&mut self) {
        self.haves += 1;
        self.missing = self.missing.saturating_sub(1);
    }

    /// `elapsed`: since this was last done (s).
    pub(super) fn sweep(&mut self, elapsed: f64) {
        self.have_rate += (f64::from(self.haves) / elapsed - self.have_rate) * (elapsed / 0.5).min(1.0);
        self.haves = 0;
    }

    /// Bytes to keep ahead, given what is queued.
    fn ahead(&mut self, now: Instant, base: f64, queued: f64, is_idle: bool) -> f64 {
        let may_widen = self.widened.is_none_or(|at| now.saturating_duration_since(at) > WIDEN_PACE);
        if is_idle && queued <= 0.0 && may_widen {
            self.widening = (self.widening * 2.0).min(MAX_WIDENING);
            self.widened = Some(now);
        } else if queued > base {
            self.widening *= 0.95;
        }
        self.widening = self.widening.max(1.0);
        base * self.widening
    }
}

impl Swarm {
    pub(super) fn further_copy(&mut self, now: Instant) -> Option<(Member, PieceIndex)> {
        let idle = self.idle(now);
        let base = AHEAD * self.uplink;
        if self.pieces.new_count() > 0 && idle.is_none() {
            return None;
        }
        let backlog = self.busy_until.saturating_duration_since(now).as_secs_f64() * self.uplink;
        let queued = self.queued as f64 + backlog;
        let ahead = self.tail.ahead(now, base, queued, idle.is_some());
        if queued >= base {
            return None;
        }
        let is_desperate = idle.is_some_and(|idle| idle > DESPERATE);
        let debt = if is_desperate { f64::MAX } else { self.trusted_debt + 0.5 };
        let piece_length = self.lengths.piece_length();
        let mut receivers: Vec<_> = self
            .members
            .iter()
            .filter(|(_, peer)| peer.is_incomplete() && peer.revealed.is_some())
            .map(|(member, peer)| (peer.pending(now, YOUNG, piece_length), peer.has.len(), *member))
            .collect();
        let pending: u64 = receivers.iter().map(|(pending, ..)| pending).sum();
        if pending as f64 + backlog >= ahead {
            return None;
        }
        receivers.retain(|(.., member)| self.members.get(member).is_some_and(|peer| peer.debt() <= debt));
        receivers.sort_unstable_by_key(|(pending, has, member)| {
            (pending / u64::from(piece_length), *has, *member)
        });
        let is_stuck = idle.is_some_and(|idle| idle > DEADLOCK);
        receivers.into_iter().find_map(|(.., member)| {
            let piece = self.rarest_for(now, member, is_stuck, is_desperate)?;
            self.pieces.repeat(piece);
            Some((member, piece))
        })
    }

    /// The piece that fewest have, of those the member may be told of.
    fn rarest_for(
        &mut self,
        now: Instant,
        member: Member,
        is_stuck: bool,
        is_desperate: bool,
    ) -> Option<PieceIndex> {
        let peer = self.members.get(&member)?;
        let hold = (self.tail.missing as f64) < HOLD * self.tail.have_rate;
        let patience = self.replication.patience(PATIENCE).unwrap_or(MIN_PATIENCE);
        let may = |piece: PieceIndex| match self.pieces.state(piece) {
            State::New => false,
            State::Given(_) => is_stuck,
            State::Unproven(giver) => is_desperate || self.is_overdue(now, giver, piece, patience),
            State::Out => !hold || self.pieces.availability(piece) <= 1,
        };
        let best = untold(peer, self.tail.cursor, self.pieces.count())
            .take(LOOK)
            .filter_map(|index| self.lengths.piece(index))
            .filter(|piece| may(*piece))
            .min_by_key(|piece| self.pieces.spread(*piece))?;
        self.tail.cursor = best.get() + 1;
        Some(best)
    }

    fn is_overdue(&self, now: Instant, giver: Member, piece: PieceIndex, patience: Duration) -> bool {
        let sent = self.members.get(&giver).and_then(|peer| peer.unproven.get(&piece));
        sent.is_none_or(|sent| now.saturating_duration_since(*sent) >= patience)
    }
}

/// Pieces that the member neither has nor was told of, round from `from`.
fn untold(peer: &Peer, from: u32, count: u32) -> impl Iterator<Item = u32> {
    let bytes = count.div_ceil(8).max(1);
    let first = from / 8 % bytes;
    (first..bytes).chain(0..first).flat_map(move |byte| {
        let bits = peer.untold(byte as usize);
        (0..8).filter(move |bit| bits & (0x80 >> bit) != 0).map(move |bit| byte * 8 + bit)
    })
}
