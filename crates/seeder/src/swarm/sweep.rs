//! What time does: what was given in vain is given to others, and members are judged.

use std::time::{Duration, Instant};

use torrent::PieceIndex;

use super::member::{Open, Peer};
use super::pieces::State;
use super::{Swarm, record};

/// How often this is done while something is sent, and while nothing is.
pub(super) const PACE: Duration = Duration::from_millis(100);
pub(super) const IDLE_PACE: Duration = Duration::from_millis(20);

/// After this time in which no member did anything there is nothing to be done.
pub(super) const DORMANT: Duration = Duration::from_secs(10);

/// Time for a member to ask for a piece that it was given.
const ASK_LIMIT: Duration = Duration::from_secs(1);

/// Time for it to go on with a piece that it has begun, and for its socket to take something.
const GO_ON_LIMIT: Duration = Duration::from_secs(3);

/// Time for a piece that was given to get further, though its member waits for others, beyond twice the time in which
/// the uplink sends what is open at all members.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// After this time a member that takes less than this part of its share, though nothing else would hinder it, is slow.
const SLOW_AFTER: Duration = Duration::from_secs(5);
const SLOW: f64 = 0.1;

/// A debt in pieces that anybody may have.
pub(super) const TOLERANCE: f64 = 1.5;

impl Swarm {
    /// Does what is due by the clock.
    pub fn handle_timeout(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last_sweep);
        if elapsed < IDLE_PACE {
            return;
        }
        self.last_sweep = now;
        self.repeats = 0;
        if self.idle(now).is_some() {
            self.widening.grow(now);
        } else if self.is_busy(now) {
            self.widening.shrink();
        }
        self.take_back_unused(now);
        self.judge_members(elapsed);
        self.dirty = true;
    }

    /// Takes back what members were given and make nothing of, so that others are given it.
    fn take_back_unused(&mut self, now: Instant) {
        let slow = SLOW * self.uplink / self.incomplete;
        let all_open = self.window() * self.incomplete * f64::from(self.lengths.piece_length());
        let stalled = STALL_LIMIT + Duration::from_secs_f64(2.0 * all_open / self.uplink);
        let stalled = self.alone_since.is_none().then_some(stalled);
        for (member, peer) in &mut self.members {
            let given = State::Given(*member);
            for piece in peer.drop_unused(now, slow, stalled, |piece| self.pieces.state(piece) == given) {
                if self.pieces.state(piece) == given {
                    self.pieces.take_back(piece);
                    peer.bad += 1.0;
                    peer.has_finished_one = false;
                }
            }
            if peer.debt() > self.trusted_debt {
                // It waits until all others have got theirs, and the piece would wait with it.
                for (piece, _) in peer.open.iter().filter(|(_, open)| open.sent == 0) {
                    if self.pieces.state(*piece) == given {
                        self.pieces.take_back(*piece);
                    }
                }
            }
        }
    }

    fn judge_members(&mut self, elapsed: Duration) {
        let (mut served, mut debts) = (0, Vec::with_capacity(self.members.len()));
        for peer in self.members.values_mut() {
            peer.bad = record::fade(peer.bad, elapsed);
            served += u32::from(peer.is_served());
            // Who only listens owes nothing, and is no measure for others.
            if peer.is_served() && peer.has_finished_one {
                debts.push(peer.debt());
            }
        }
        self.incomplete = served.max(1).into();
        // Of two the one that owes more is the measure: it may be that the other one just shows nothing.
        let middle = debts.len() / 2;
        let median = (!debts.is_empty()).then(|| *debts.select_nth_unstable_by(middle, f64::total_cmp).1);
        self.trusted_debt = TOLERANCE + 2.0 * median.unwrap_or_default();
    }
}

impl Peer {
    /// Forgets open pieces that come to nothing, and returns them. `slow`: in bytes a second. `stalled`: how
    /// long a piece that it was given may get no further, if others want it.
    fn drop_unused(
        &mut self,
        now: Instant,
        slow: f64,
        stalled: Option<Duration>,
        is_given: impl Fn(PieceIndex) -> bool,
    ) -> Vec<PieceIndex> {
        let is_blocked = self.blocked_since.is_some_and(|since| now >= since + GO_ON_LIMIT);
        let (has_all_it_asked, reached) = (self.queued == 0, self.reached);
        let is_unused = |piece: &PieceIndex, open: &mut Open| {
            let quiet = now.saturating_duration_since(open.since.max(reached));
            let limit = if open.sent == 0 { ASK_LIMIT } else { GO_ON_LIMIT };
            let age = now.saturating_duration_since(open.opened);
            let is_slow = age >= SLOW_AFTER && f64::from(open.sent) < slow * age.as_secs_f64();
            let may_end = has_all_it_asked || !open.asked && !is_given(*piece);
            let standstill = now.saturating_duration_since(open.moved);
            let is_stalled = stalled.is_some_and(|limit| standstill >= limit) && is_given(*piece);
            is_stalled
                || may_end && quiet >= limit
                || has_all_it_asked && is_slow
                || is_blocked && quiet >= GO_ON_LIMIT
        };
        self.open.extract_if(.., is_unused).map(|(piece, _)| piece).collect()
    }
}
